"""Conflicts that an agent resolves in the worktree of the worker in conflict."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from tests.integration.conftest import MakeSite
from tests.integration.site import KEY, Answer, InProcess, shell
from tests.support.examples import nightly
from tests.support.project import Project, agents, edit

#: An agent that keeps both sides of every conflict.
RESOLVER = """
import pathlib
for path in pathlib.Path(".").glob("*.txt"):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(l for l in lines if l[:7] not in ("<<<<<<<", "=======", ">>>>>>>")))
print("resolved")
"""
KEEPS_HEADINGS = """
import pathlib, re
for path in pathlib.Path(".").glob("*.txt"):
    text = re.sub(r"(?m)^(<<<<<<<|>>>>>>>) .*\\n", "", path.read_text())
    path.write_text(re.sub(r"(?<!Heading\\n)=======\\n", "", text))
print("resolved")
"""
IDLE = 'print("I did nothing")'


def run_conflict(
    make_site: MakeSite,
    folder: Path,
    script: str,
    tasks: Sequence[Answer] = (),
    **config: object,
) -> tuple[InProcess, Project, Answer]:
    project = Project(folder / "project").begin({"a.txt": "one\ntwo\nthree\n"})
    (folder / "resolver.py").write_text(script)
    resolver = {"resolver": {"command": [sys.executable, str(folder / "resolver.py")]}}
    site = make_site(
        orchestrator={"project_root": str(project.path)}, agents={**agents(folder), **resolver}
    )
    tasks = tasks or [
        edit("sed -i s/two/2/ a.txt"),
        edit("sed -i s/two/zwei/ a.txt; echo n > new"),
    ]
    return site, project, site.run("x", tasks, resolve="resolver", **config)


@pytest.mark.parametrize("history", ["merge", *nightly("linear")])
def test_an_agent_resolves_a_conflict(make_site: MakeSite, tmp_path: Path, history: str) -> None:
    site, project, ended = run_conflict(
        make_site, tmp_path, RESOLVER, max_retries=1, history=history
    )

    job = ended["job_id"]
    assert ended["status"] == "completed", ended
    found = site.get(f"/jobs/{job}/conflicts")
    assert (found["merged"], found["left_out"]) == (["worker_1", "worker_2"], {}), found
    shown = project.show(f"orchestrator/{job}/result", "a.txt").split("\n")
    assert sorted(shown) == ["2", "one", "three", "zwei"]
    assert "new" in project.files(f"orchestrator/{job}/result")
    row = ended["results"]["tasks"][1]
    assert (row["agent"], row["attempts"]) == ("resolver", 2)
    assert row["files_created"] == ["a.txt", "new"]
    assert "conflicts" not in project.git("log", "--format=%s", f"orchestrator/{job}/result") or (
        history == "merge"
    )


def test_marks_that_are_left_are_no_resolution(make_site: MakeSite, tmp_path: Path) -> None:
    site, project, ended = run_conflict(make_site, tmp_path, IDLE, max_retries=1)

    job = ended["job_id"]
    assert ended["status"] == "partial", ended
    found = site.get(f"/jobs/{job}/conflicts")
    assert found["merged"] == ["worker_1"]
    assert found["reasons"] == {"worker_2": "unresolved conflicts in a.txt"}
    assert [each["path"] for each in found["conflicts"]] == ["a.txt"]
    assert project.show(f"orchestrator/{job}/result", "a.txt") == "one\n2\nthree"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("printf '\\0a' > n", "printf '\\0b' > n"),
        *nightly(("git rm -q a.txt", "sed -i s/two/2/ a.txt"), ("ln -s x n", "ln -s y n")),
    ],
)
def test_what_has_no_marks_is_not_resolved_by_doing_nothing(
    make_site: MakeSite, tmp_path: Path, first: str, second: str
) -> None:
    tasks = [edit(first), edit(f"{second}; echo w > w")]
    site, project, ended = run_conflict(make_site, tmp_path, IDLE, max_retries=1, tasks=tasks)

    found = site.get(f"/jobs/{ended['job_id']}/conflicts")
    assert (found["merged"], [*found["left_out"]]) == (["worker_1"], ["worker_2"])
    [path] = {each["path"] for each in found["conflicts"]}
    assert found["reasons"] == {"worker_2": f"unresolved conflicts in {path}"}
    assert "w" in project.files(f"orchestrator/{ended['job_id']}/worker_2")


@pytest.mark.parametrize("end", ["sys.exit(3)", *nightly("time.sleep(60)")])
def test_the_work_of_a_worker_outlives_a_resolver_that_fails(
    make_site: MakeSite, tmp_path: Path, end: str
) -> None:
    """The resolver may have changed any file."""
    fails = f"{RESOLVER}\nimport sys, time\n{end}"
    tasks = [edit("sed -i s/two/2/ a.txt"), edit("sed -i s/two/zwei/ a.txt; echo n > new")]
    tasks[1]["timeout"] = 4
    site, project, ended = run_conflict(make_site, tmp_path, fails, max_retries=1, tasks=tasks)

    job = ended["job_id"]
    assert ended["status"] == "partial", ended
    row = ended["results"]["tasks"][1]
    assert (row["status"], row["attempts"]) == ("success", 2)
    assert row["reason"].startswith("conflicts not resolved: ")
    found = site.get(f"/jobs/{job}/conflicts")
    assert (found["merged"], [*found["left_out"]]) == (["worker_1"], ["worker_2"])
    assert found["reasons"] == {"worker_2": "unresolved conflicts in a.txt"}
    assert [each["path"] for each in found["conflicts"]] == ["a.txt"]

    forced = site.call("POST", f"/jobs/{job}/merge", {"strategy": "theirs"})
    assert forced.status_code == 200, forced.text
    assert project.show(f"orchestrator/{job}/result", "a.txt") == "one\nzwei\nthree"
    assert "new" in project.files(f"orchestrator/{job}/result")
    after = site.status(job)
    assert after["results"]["tasks"][1]["reason"] == "", "its changes are in the result"
    assert after["reason"].startswith("replaced by merge_strategy theirs: 1 hunk of worker_1 (a.")


@pytest.mark.nightly
@pytest.mark.parametrize("mark", ["<<<<<<<", *nightly("=======", ">>>>>>>")])
def test_a_single_leftover_mark_is_a_conflict(
    make_site: MakeSite, tmp_path: Path, mark: str
) -> None:
    careless = RESOLVER.replace(f'"{mark}"', '"none"')
    site, _, ended = run_conflict(make_site, tmp_path, careless, max_retries=1)

    found = site.get(f"/jobs/{ended['job_id']}/conflicts")
    assert found["reasons"] == {"worker_2": "unresolved conflicts in a.txt"}


@pytest.mark.nightly
def test_lines_like_marks_that_a_side_has_itself_are_no_conflict(
    make_site: MakeSite, tmp_path: Path
) -> None:
    """For example, a text with underlined headings."""
    heading = "printf 'Heading\\n=======\\n%s\\n' {} > {}.txt"
    tasks = [
        edit(f"sed -i s/two/2/ a.txt; {heading.format('one', 'h')}"),
        edit(f"sed -i s/two/zwei/ a.txt; {heading.format('two', 'h')}"),
    ]
    site, project, ended = run_conflict(
        make_site, tmp_path, KEEPS_HEADINGS, max_retries=1, tasks=tasks
    )

    found = site.get(f"/jobs/{ended['job_id']}/conflicts")
    assert found["merged"] == ["worker_1", "worker_2"], found
    shown = project.show(f"orchestrator/{ended['job_id']}/result", "h.txt")
    assert shown.split() == ["Heading", "=======", "two", "one"]


#: An agent that fails until its n-th call, and stores its prompts.
LATE = """
import os, pathlib, sys
home = pathlib.Path(os.environ["ORCHESTRATOR_WORKER_DIR"])
number = len(list(home.glob("seen-*")))
(home / f"seen-{number}").write_text(sys.stdin.read())
if number < 3:
    sys.exit(f"not yet: {number}")
