"""Gates on merged states: workers whose changes fail get another attempt, or are excluded."""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.composition.server import engine_parts
from orchestrator.core.gates.gate import Gate
from orchestrator.engine.merge.merge_runner import MergeRunner
from tests.integration.conftest import MakeSite
from tests.integration.site import KEY, Answer, InProcess, shell, until
from tests.support.examples import nightly
from tests.support.gates import RunningGates
from tests.support.project import Project, agents, edit

FILES = {"README.md": "hello\n", "src/app.py": "one\ntwo\nthree\n", ".gitignore": "*.tmp\n"}
#: A gate that passes if no two files have the same content.
ALL_DIFFER = Gate(name="differ", run='test -z "$(cat words/* 2>/dev/null | sort | uniq -d)"')

MakeProject = Callable[..., tuple[InProcess, Project]]


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> RunningGates:
    """A gate that judges merged states, and records them."""
    made = RunningGates()

    def merge_runner(repository: Any, worktrees: Any, gates: Any, *others: Any) -> MergeRunner:
        return MergeRunner(repository, worktrees, made, *others)

    monkeypatch.setattr(engine_parts, "MergeRunner", merge_runner)
    return made


@pytest.fixture
def make_project(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeProject:
    """Create a project, and a job manager whose jobs have these gates."""

    def make(*gates: Gate, files: dict[str, str] = FILES) -> tuple[InProcess, Project]:
        project = Project(tmp_path / "project").begin(files)
        site = make_site(**settings_of(project, tmp_path))
        requested = [{"name": gate.name, "run": gate.run} for gate in gates] or "off"
        monkeypatch.setattr(site, "submit", partial(site.submit, gates=requested))
        return site, project

    return make


def merged_only(name: str, run: str) -> Gate:
    """Return a gate that passes in workers' own worktrees."""
    return Gate(name=name, run=f'case "$PWD" in */integration/*) {run};; esac')


def settings_of(project: Project, folder: Path) -> dict[str, dict[str, Any]]:
    return {"orchestrator": {"project_root": str(project.path)}, "agents": agents(folder)}


def rows(ended: Answer) -> list[Answer]:
    found: list[Answer] = ended["results"]["tasks"]
    return found


def record(site: InProcess, job_id: str) -> Answer:
    found: Answer = site.get(f"/jobs/{job_id}/conflicts")
    return found


def word(name: str, text: str) -> str:
    return f"mkdir -p words; echo {text} > words/{name}"


def attempts(site: InProcess, job_id: str) -> list[int]:
    return [len(each["attempts"]) for each in site.get(f"/jobs/{job_id}")["workers"]]


def test_what_passes_together_is_merged_after_one_run(
    make_project: MakeProject, gates: RunningGates
) -> None:
    site, project = make_project(ALL_DIFFER)

    ended = site.run("x", [edit(word("a", "x")), edit(word("b", "y"))])

    assert ended["status"] == "completed", ended
    found = record(site, ended["job_id"])
    assert [each["status"] for each in found["gates"]] == ["passed"]
    assert gates.seen == [found["commit"]]
    assert project.worktrees() == []
    assert not (site.directory(ended["job_id"]) / "integration" / ended["job_id"]).exists()


def test_a_culprit_is_rejected_and_repairs_its_change(
    make_project: MakeProject, gates: RunningGates
) -> None:
    site, project = make_project(ALL_DIFFER)
    # In its next attempt the worker finds the other workers' changes and the gates' output.
    mend = (
        f"if [ -e words/a ]; then {word('b', 'z')}; "
        'grep -q differ "$ORCHESTRATOR_WORKER_DIR/prompt.md"; '
        f"else {word('b', 'x')}; fi"
    )

    ended = site.run("x", [edit(word("a", "x")), edit(mend), edit(word("c", "y"))], max_retries=1)

    job = ended["job_id"]
    assert ended["status"] == "completed", (ended, site.log(job, "worker_2"))
    assert attempts(site, job) == [1, 2, 1]
    branch = f"orchestrator/{job}/result"
    assert [project.show(branch, f"words/{name}") for name in "abc"] == ["x", "z", "y"]
    assert rows(ended)[1]["files_created"] == ["words/b"]
    found = record(site, job)
    assert (found["merged"], found["left_out"]) == (["worker_1", "worker_3", "worker_2"], {})
    assert project.worktrees() == []
    level = (site.directory(job) / "depth_0" / "LEVEL_0_REPORT.md").read_text()
    assert "| 1 | succeeded, but its changes could not be merged" in level


def test_a_culprit_without_a_remaining_attempt_has_failed_and_is_not_merged(
    make_project: MakeProject, gates: RunningGates
) -> None:
    site, project = make_project(ALL_DIFFER)
    tasks = [
        edit(word("a", "x"), id="a"),
        edit(word("b", "x"), id="b"),
        edit(word("c", "y"), id="c", depends_on=["b"]),
        edit(word("d", "w"), id="d"),
    ]

    ended = site.run("x", tasks)

    job = ended["job_id"]
    assert ended["status"] == "partial"
    assert [row["status"] for row in rows(ended)] == ["success", "failed", "success", "success"]
    assert "gate differ failed" in rows(ended)[1]["reason"]
    found = record(site, job)
    assert found["merged"] == ["worker_1", "worker_4"]
    assert sorted(found["reasons"]) == ["worker_2", "worker_3"]
    assert project.files(f"orchestrator/{job}/result").count("words/b") == 0
    assert (
        "| **Not merged** | worker_2 (gate differ failed"
        in (site.directory(job) / "FINAL_RESULT.md").read_text()
    )
    # A retry of the job gives the worker another attempt, on top of the result.
    assert site.call("POST", f"/jobs/{job}/retry", {}).status_code == 202
    site.wait(job)
    assert attempts(site, job) == [1, 2, 1, 1]


def test_a_gate_without_a_baseline_runs_once_on_the_base(
    make_project: MakeProject, gates: RunningGates
) -> None:
    site, project = make_project()
    everything = {"name": "differ", "run": ALL_DIFFER.run, "baseline": "none"}
    tasks = [edit(word(name, text)) for name, text in zip("abcd", "xxyy", strict=True)]

    job = site.run("x", tasks, gates=[everything])["job_id"]

    assert record(site, job)["merged"] == ["worker_1", "worker_3"]
    assert gates.seen.count(project.git("rev-parse", "main")) == 1


def test_gates_that_fail_at_the_base_blame_no_worker(
    make_project: MakeProject, gates: RunningGates
) -> None:
    site, _ = make_project(merged_only("missing", "no-such-program"))

    ended = site.run("x", [edit(word("a", "x")), edit(word("b", "y"))], max_retries=3)

    assert ended["status"] == "partial", "there is no result"
    assert "already fail on the base commit: missing" in ended["reason"]
    assert [row["status"] for row in rows(ended)] == ["success", "success"]
    assert attempts(site, ended["job_id"]) == [1, 1]
    found = record(site, ended["job_id"])
    assert (found["branch"], sorted(found["left_out"])) == ("", ["worker_1", "worker_2"])
    assert "already fail on the base commit: missing" in found["reasons"]["worker_1"]


def test_others_end_while_gates_run_and_a_cancel_reaches_them(
    make_project: MakeProject, gates: RunningGates, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    waits = f"touch '{tmp_path}/begun'; until [ -e '{release}' ]; do sleep 0.02; done"
    site, project = make_project(merged_only("slow", waits))
    job = site.submit("x", [edit(word("a", "x"))])
    until((tmp_path / "begun").exists, "the gates run")

    assert site.run("y", [shell("true")])["status"] == "completed"
    assert site.status(job)["status"] == "running"
    assert site.call("POST", f"/jobs/{job}/cancel", {}).status_code == 202

    ended = site.wait(job)
    release.touch()
    assert ended["status"] == "partial", "the task was done, but the result lacks its changes"
    assert "was stopped while its gates ran" in record(site, job)["reasons"]["worker_1"]
    assert project.worktrees() == []


def test_no_gates_of_the_result_begin_for_a_job_that_was_cancelled(
    make_project: MakeProject, gates: RunningGates, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    site, project = make_project(merged_only("slow", f"touch '{begun}'"))
    job = site.submit("x", [edit("echo a = 1 > a.py"), edit("sleep 600")])
    until(lambda: "success" in str(site.status(job).get("results")), "one is done")

    assert site.call("POST", f"/jobs/{job}/cancel", {}).status_code == 202

    ended = site.wait(job)
    assert (ended["status"], begun.exists()) == ("cancelled", False)
    assert record(site, job)["merged"] == ["worker_1"]
    unrun = (
        "gate slow did not run: the job was cancelled before the gate ran; to run the gate: "
        "bin/orchestrator merge"
    )
    assert f"not judged: {unrun} {job}" in ended["reason"]
    assert "no gate for" not in ended["reason"]
    assert site.call("POST", f"/jobs/{job}/merge", {}).status_code == 200
    assert begun.exists()
    assert "slow" not in site.status(job)["reason"]
    assert project.show(f"orchestrator/{job}/result", "a.py") == "a = 1"


def test_a_server_that_stops_while_gates_run_leaves_the_merge_to_the_next(
    make_project: MakeProject, gates: RunningGates, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    waits = f"touch '{tmp_path}/begun'; until [ -e '{release}' ]; do sleep 0.02; done"
    site, project = make_project(merged_only("slow", waits))
    job = site.submit("x", [edit(word("a", "x"))])
    until((tmp_path / "begun").exists, "the gates run")

    site.stop()
    release.touch()
    assert not [each for each in threading.enumerate() if each.name.startswith("merge")]

    again = InProcess(site.folder, settings_of(project, tmp_path))
    try:
        assert again.wait(job)["status"] == "completed"
        assert record(again, job)["merged"] == ["worker_1"]
        assert project.worktrees() == []
    finally:
        again.stop()


#: Program that holds git's lock, as a slow git does: a plain file would count as a leftover.
LOCKED = (
    'lock="$(git rev-parse --git-common-dir)/refs/heads/orchestrator/$ORCHESTRATOR_JOB_ID/"\n'
    'mkdir "${lock}result.lock"\n'
)


def lock_of(project: Project, job: str) -> Path:
    return project.path / ".git" / "refs" / "heads" / "orchestrator" / job / "result.lock"


def test_what_could_not_be_merged_is_no_success_and_a_retry_merges_it(
    make_project: MakeProject,
) -> None:
    site, project = make_project()

    ended = site.run("x", [edit(LOCKED + word("a", "x")), edit(word("b", "y"))])

    job = ended["job_id"]
    assert ended["status"] == "partial"
    assert site.get(f"/jobs/{job}")["merge_state"] == "failed"
    assert "result.lock" in ended["reason"]
    assert [row["status"] for row in rows(ended)] == ["success", "success"]
    report = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert ended["reason"].partition(":")[0] in report
    assert report.startswith("# Partial")
    lock_of(project, job).rmdir()
    assert site.call("POST", f"/jobs/{job}/retry", {}).status_code == 202
    again = site.wait(job)
    assert (again["status"], again["reason"]) == ("completed", "")
    assert attempts(site, job) == [1, 1]
    assert record(site, job)["merged"] == ["worker_1", "worker_2"]


@pytest.mark.parametrize("more", [[], *nightly([shell("false")])])
def test_what_could_not_be_merged_and_is_merged_later_is_a_success(
    make_project: MakeProject, more: list[Answer]
) -> None:
    site, project = make_project()
    ended = site.run("x", [edit(LOCKED + word("a", "x")), edit(word("b", "y")), *more])
    job = ended["job_id"]
    assert ended["status"] == "partial"
    assert site.get(f"/jobs/{job}")["merge_state"] == "failed"
    why = ended["reason"].partition(":")[0]
    lock_of(project, job).rmdir()

    assert site.call("POST", f"/jobs/{job}/merge", {}).status_code == 200

    now = site.get(f"/jobs/{job}")
    left = ("partial", ["worker_3"]) if more else ("completed", [])
    assert (now["status"], re.findall(r"\bworker_\d+", now["reason"])) == left
    assert attempts(site, job)[:2] == [1, 1]
    path = site.directory(job) / "FINAL_RESULT.md"
    until(lambda: why not in path.read_text(), "its report is written anew")
    assert path.read_text().startswith("# Partial" if more else "# Completed")
    assert site.status_file(job)["status"] == now["status"]
    assert site.call("POST", f"/jobs/{job}/merge", {}).status_code == 200
    events = site.call("GET", f"/jobs/{job}/events").text
    assert events.split("\n").count("event: job_ended") == 2


@pytest.mark.nightly
def test_what_is_in_the_way_of_a_merge_for_a_moment_costs_nothing(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    job = site.submit("x", [edit(LOCKED + word("a", "x"))])
    until(lock_of(project, job).exists, "it is in the way")
    until(lambda: "results" in site.status(job), "its worker has ended")
    time.sleep(0.3)
    lock_of(project, job).rmdir()

    assert site.wait(job)["status"] == "completed"
    assert record(site, job)["merged"] == ["worker_1"]


@pytest.mark.usefixtures("spawning")
def test_a_child_job_that_could_not_be_merged_is_no_success_of_its_parent(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    lock = (
        "root=${ORCHESTRATOR_WORKER_DIR#*/job_}; root=${root%%/*}\n"
        'heads="$(git rev-parse --git-common-dir)/refs/heads/orchestrator"\n'
        'mkdir "$heads/$root/result_$ORCHESTRATOR_JOB_ID.lock"\n'
    )
    children = json.dumps([edit(lock + word("a", "x"))])
    spawn = f"cat > ../c.json <<'END'\n{children}\nEND\norchestrator spawn y --tasks ../c.json"

    ended = site.run("x", [edit(spawn)])

    assert ended["status"] == "failed"
    [row] = rows(ended)
    assert row["reason"] == f"child job {row['child_job_id']} ended with status partial"
    child = row["child_job_id"]
    reason = site.status(child)["reason"]
    assert "merge failed" in reason
    # Its parent worker has ended, so ``retry`` of the child job is rejected.
    assert reason.endswith(f" merge {child}")
    for each in (project.path / ".git/refs/heads/orchestrator").rglob("*.lock"):
        each.rmdir()
    assert merge(site, child)["status"] == "completed"


# Repeated merges


def merge(site: InProcess, job: str, **body: Any) -> Answer:
    response = site.call("POST", f"/jobs/{job}/merge", body)
    assert response.status_code == 200, response.text
    found: Answer = response.json()
    return found


@pytest.mark.nightly
def test_a_job_is_merged_again_with_another_strategy(make_project: MakeProject) -> None:
    site, project = make_project()
    tasks = [edit("sed -i s/two/2/ src/app.py"), edit("sed -i s/two/zwei/ src/app.py")]
    job = site.run("x", tasks)["job_id"]
    before = record(site, job)
    assert before["merged"] == ["worker_1"]

    again = merge(site, job, strategy="theirs")

    branch = f"orchestrator/{job}/result"
    assert (again["merged"], again["strategy"]) == (["worker_1", "worker_2"], "theirs")
    assert project.show(branch, "src/app.py") == "one\nzwei\nthree"
    assert project.git("rev-parse", again["earlier"]) == before["commit"]
    final = site.directory(job) / "FINAL_RESULT.md"
    overruled = "line 2 (written by worker_1); worker_2's version won; replaced text: 2"
    until(lambda: overruled in final.read_text(), "its report names the replaced hunk")
    [lost] = again["conflicts"][0]["lost"]
    assert (lost["first"], lost["workers"], lost["text"]) == (2, ["worker_1"], ["2"])

    left = merge(site, job, leave=["worker_1"])

    assert (left["merged"], left["strategy"]) == (["worker_2"], "theirs")
    assert left["left_out"] == {"worker_1": f"orchestrator/{job}/worker_1"}
    assert merge(site, job, strategy="auto", take=["worker_1"])["merged"] == ["worker_1"]
    assert len(project.git("for-each-ref", f"refs/orchestrator/{job}/merged").split("\n")) == 3


def test_a_chosen_merge_strategy_stays_until_a_person_chooses_another(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    tasks = [
        edit("sed -i s/two/2/ src/app.py"),
        edit("sed -i s/two/zwei/ src/app.py"),
        fails("echo b > b.txt"),
    ]
    job = site.run("x", tasks)["job_id"]
    both = merge(site, job, strategy="theirs")["merged"]
    assert both == ["worker_1", "worker_2"]

    again = merge(site, job, include=["worker_3"])

    assert (again["merged"], again["strategy"]) == ([*both, "worker_3"], "theirs")
    assert merge(site, job)["merged"] == again["merged"]
    assert merge(site, job, strategy="auto")["merged"] == ["worker_1", "worker_3"]
    assert project.show(f"orchestrator/{job}/result", "src/app.py") == "one\n2\nthree"


LINES = "".join(f"line {number}\n" for number in range(40))


def test_theirs_overrules_hunks_and_keeps_all_else(make_project: MakeProject) -> None:
    """Each lost change is named."""
    site, project = make_project(files={**FILES, "long.txt": LINES})
    first = edit("sed -i -e s/line.5$/first/ -e s/line.30/far/ long.txt; echo n > new.txt")
    second = edit("sed -i -e s/line.5$/second/ -e s/line.15/near/ long.txt")

    ended = site.run("x", [first, second], merge_strategy="theirs")

    job = ended["job_id"]
    overruled = "replaced by merge_strategy theirs: 1 hunk of worker_1 (long.txt:6)"
    assert (ended["status"], ended["reason"]) == ("completed", overruled)
    lines = project.show(f"orchestrator/{job}/result", "long.txt").split("\n")
    assert [lines[5], lines[15], lines[30]] == ["second", "near", "far"]
    assert "new.txt" in project.files(f"orchestrator/{job}/result")
    [conflict] = record(site, job)["conflicts"]
    [lost] = conflict["lost"]
    assert (lost["first"], lost["last"], lost["workers"]) == (6, 6, ["worker_1"])
    final = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "replaced by merge_strategy theirs: 1 hunk of worker_1" in final
    assert "Replaced: long.txt, line 6 (written by worker_1)" in final


@pytest.mark.parametrize(
    "more",
    [
        *nightly([]),
        # The start of the third worker merges both branches, so that the result needs no merge.
        [edit("echo new > new.txt", id="both", depends_on=["one", "two"])],
    ],
)
def test_a_file_from_which_a_merge_driver_omits_a_change_is_named(
    make_project: MakeProject, more: list[Answer]
) -> None:
    files = {**FILES, "shared.txt": "base\n", ".gitattributes": "shared.txt merge=ours\n"}
    site, project = make_project(files=files)
    project.git("config", "merge.ours.driver", "true")
    tasks = [edit(f"echo {name} > shared.txt", id=name) for name in ("one", "two")]

    ended = site.run("x", [*tasks, *more])

    job = ended["job_id"]
    assert project.show(f"orchestrator/{job}/result", "shared.txt") == "one"
    named = "your merge driver, which may omit changes, merged shared.txt"
    assert (ended["status"], ended["reason"]) == ("completed", named)
    assert named in (site.directory(job) / "FINAL_RESULT.md").read_text()


def append(line: str) -> str:
    return f"printf '%s\\n' '{line}' >> CHANGES.md"


@pytest.mark.parametrize("agent", ["editor", *nightly("shell")])
def test_three_workers_that_append_to_one_file_end_in_one_file_with_all_three(
    make_project: MakeProject, agent: str
) -> None:
    site, project = make_project(files={**FILES, "CHANGES.md": "# Changes\n\n- first\n"})
    tasks: list[Answer] = [edit(append(f"- {name}")) for name in ("one", "two", "three")]
    if agent == "shell":
        tasks = [shell(each["prompt"], git="on") for each in tasks]

    ended = site.run("x", tasks)

    job = ended["job_id"]
    expected = ("completed", "the merge kept the added lines of both sides in CHANGES.md")
    assert (ended["status"], ended["reason"]) == expected
    shown = project.show(f"orchestrator/{job}/result", "CHANGES.md")
    assert shown.split("\n")[2:] == ["- first", "- one", "- two", "- three"]
    found = record(site, job)
    assert [(each["worker_id"], each["way"]) for each in found["files"]] == [
        ("worker_2", "union"),
        ("worker_3", "union"),
    ]
    final = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "Both sides only added lines, and the result has the lines of both: CHANGES.md." in final


@pytest.mark.nightly
def test_a_union_counts_only_if_the_gates_of_the_merged_state_pass(
    make_project: MakeProject, gates: RunningGates
) -> None:
    one_line = Gate(name="short", run='test "$(wc -l < CHANGES.md)" -le 2')
    site, project = make_project(one_line, files={**FILES, "CHANGES.md": "- first\n"})

    ended = site.run("x", [edit(append("- one")), edit(append("- two")), edit("echo n > n.txt")])

    job = ended["job_id"]
    found = record(site, job)
    assert (found["merged"], [*found["left_out"]]) == (["worker_1", "worker_3"], ["worker_2"])
    assert [each["path"] for each in found["conflicts"]] == ["CHANGES.md"]
    assert found["files"] == []
    assert rows(ended)[1]["status"] == "success", "the changes pass without other changes"
    assert project.show(f"orchestrator/{job}/result", "CHANGES.md") == "- first\n- one"


#: Command that adds a passing test for each file in tests/.
COUNTED = (
    '{ echo "<testsuite>"; for each in tests/*; do '
    'echo "<testcase classname=\\"t\\" name=\\"$each\\"/>"; done; echo "</testsuite>"; } '
    '> "$ORCHESTRATOR_GATE_REPORT"'
)


def test_the_result_with_more_tests_wins_over_a_later_one(make_project: MakeProject) -> None:
    site, project = make_project(files={**FILES, "tests/one": "\n"})
    tested = edit("sed -i s/two/2/ src/app.py; touch tests/two")
    gates = [{"name": "counted", "run": COUNTED, "report": "junit"}]

    ended = site.run(
        "x",
        [tested, edit("sed -i s/two/zwei/ src/app.py")],
        merge_strategy="theirs",
        gates=gates,
    )

    branch = f"orchestrator/{ended['job_id']}/result"
    assert project.show(branch, "src/app.py") == "one\n2\nthree"
    assert record(site, ended["job_id"])["merged"] == ["worker_2", "worker_1"]


@pytest.mark.nightly
def test_nothing_is_left_to_land_once_merging_again_merges_nothing(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo a > a.txt")])["job_id"]
    before = record(site, job)["commit"]

    again = merge(site, job, strategy="manual")

    assert (again["branch"], list(again["left_out"])) == ("", ["worker_1"])
    assert project.git("branch", "--list", f"orchestrator/{job}/result") == ""
    assert project.git("rev-parse", again["earlier"]) == before
    final = site.directory(job) / "FINAL_RESULT.md"
    until(lambda: f"Previous result: {again['earlier']}" in final.read_text(), "its report")


@pytest.mark.nightly
def test_a_result_stays_if_the_gates_cannot_judge_a_repeated_merge(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, project = make_project()
    ready = tmp_path / "ready"
    ready.touch()
    gate = {"name": "ready", "run": f"test -f '{ready}'", "baseline": "none"}
    job = site.run("x", [edit("echo a > a.txt")], gates=[gate])["job_id"]
    before = record(site, job)
    ready.unlink()

    refused = site.call("POST", f"/jobs/{job}/merge", {})

    assert refused.status_code == 409
    assert "gates already fail on the base commit: ready" in refused.json()["detail"]
    assert record(site, job) == before
    assert project.git("rev-parse", before["branch"]) == before["commit"]


def test_a_job_names_what_its_result_lacks(make_project: MakeProject) -> None:
    site, _ = make_project()
    tasks = [edit("sed -i s/two/2/ src/app.py"), edit("sed -i s/two/zwei/ src/app.py")]
    ended = site.run("x", tasks)
    job = ended["job_id"]

    assert (ended["status"], ended["reason"]) == (
        "partial",
        "not in the result: worker_2 (conflict in src/app.py)",
    )
    final = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "| **Not merged** | worker_2 (conflict in src/app.py) |" in final
    assert f"orchestrator merge {job} --strategy theirs" in final
    merge(site, job, strategy="theirs")
    overruled = "replaced by merge_strategy theirs: 1 hunk of worker_1 (src/app.py:2)"
    assert site.get(f"/jobs/{job}")["reason"] == overruled
    merge(site, job, leave=["worker_1"])
    assert site.get(f"/jobs/{job}")["reason"] == "not in the result: worker_1 (excluded by you)"


def test_the_reason_names_merge_strategy_manual(make_project: MakeProject) -> None:
    site, _ = make_project()

    nothing = site.run("x", [edit("true")], merge_strategy="manual")
    ended = site.run("x", [edit("echo a > a.txt")], merge_strategy="manual")

    unchanged = "nothing was changed by worker_1"
    assert (nothing["status"], nothing["reason"]) == ("completed", unchanged)
    assert ended["reason"] == "not in the result: worker_1 (merge_strategy: manual)"


def test_a_merge_that_cannot_be_repeated_is_rejected_with_the_reason(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    failing = edit("exit 3", retries=0)
    job = site.run("x", [edit("echo a > a.txt"), failing])["job_id"]
    plain = site.run("x", [shell("true")])["job_id"]

    def refused(job_id: str, **body: Any) -> tuple[int, str]:
        response = site.call("POST", f"/jobs/{job_id}/merge", body)
        return response.status_code, json.dumps(response.json())

    assert "no worker or child job 'worker_9'" in refused(job, take=["worker_9"])[1]
    status, answer = refused(job, take=["worker_2"])
    assert (status, "cannot merge worker_2: this worker has no branch with changes" in answer) == (
        409,
        True,
    )
    assert project.show(f"orchestrator/{job}/result", "a.txt") == "a"
    assert refused(job, strategy="ours")[0] == 422
    assert "did not use git worktrees" in refused(plain)[1]
    branch = f"orchestrator/{job}/worker_1"
    tip = project.git("rev-parse", branch)
    project.git("branch", "-D", branch)
    status, answer = refused(job)
    assert (status, "no longer exists" in answer) == (409, True)
    assert record(site, job)["merged"] == ["worker_1"]
    # The user may type the command in any directory.
    [command] = re.findall(r"restore the branch: (git -C \S+ branch \S+ \w+),", answer)
    assert command.startswith(f"git -C {project.path} ")
    project.git(*command.split()[3:])
    assert (project.git("rev-parse", branch), refused(job)[0]) == (tip, 200)


def test_included_work_of_failed_workers_stays_included(make_project: MakeProject) -> None:
    site, project = make_project()
    tasks = [edit("echo a > a.txt"), *(fails(f"echo {n} > {n}.txt") for n in "bc")]
    job = site.run("x", tasks)["job_id"]

    taken = merge(site, job, take=["worker_2"])

    assert (taken["status"], taken["merged"]) == ("partial", ["worker_1", "worker_2"])
    # The next merge keeps the first choice, as do a merge without options and a repetition.
    both = merge(site, job, take=["worker_3"])
    assert both["merged"] == ["worker_1", "worker_2", "worker_3"]
    assert merge(site, job)["merged"] == both["merged"]
    assert merge(site, job, take=["worker_2"]) == merge(site, job, take=["worker_2"])
    branch = f"orchestrator/{job}/result"
    assert [project.show(branch, f"{n}.txt") for n in "abc"] == ["a", "b", "c"]
    ended = site.status(job)
    assert ended["made_not_in_result"] == []
    assert ended["reason"] == "merged by a person: worker_2, worker_3"
    assert merge(site, job, leave=["worker_2"])["merged"] == ["worker_1", "worker_3"]
    [left] = site.status(job)["made_not_in_result"]
    assert (left["worker_id"], left["cause"]) == ("worker_2", "failed")


def test_included_work_stays_included_after_a_retry(make_project: MakeProject) -> None:
    site, project = make_project()
    tasks = [edit("echo a > a.txt"), *(fails(f"echo {n} > {n}.txt") for n in "bc")]
    job = site.run("x", tasks)["job_id"]
    merge(site, job, take=["worker_2"])

    for path in ("workers/worker_3/retry", "retry"):
        assert site.call("POST", f"/jobs/{job}/{path}", {}).status_code == 202
        site.wait(job)
        assert record(site, job)["merged"] == ["worker_1", "worker_2"]
        assert project.show(f"orchestrator/{job}/result", "b.txt") == "b"


@pytest.mark.nightly
def test_included_work_passes_gates_and_conflicts_like_any_change(
    make_project: MakeProject,
) -> None:
    site, project = make_project(merged_only("no-c", "! test -e c.txt"))
    tasks = [
        edit("sed -i s/two/2/ src/app.py"),
        fails("sed -i s/two/zwei/ src/app.py"),
        fails("echo c > c.txt"),
    ]
    job = site.run("x", tasks)["job_id"]

    found = merge(site, job, take=["worker_2", "worker_3"])

    assert found["merged"] == ["worker_1"]
    causes = {each["worker_id"]: each["cause"] for each in found["missing"]}
    assert causes == {"worker_2": "conflict", "worker_3": "refused"}
    assert {each["worker_id"]: each["command"] for each in found["missing"]} == {
        "worker_2": f"bin/orchestrator merge {job} --strategy theirs",
        "worker_3": f"bin/orchestrator diff {job} worker_3",
    }
    assert merge(site, job, strategy="theirs")["merged"] == ["worker_1", "worker_2"]
    assert project.show(f"orchestrator/{job}/result", "src/app.py") == "one\nzwei\nthree"


def fails(script: str) -> Answer:
    """Return a worker that commits its work, and fails."""
    return edit(f"{script}; exit 3", retries=0)


def test_the_command_line_merges_again(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, _ = make_project()
    tasks = [edit("sed -i s/two/2/ src/app.py"), edit("sed -i s/two/zwei/ src/app.py")]
    job = site.run("x", tasks)["job_id"]
    environ = {
        "PATH": os.environ["PATH"],
        "ORCHESTRATOR_API_URL": site.url,
        "ORCHESTRATOR_API_KEY": KEY,
    }

    def command(*arguments: str) -> int:
        return execute(arguments, CliContext(folder=site.folder, environ=environ))

    capfd.readouterr()
    assert command("merge", job) == 6
    output = capfd.readouterr().out
    assert f"not merged: worker_2 (orchestrator/{job}/worker_2): " in output
    assert command("merge", job, "--strategy", "theirs", "--json") == 0
    assert json.loads(capfd.readouterr().out)["merged"] == ["worker_1", "worker_2"]
    assert command("merge", job, "--strategy", "theirs") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[1:4] == [
        "merged: worker_1, except 1 hunk",
        "merged: worker_2",
        "replaced: src/app.py:2 of worker_1 by the version of worker_2: 2",
    ]
    assert command("merge", job, "--take", "worker_7") == 2
    merge(site, job, strategy="auto")
    capfd.readouterr()
    assert command("merge", job, "--include", "worker_1") == 6
    assert "worker_1 is already merged" in capfd.readouterr().out
    assert command("merge", "00000000") == 3


def test_the_gates_of_workers_judge_the_merged_state_too(make_project: MakeProject) -> None:
    site, project = make_project(ALL_DIFFER)

    ended = site.run("x", [edit(word("a", "x")), edit(word("b", "x")), edit(word("c", "y"))])

    job = ended["job_id"]
    assert [row["status"] for row in rows(ended)] == ["success", "failed", "success"]
    found = record(site, job)
    assert (found["merged"], list(found["left_out"])) == (["worker_1", "worker_3"], ["worker_2"])
    assert [(each["name"], each["status"]) for each in found["gates"]] == [("differ", "passed")]
    # The worktree of the gate's run on the base is removed in the background.
    until(lambda: project.worktrees() == [], "no worktree is left")


@pytest.mark.nightly
def test_a_test_that_fails_once_on_the_merged_state_is_flaky_and_refuses_nothing(
    make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", f"{own}{os.pathsep}{os.environ['PATH']}")
    # The gate fails in every first run on a merged state.
    first = tmp_path / "first"
    flaky = (
        "import os, pathlib\n\n\ndef test_steady():\n    assert True\n\n\ndef test_once():\n"
        f"    mark = pathlib.Path({str(first)!r})\n"
        "    if 'integration' in os.getcwd() and not mark.exists():\n"
        "        mark.touch()\n        raise AssertionError('not yet')\n"
    )
    gate = Gate(name="tests", run="PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q test_it.py")
    site, _ = make_project(gate, files={**FILES, "test_it.py": flaky})
    report = {
        "name": "tests",
        "run": f"{gate.run} --junitxml=$ORCHESTRATOR_GATE_REPORT",
        "report": "junit",
        "baseline": "none",
    }

    ended = site.wait(site.submit("x", [edit("echo a > a")], gates=[report]), within=300.0)

    assert first.exists()
    assert ended["status"] == "completed", ended["reason"]
    why = "test_it::test_once failed once and passed once (gate tests)"
    assert ended["reason"] == f"flaky on the merged result: {why}"
    found = record(site, ended["job_id"])
    assert found["merged"] == ["worker_1"]
    assert [each["flaky"] for each in found["gates"]] == [["test_it::test_once"]]
    assert why in (site.directory(ended["job_id"]) / "FINAL_RESULT.md").read_text()
