"""Conflicts that an agent resolves in the worktree of the worker that has them."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.engine.conftest import MakeSite
from tests.integration.engine.site import Answer, InProcess
from tests.project import Project, agents, edit

#: Keeps both sides of every conflict.
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


def made(
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


@pytest.mark.parametrize("history", ["merge", "linear"])
def test_an_agent_resolves_a_conflict(make_site: MakeSite, tmp_path: Path, history: str) -> None:
    site, project, ended = made(make_site, tmp_path, RESOLVER, max_retries=1, history=history)

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
    site, project, ended = made(make_site, tmp_path, IDLE, max_retries=1)

    job = ended["job_id"]
    assert ended["status"] == "completed", ended
    found = site.get(f"/jobs/{job}/conflicts")
    assert found["merged"] == ["worker_1"]
    assert found["reasons"] == {"worker_2": "conflicts are not resolved in a.txt"}
    assert [each["path"] for each in found["conflicts"]] == ["a.txt"]
    assert project.show(f"orchestrator/{job}/result", "a.txt") == "one\n2\nthree"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("printf '\\0a' > n", "printf '\\0b' > n"),
        ("git rm -q a.txt", "sed -i s/two/2/ a.txt"),
        ("ln -s x n", "ln -s y n"),
    ],
)
def test_what_has_no_marks_is_not_resolved_by_doing_nothing(
    make_site: MakeSite, tmp_path: Path, first: str, second: str
) -> None:
    tasks = [edit(first), edit(f"{second}; echo w > w")]
    site, project, ended = made(make_site, tmp_path, IDLE, max_retries=1, tasks=tasks)

    found = site.get(f"/jobs/{ended['job_id']}/conflicts")
    assert (found["merged"], [*found["left_out"]]) == (["worker_1"], ["worker_2"])
    [path] = {each["path"] for each in found["conflicts"]}
    assert found["reasons"] == {"worker_2": f"conflicts are not resolved in {path}"}
    assert "w" in project.files(f"orchestrator/{ended['job_id']}/worker_2")


@pytest.mark.parametrize("end", ["sys.exit(3)", "time.sleep(60)"])
def test_the_work_of_a_worker_outlives_a_resolver_that_fails(
    make_site: MakeSite, tmp_path: Path, end: str
) -> None:
    """Whatever that one has made of the files."""
    fails = f"{RESOLVER}\nimport sys, time\n{end}"
    tasks = [edit("sed -i s/two/2/ a.txt"), edit("sed -i s/two/zwei/ a.txt; echo n > new")]
    tasks[1]["timeout"] = 4
    site, project, ended = made(make_site, tmp_path, fails, max_retries=1, tasks=tasks)

    job = ended["job_id"]
    assert ended["status"] == "completed", ended
    row = ended["results"]["tasks"][1]
    assert (row["status"], row["attempts"]) == ("success", 2)
    assert row["reason"].startswith("its conflicts are not resolved: ")
    found = site.get(f"/jobs/{job}/conflicts")
    assert (found["merged"], [*found["left_out"]]) == (["worker_1"], ["worker_2"])
    assert found["reasons"] == {"worker_2": "conflicts are not resolved in a.txt"}
    assert [each["path"] for each in found["conflicts"]] == ["a.txt"]

    forced = site.call("POST", f"/jobs/{job}/merge", {"strategy": "theirs"})
    assert forced.status_code == 200, forced.text
    assert project.show(f"orchestrator/{job}/result", "a.txt") == "one\nzwei\nthree"
    assert "new" in project.files(f"orchestrator/{job}/result")


@pytest.mark.parametrize("mark", ["<<<<<<<", "=======", ">>>>>>>"])
def test_a_single_mark_that_is_left_is_one(make_site: MakeSite, tmp_path: Path, mark: str) -> None:
    careless = RESOLVER.replace(f'"{mark}"', '"none"')
    site, _, ended = made(make_site, tmp_path, careless, max_retries=1)

    found = site.get(f"/jobs/{ended['job_id']}/conflicts")
    assert found["reasons"] == {"worker_2": "conflicts are not resolved in a.txt"}


def test_lines_like_marks_that_a_side_has_itself_are_none(
    make_site: MakeSite, tmp_path: Path
) -> None:
    """As a text has them whose headings are underlined."""
    heading = "printf 'Heading\\n=======\\n%s\\n' {} > {}.txt"
    tasks = [
        edit(f"sed -i s/two/2/ a.txt; {heading.format('one', 'h')}"),
        edit(f"sed -i s/two/zwei/ a.txt; {heading.format('two', 'h')}"),
    ]
    site, project, ended = made(make_site, tmp_path, KEEPS_HEADINGS, max_retries=1, tasks=tasks)

    found = site.get(f"/jobs/{ended['job_id']}/conflicts")
    assert found["merged"] == ["worker_1", "worker_2"], found
    shown = project.show(f"orchestrator/{ended['job_id']}/result", "h.txt")
    assert shown.split() == ["Heading", "=======", "two", "one"]


#: Fails until it is told for the n-th time what to do, and keeps what it was told.
LATE = """
import os, pathlib, sys
home = pathlib.Path(os.environ["ORCHESTRATOR_WORKER_DIR"])
number = len(list(home.glob("told-*")))
(home / f"told-{number}").write_text(sys.stdin.read())
if number < 3:
    sys.exit(f"not yet: {number}")
"""


@pytest.mark.parametrize("last", [RESOLVER, IDLE])
def test_whoever_tries_it_again_has_the_conflicts_and_is_told_of_them(
    make_site: MakeSite, tmp_path: Path, last: str
) -> None:
    """Also after a rollback to what is safe: that is not the worker's start, without its work."""
    site, project, ended = made(make_site, tmp_path, LATE + last, max_retries=4)

    job = ended["job_id"]
    failures = [each.get("failure") for each in site.get(f"/jobs/{job}")["workers"][1]["attempts"]]
    assert "rollback_safe" in [each["strategy"] for each in failures if each]
    prompts = sorted((site.directory(job) / "depth_0" / "worker_2").glob("told-*"))
    assert len(prompts) == 4
    for number, prompt in enumerate(prompts):
        text = prompt.read_text()
        assert "excludes what other workers changed, in 'a.txt'" in text
        assert number == 0 or f"not yet: {number - 1}" in text
    found = site.get(f"/jobs/{job}/conflicts")
    merged = ["worker_1", "worker_2"] if last == RESOLVER else ["worker_1"]
    assert found["merged"] == merged
    assert ("new" in project.files(f"orchestrator/{job}/result")) == (last == RESOLVER)


def test_without_a_retry_nobody_is_asked(make_site: MakeSite, tmp_path: Path) -> None:
    site, _, ended = made(make_site, tmp_path, RESOLVER, max_retries=0)

    assert ended["results"]["tasks"][1]["attempts"] == 1
    assert site.get(f"/jobs/{ended['job_id']}/conflicts")["merged"] == ["worker_1"]
    refused = site.post("x", [edit("true")], resolve="nobody")
    assert (refused.status_code, "nobody" in refused.text) == (422, True)