"""


@pytest.mark.parametrize("last", [RESOLVER, *nightly(IDLE)])
def test_a_worker_that_resolves_again_has_the_conflicts_in_files_and_prompt(
    make_site: MakeSite, tmp_path: Path, last: str
) -> None:
    """The rule also holds after a rollback to a safe checkpoint, which has the worker's changes."""
    site, project, ended = run_conflict(make_site, tmp_path, LATE + last, max_retries=4)

    job = ended["job_id"]
    failures = [each.get("failure") for each in site.get(f"/jobs/{job}")["workers"][1]["attempts"]]
    assert "rollback_safe" in [each["strategy"] for each in failures if each]
    prompts = sorted((site.directory(job) / "depth_0" / "worker_2").glob("seen-*"))
    assert len(prompts) == 4
    for number, prompt in enumerate(prompts):
        text = prompt.read_text()
        assert "conflict with the changes of other workers in 'a.txt'" in text
        assert number == 0 or f"not yet: {number - 1}" in text
    found = site.get(f"/jobs/{job}/conflicts")
    merged = ["worker_1", "worker_2"] if last == RESOLVER else ["worker_1"]
    assert found["merged"] == merged
    assert ("new" in project.files(f"orchestrator/{job}/result")) == (last == RESOLVER)


def test_without_a_retry_no_worker_resolves(make_site: MakeSite, tmp_path: Path) -> None:
    site, _, ended = run_conflict(make_site, tmp_path, RESOLVER, max_retries=0)

    assert ended["results"]["tasks"][1]["attempts"] == 1
    assert site.get(f"/jobs/{ended['job_id']}/conflicts")["merged"] == ["worker_1"]
    refused = site.post("x", [edit("true")], resolve="nobody")
    assert (refused.status_code, "nobody" in refused.text) == (422, True)


# Workers that resolve their own conflicts


def resolves(change: str) -> str:
    """Return a worker's command. It makes a change; if the file has conflict markers, it keeps both
    sides.
    """
    marks = "-e '/^<<<<<<< /d' -e '/^=======$/d' -e '/^>>>>>>> /d'"
    return (
        'cp "$ORCHESTRATOR_WORKER_DIR/prompt.md" "$ORCHESTRATOR_WORKER_DIR/seen.md"\n'
        f"if grep -q '^<<<<<<<' a.txt; then sed -i {marks} a.txt; else {change}; fi"
    )


def site_for(make_site: MakeSite, folder: Path) -> tuple[InProcess, Project]:
    project = Project(folder / "project").begin({"a.txt": "one\ntwo\nthree\n"})
    root = {"project_root": str(project.path)}
    return make_site(orchestrator=root, agents=agents(folder)), project


def replace_two(text: str) -> str:
    return f"sed -i s/two/{text}/ a.txt"


def test_a_conflict_goes_back_to_its_own_worker(make_site: MakeSite, tmp_path: Path) -> None:
    site, project = site_for(make_site, tmp_path)
    tasks = [edit(replace_two("2")), edit(f"{resolves(replace_two('zwei'))}; echo n > new")]

    ended = site.run("x", tasks, max_retries=1)

    job = ended["job_id"]
    assert ended["status"] == "completed", ended
    assert site.get(f"/jobs/{job}/conflicts")["left_out"] == {}
    branch = f"orchestrator/{job}/result"
    assert sorted(project.show(branch, "a.txt").split("\n")) == ["2", "one", "three", "zwei"]
    assert "new" in project.files(branch)
    row = ended["results"]["tasks"][1]
    assert (row["agent"], row["attempts"]) == ("editor", 2)
    prompt = (site.directory(job) / "depth_0" / "worker_2" / "seen.md").read_text()
    assert "succeeded, but cannot be merged" in prompt
    assert "a.txt, at line 2 of your version, also changed by worker_1:" in prompt
    shown = prompt.partition("Before both changes:")[2].split()
    assert shown[0] == "two"
    assert "By you:\nzwei" in prompt
    assert "By worker_1, in the result so far:\n2\n" in prompt


@pytest.mark.nightly
def test_each_of_several_conflicting_workers_needs_one_attempt(
    make_site: MakeSite, tmp_path: Path
) -> None:
    """Each resolver starts from the previous resolver's result."""
    site, project = site_for(make_site, tmp_path)
    names = ["a", "b", "c", "d"]

    ended = site.run("x", [edit(resolves(replace_two(name))) for name in names], max_retries=1)

    job = ended["job_id"]
    assert ended["status"] == "completed", ended
    shown = project.show(f"orchestrator/{job}/result", "a.txt").split("\n")
    assert sorted(shown) == ["a", "b", "c", "d", "one", "three"]
    assert [row["attempts"] for row in ended["results"]["tasks"]] == [1, 2, 2, 2]


@pytest.mark.nightly
def test_workers_that_never_agree_end(make_site: MakeSite, tmp_path: Path) -> None:
    site, _ = site_for(make_site, tmp_path)
    mine = "grep -c . a.txt; echo {} $RANDOM$RANDOM > a.txt"
    tasks = [edit(mine.format(name)) for name in ("x", "y", "z")]

    ended = site.run("x", tasks, max_retries=2)

    job = ended["job_id"]
    assert sum(row["attempts"] for row in ended["results"]["tasks"]) <= 9
    found = site.get(f"/jobs/{job}/conflicts")
    assert {*found["merged"], *found["left_out"]} == {"worker_1", "worker_2", "worker_3"}


@pytest.mark.nightly
def test_without_a_retry_the_report_names_the_command_that_resolves(
    make_site: MakeSite, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = site_for(make_site, tmp_path)

    ended = site.run(
        "x", [edit(replace_two("2")), edit(resolves(replace_two("zwei")))], max_retries=0
    )

    job = ended["job_id"]
    assert ended["results"]["tasks"][1]["attempts"] == 1
    found = site.get(f"/jobs/{job}/conflicts")
    assert ([*found["left_out"]], found["hindrances"]) == (["worker_2"], {"worker_2": "no_retry"})
    [outside] = found["made_not_in_result"]
    assert outside["command"] == f"bin/orchestrator merge {job} --resolve worker"
    assert outside["otherwise"] == f"bin/orchestrator merge {job} --strategy theirs"
    report = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert f"bin/orchestrator merge {job} --resolve worker " in report

    environ = {
        "PATH": os.environ["PATH"],
        "ORCHESTRATOR_API_URL": site.url,
        "ORCHESTRATOR_API_KEY": KEY,
    }
    typed = ("merge", job, "--resolve", "worker")
    assert execute(typed, CliContext(folder=site.folder, environ=environ)) == 0

    again = site.status(job)
    assert (again["status"], again["reason"]) == ("completed", "")
    assert [row["attempts"] for row in again["results"]["tasks"]] == [1, 2]
    shown = project.show(f"orchestrator/{job}/result", "a.txt").split("\n")
    assert sorted(shown) == ["2", "one", "three", "zwei"]
    refused = site.call("POST", f"/jobs/{job}/merge", {"resolve": "worker"})
    assert (refused.status_code, "no conflicts to resolve" in refused.text) == (409, True)


@pytest.mark.nightly
def test_a_worker_that_failed_to_resolve_may_try_again(make_site: MakeSite, tmp_path: Path) -> None:
    """The retry starts with the worker's changes, without the changes of the failed attempt."""
    site, project = site_for(make_site, tmp_path)
    flag = tmp_path / "works now"
    fails = f"if grep -q '^<<<<<<<' a.txt && ! test -e '{flag}'; then echo > a.txt; exit 3; fi"
    tasks = [edit(replace_two("2")), edit(f"{fails}\n{resolves(replace_two('zwei'))}")]
    ended = site.run("x", tasks, max_retries=1)
    job = ended["job_id"]
    assert site.get(f"/jobs/{job}/conflicts")["unresolved_reasons"] == {"worker_2": "unresolved"}

    flag.touch()
    accepted = site.call("POST", f"/jobs/{job}/merge", {"resolve": "worker"})

    assert accepted.status_code == 202, accepted.text
    ended = site.wait(job)
    assert (ended["status"], ended["reason"]) == ("completed", "")
    shown = project.show(f"orchestrator/{job}/result", "a.txt").split("\n")
    assert sorted(shown) == ["2", "one", "three", "zwei"]


def test_a_command_is_not_run_again_for_its_conflicts(make_site: MakeSite, tmp_path: Path) -> None:
    site, _ = site_for(make_site, tmp_path)
    tasks = [shell(replace_two("2"), git="on"), shell(replace_two("zwei"), git="on")]

    ended = site.run("x", tasks, max_retries=2)

    job = ended["job_id"]
    assert [row["attempts"] for row in ended["results"]["tasks"]] == [1, 1]
    assert site.get(f"/jobs/{job}/conflicts")["unresolved_reasons"] == {"worker_2": "no_agent"}
    report = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "--resolve AGENT. To list agents: " in report


def test_no_worker_resolves_if_resolve_is_off(make_site: MakeSite, tmp_path: Path) -> None:
    site, _ = site_for(make_site, tmp_path)
    tasks = [edit(replace_two("2")), edit(resolves(replace_two("zwei")))]

    ended = site.run("x", tasks, max_retries=2, resolve="off")

    assert [row["attempts"] for row in ended["results"]["tasks"]] == [1, 1]
    found = site.get(f"/jobs/{ended['job_id']}/conflicts")
    assert found["unresolved_reasons"] == {"worker_2": "off"}
