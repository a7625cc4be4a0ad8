"""Checkpoints around attempts, and rollbacks to them: after a failure, or by a person."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.core.events import EventKind
from orchestrator.engine.worktrees.checkpoints import pending
from tests.faults import crash_points
from tests.integration.conftest import MakeCrashing, MakeSite
from tests.integration.site import KEY, Answer, InProcess, shell, until
from tests.support.project import Project, agents, edit

FILES = {"app.py": "one\n", ".gitignore": "*.log\n"}
MakeProject = Callable[..., tuple[InProcess, Project]]

#: Command that fails in the first attempt during an unfinished merge.
BREAKS_FIRST = """
if [ "${ORCHESTRATOR_WORKER##*/}" = 1 ]; then
  echo broken > app.py; echo x > junk.txt; echo trace > x.log
  git checkout -qb other; git commit -qam theirs; git checkout -q -
  echo ours > app.py; git commit -qam ours; git merge -q other || exit 1
fi
test ! -e junk.txt; test ! -e x.log; test "$(cat app.py)" = one
test -z "$(git status --porcelain --ignored)"
echo good > app.py
"""


@pytest.fixture
def make_project(make_site: MakeSite, tmp_path: Path) -> MakeProject:
    def make(**more: Any) -> tuple[InProcess, Project]:
        project = Project(tmp_path / "project").begin(FILES)
        settings = {"project_root": str(project.path)}
        return make_site(orchestrator=settings, agents=agents(tmp_path), **more), project

    return make


def attempts(site: InProcess, job: str) -> list[Answer]:
    found: list[Answer] = site.get(f"/jobs/{job}")["workers"][0]["attempts"]
    return found


def refs(project: Project, job: str) -> dict[str, str]:
    listed = project.git("for-each-ref", "--format=%(refname) %(objectname)")
    prefix = f"refs/orchestrator/{job}/"
    pairs = (line.split(" ") for line in listed.splitlines() if line.startswith(prefix))
    return {name.removeprefix(prefix): commit for name, commit in pairs}


def test_damage_of_an_attempt_is_rolled_back_before_the_next_and_saved(
    make_project: MakeProject,
) -> None:
    site, project = make_project()

    ended = site.run("x", [edit(BREAKS_FIRST, retries=2)])

    job = ended["job_id"]
    assert ended["status"] == "completed", (ended, site.log(job, "worker_1"))
    found = refs(project, job)
    checkpoint = found["checkpoint/worker_1/1-after"]
    assert "junk.txt" in project.files(checkpoint)
    assert project.show(found["ignored/worker_1/1-after"], "x.log") == "trace"
    assert project.show(f"orchestrator/{job}/worker_1", "app.py") == "good"
    first, second = attempts(site, job)
    assert first["failure"]["kind"] == "corrupted_state"
    assert first["failure"]["strategy"] == "rollback_last"
    assert first["failure"]["checkpoint"] == "1-before"
    assert first["failure"]["kept"] == "1-after"
    assert "unfinished merge" in first["failure"]["reason"]
    assert 0 < first["failure"]["confidence"] <= 1
    assert "failure" not in second
    analytics = site.get(f"/jobs/{job}/reports/analytics.json")
    assert "rollback_last" in str(analytics)
    final = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "| app.py | +1 −1 | [worker_1](depth_0/worker_1/) |" in final


def test_an_attempt_with_a_file_that_git_cannot_add_fails_and_its_other_files_are_kept(
    make_project: MakeProject,
) -> None:
    site, project = make_project()

    ended = site.run("x", [edit("echo good > app.py; echo x > git~1; echo y > y.txt", retries=0)])

    job = ended["job_id"]
    assert ended["status"] == "failed"
    assert "git~1" in ended["results"]["tasks"][0]["reason"]
    [attempt] = attempts(site, job)
    ref = refs(project, job)[f"checkpoint/worker_1/{attempt['failure']['kept']}"]
    assert project.show(ref, "app.py") == "good"
    assert "y.txt" in project.files(ref)
    worktree = site.directory(job) / "depth_0" / "worker_1" / "worktree"
    assert (worktree / "git~1").exists()


def test_a_retry_of_a_transient_failure_has_all_files_with_ignored_ones(
    make_project: MakeProject,
) -> None:
    site, _ = make_project()
    script = (
        'if [ "${ORCHESTRATOR_WORKER##*/}" = 1 ]; then '
        "echo a > a.txt; echo b > b.log; kill -9 $$; fi; test -e a.txt; test -e b.log"
    )
    ended = site.run("x", [edit(script, retries=1)])
    assert ended["status"] == "completed", ended
    [first, _] = attempts(site, ended["job_id"])
    assert first["failure"]["strategy"] == "retry_current"


def test_crashes_after_the_work_do_not_undo_it(make_project: MakeProject) -> None:
    site, project = make_project()
    script = (
        "n=${ORCHESTRATOR_WORKER##*/}; [ $n -gt 2 ] || echo $n > $n.txt\n"
        "[ $n = 1 ] && git add . && git commit -qm one\n"
        "[ $n -lt 4 ] && { kill -9 $PPID; sleep 30; }; test -e 1.txt; test -e 2.txt"
    )
    ended = site.run("x", [edit(script, retries=3)])
    job = ended["job_id"]
    assert ended["status"] == "completed", (ended, site.log(job, "worker_1"))
    assert {"1.txt", "2.txt"} <= set(project.files(f"orchestrator/{job}/result"))
    causes = [each["failure"]["strategy"] for each in attempts(site, job)[:3]]
    assert causes == ["retry_current"] * 3


def test_rolled_back_changes_are_shown_and_can_be_merged(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = make_project()
    breaks = "echo work > work.txt; git add .; git commit -qm work; rm .git; exit 1"
    script = f'[ "${{ORCHESTRATOR_WORKER##*/}}" != 1 ] || {{ {breaks}; }}; exit 3'
    job = site.run("x", [edit(script, retries=1)])["job_id"]
    ref = f"refs/orchestrator/{job}/checkpoint/worker_1/1-after"

    [row] = site.get(f"/jobs/{job}/status")["made_not_in_result"]
    assert (row["cause"], row["branch"], row["brings_in"]) == ("rolled_back", ref, True)
    assert row["show"] == f"bin/orchestrator diff {job} worker_1 --attempt 1"
    final = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert row["command"] in final and row["show"] in final
    capfd.readouterr()
    assert command(site, "status", job) == 1
    assert row["command"] in capfd.readouterr().out
    assert command(site, *row["show"].split()[1:]) == 0
    assert "+work" in capfd.readouterr().out
    assert command(site, "diff", job, "worker_1", "--attempt", "7") == 3
    for each in row["command"].split("; "):
        command(site, *each.split()[1:])
    assert project.show(f"orchestrator/{job}/result", "work.txt") == "work"
    assert site.get(f"/jobs/{job}/status")["made_not_in_result"] == []


def test_rolled_back_changes_outlast_their_job(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = make_project()
    script = BREAKS_FIRST.replace("test -z", ": test -z")
    job = site.run("x", [edit(script, retries=1)])["job_id"]
    site.stop()
    capfd.readouterr()
    assert command(site, "clean", "--older-than", "0s", "--yes", up=False) == 0
    name = f"refs/orchestrator-kept/{job}/worker_1+attempt-1"
    assert name in capfd.readouterr().err
    assert "junk.txt" in project.files(name)


def test_a_worktree_whose_git_file_was_deleted_loses_nothing(make_project: MakeProject) -> None:
    site, project = make_project()
    ended = site.run("x", [edit("echo wip > wip.txt; rm .git; exit 1", retries=0)])
    job = ended["job_id"]
    assert project.show(f"orchestrator/{job}/worker_1", "wip.txt") == "wip"
    [only] = attempts(site, job)
    assert only["failure"]["strategy"] == "escalate"
    assert ".git was deleted" in only["failure"]["reason"]


@pytest.mark.usefixtures("spawning")
def test_a_worker_that_deletes_its_worktree_has_failed_unless_it_committed_its_changes(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    delete = 'top=$PWD; cd ..; rm -rf "$top"'

    lost = site.run("x", [edit(f"echo two > app.py; {delete}", retries=0)])
    committed = site.run("y", [edit(f"echo two > app.py; git commit -qam two; {delete}")])

    assert lost["status"] == "failed", lost
    [row] = lost["results"]["tasks"]
    assert row["reason"] == (
        "the worker deleted its worktree, with all changes that were not committed"
    )
    assert committed["status"] == "completed", committed
    assert project.show(f"orchestrator/{committed['job_id']}/result", "app.py") == "two"


def test_changes_of_child_jobs_are_restored_after_a_rollback(make_project: MakeProject) -> None:
    site, project = make_project()
    children = json.dumps([edit("echo child > child.txt")])
    script = (
        'if [ "${ORCHESTRATOR_WORKER##*/}" = 1 ]; then echo own > own.txt\n'
        f"cat > \"$ORCHESTRATOR_WORKER_DIR/c.json\" <<'END'\n{children}\nEND\n"
        'orchestrator spawn child --tasks "$ORCHESTRATOR_WORKER_DIR/c.json" --wait\n'
        "test -e child.txt; rm .git; exit 1; fi\n"
        "test -e child.txt; test ! -e own.txt; echo more > more.txt"
    )
    ended = site.run("x", [edit(script, retries=1)])
    job = ended["job_id"]
    assert ended["status"] == "completed", (ended, site.log(job, "worker_1"))
    found = set(project.files(f"orchestrator/{job}/result"))
    assert {"child.txt", "more.txt"} <= found and "own.txt" not in found


def test_without_a_worktree_nothing_is_rolled_back(make_project: MakeProject) -> None:
    site, _ = make_project()
    ended = site.run("x", [shell("[ -e f ] || { touch f; exit 1; }", retries=1)])
    assert ended["status"] == "completed", ended
    first, _ = attempts(site, ended["job_id"])
    assert (first["failure"]["strategy"], first["failure"]["kept"]) == ("retry_current", "")


# Crashes


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(each, marks=[] if number % 4 == 2 else pytest.mark.nightly)
        for number, each in enumerate(crash_points.OF_CHECKPOINTS)
    ],
)
def test_a_crash_between_decision_and_rollback_changes_nothing(
    crashing: MakeCrashing, tmp_path: Path, point: str
) -> None:
    # Counted in a file, because attempts that never began due to a crash also have numbers.
    script = BREAKS_FIRST.replace('"${ORCHESTRATOR_WORKER##*/}" = 1', f"! -e '{tmp_path}/broke'")
    script = script.replace("then\n", f"then touch '{tmp_path}/broke'\n")
    site, project = crashing(point, files=FILES)
    job = site.submit_once([edit(script)])
    until(lambda: any(point in each for each in site.reached()), f"it came to {point!r}", 40)
    site.crashes = ""
    answer = site.wait_through(job)
    assert answer["status"] == "completed", (answer, site.tail(), site.log(job, "worker_1"))
    assert project.show(f"orchestrator/{job}/worker_1", "app.py") == "good"
    ref_of = refs(project, job)
    broken = [name for name in ref_of if name.startswith("checkpoint/") and "-after" in name]
    assert any("junk.txt" in project.files(ref_of[name]) for name in broken)
    assert any("x.log" in project.files(ref_of[n]) for n in ref_of if n.startswith("ignored/"))


# By a person


def command(site: InProcess, *arguments: str, up: bool = True) -> int:
    server = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY} if up else {}
    environ = {"PATH": os.environ["PATH"], **server}
    return execute(arguments, CliContext(folder=site.folder, environ=environ))


def test_checkpoints_are_listed_and_restored_and_nothing_is_lost(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = make_project()
    flag = project.path.parent / "flag"
    script = f"n=${{ORCHESTRATOR_WORKER##*/}}; echo $n > $n.txt; echo $n > n.log; test -e '{flag}'"
    job = site.run("x", [edit(script, retries=1)])["job_id"]
    capfd.readouterr()

    assert command(site, "checkpoints", job, "worker_7") == 3
    assert "workers with checkpoints: worker_1" in capfd.readouterr().err
    assert command(site, "checkpoints", job, "--json") == 0
    listed = json.loads(capfd.readouterr().out)
    assert listed == site.get(f"/jobs/{job}/checkpoints")
    rows = [
        (each["name"], each["files_changed"], each["ignored"], each["current"])
        for each in listed["checkpoints"]
    ]
    assert rows == [
        ("start", 0, False, False),
        ("1-before", 0, False, False),
        ("1-after", 1, True, False),
        ("2-before", 0, True, False),
        ("2-after", 1, True, True),
    ]
    assert project.git("rev-parse", listed["checkpoints"][4]["ref"]) == project.git(
        "rev-parse", f"orchestrator/{job}/worker_1"
    )
    assert listed["checkpoints"][1]["at"] < listed["checkpoints"][4]["at"]

    assert command(site, "rollback", job, "worker_1", "1-after") == 1
    printed = capfd.readouterr().err
    assert f": bin/orchestrator rollback {job} worker_1 1-after --yes\n" in printed
    assert command(site, "rollback", job, "worker_1", "9-after", "--yes") == 3
    assert "known: start, 1-before" in capfd.readouterr().err
    assert command(site, "rollback", job, "worker_1", "1-after", "--yes") == 0
    printed = capfd.readouterr()
    assert "restored worker_1 to checkpoint 1-after" in printed.out
    assert f"orchestrator merge {job}" in printed.err
    assert "2.txt" not in project.files(f"orchestrator/{job}/worker_1")
    ref = refs(project, job)["checkpoint/worker_1/2-left-1"]
    assert "2.txt" in project.files(ref)
    assert command(site, "checkpoints", job, "worker_1") == 0
    here = [line for line in capfd.readouterr().out.splitlines() if "<- current" in line]
    assert len(here) == 1 and "1-after" in here[0]
    event = site.manager.parts.store.events(job, 0, 1000)[-1]
    assert (event.kind, event.worker_id) == (EventKind.WORKER_ROLLED_BACK, "worker_1")
    assert (event.data["checkpoint"], event.data["kept"], event.data["attempt"]) == (
        *("1-after", "2-left-1"),
        2,
    )
    final = site.directory(job) / "FINAL_RESULT.md"
    until(lambda: "Rolled back to checkpoint 1-after" in final.read_text(), "the report names it")

    flag.touch()
    assert site.call("POST", f"/jobs/{job}/retry", {}).status_code == 202
    assert site.wait(job)["status"] == "completed"
    found = project.files(f"orchestrator/{job}/worker_1")
    assert {"1.txt", "3.txt"} <= set(found) and "2.txt" not in found
    # A recreated worktree has the ignored files of the checkpoint from which it starts.
    assert project.show(refs(project, job)["ignored/worker_1/3-before"], "n.log") == "1"


def test_a_worker_that_runs_or_has_no_worktree_is_not_rolled_back(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, _ = make_project()
    release = tmp_path / "release"
    wait = f"touch here; until [ -e '{release}' ]; do sleep 0.02; done"
    job = site.submit("x", [edit(wait), shell("true")])
    directory = site.directory(job) / "depth_0" / "worker_1" / "worktree"
    until((directory / "here").exists, "it runs")

    refused = site.call("POST", f"/jobs/{job}/workers/worker_1/rollback", {"checkpoint": "start"})
    plain = site.call("POST", f"/jobs/{job}/workers/worker_2/rollback")
    unknown = site.call("POST", f"/jobs/{job}/workers/worker_9/rollback")

    assert (refused.status_code, plain.status_code, unknown.status_code) == (409, 409, 404)
    assert "worker_1 has not ended (running)" in refused.json()["detail"]
    assert "has no worktree" in plain.json()["detail"]
    assert (directory / "here").exists()
    release.touch()
    assert site.wait(job)["status"] == "completed"


def waits_to_try_again(worker: dict[str, Any]) -> bool:
    # An attempt is recorded before it begins, so it may have no end.
    ended = [each for each in worker["attempts"] if each.get("ended_at")]
    return bool(worker["status"] == "pending" and ended)


def test_a_rollback_by_a_person_between_attempts_replaces_the_automatic_one(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, _ = make_project(workers={"retry_backoff_seconds": 30, "max_workers": 2})
    job = site.submit("x", [edit("echo a > a.txt; rm .git; exit 1", retries=1)])
    until(lambda: waits_to_try_again(site.get(f"/jobs/{job}")["workers"][0]), "it waits")
    answer = site.call("POST", f"/jobs/{job}/workers/worker_1/rollback", {"checkpoint": "1-after"})
    assert answer.status_code == 200, answer.text
    directory = site.directory(job) / "depth_0" / "worker_1" / "worktree"
    assert (directory / "a.txt").exists()
    worker = site.manager.parts.store.workers(job)[0]
    assert worker.result is not None and worker.result.failures[-1].checkpoint == "1-before"
    assert (
        pending(worker, site.manager.service.checkpoints._worktrees.checkpoints.refs_of(worker))
        is None
    )
    site.call("POST", f"/jobs/{job}/cancel", {})
    assert site.wait(job)["status"] == "cancelled"


def test_checkpoints_are_listed_and_restored_with_the_server_down(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo a > a.txt")])["job_id"]
    site.stop()
    capfd.readouterr()

    assert command(site, "rollback", job, "worker_1", "--yes", "--json", up=False) == 0

    answer = json.loads(capfd.readouterr().out)
    assert (answer["checkpoint"], answer["kept"]) == ("1-before", "1-left-1")
    assert "a.txt" not in project.files(f"orchestrator/{job}/worker_1")
    assert command(site, "checkpoints", job, up=False) == 0
    assert "1-left-1" in capfd.readouterr().out
    report = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "Rolled back to checkpoint 1-before by command line" in report
    with sqlite3.connect(site.directory(job).parent / "orchestrator.db") as database:
        last = "SELECT kind, data FROM events ORDER BY seq DESC LIMIT 1"
        kind, data = database.execute(last).fetchone()
    assert kind == "worker_rolled_back" and json.loads(data)["kept"] == "1-left-1"
    audit = (site.folder / "logs" / "audit.jsonl").read_text()
    assert f"/api/v1/jobs/{job}/workers/worker_1/rollback" in audit


#: Command that adds a line, and succeeds from its second attempt on.
ADDS_A_LINE = 'echo two >> app.py; test "${ORCHESTRATOR_WORKER##*/}" != 1'


def lines(project: Project, job: str, branch: str = "result") -> list[str]:
    return project.show(f"orchestrator/{job}/{branch}", "app.py").split()


def test_a_retry_of_a_command_does_not_make_its_changes_twice(make_project: MakeProject) -> None:
    site, project = make_project()

    ended = site.run("x", [shell(ADDS_A_LINE, git="on", retries=1)])

    assert ended["status"] == "completed", ended
    assert lines(project, ended["job_id"]) == ["one", "two"]
    [first, _] = attempts(site, ended["job_id"])
    assert (first["failure"]["strategy"], first["failure"]["checkpoint"]) == (
        "rollback_last",
        "1-before",
    )
    assert ended["results"].get("made_not_in_result", []) == []


def test_a_persons_retry_of_a_command_does_not_make_its_changes_twice(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    ended = site.run("x", [shell(ADDS_A_LINE, git="on", retries=0)])
    assert ended["status"] == "failed"
    job = ended["job_id"]
    assert lines(project, job, "worker_1") == ["one", "two"]

    site.call("POST", f"/jobs/{job}/retry")

    assert site.wait(job)["status"] == "completed"
    assert lines(project, job) == ["one", "two"]


def test_a_persons_rollback_decides_where_a_command_starts(make_project: MakeProject) -> None:
    site, project = make_project()
    job = site.run("x", [shell(ADDS_A_LINE, git="on", retries=0)])["job_id"]
    site.call("POST", f"/jobs/{job}/workers/worker_1/rollback", {"checkpoint": "1-after"})

    site.call("POST", f"/jobs/{job}/retry")

    assert site.wait(job)["status"] == "completed"
    assert lines(project, job) == ["one", "two", "two"]


def test_a_command_that_the_merged_gates_reject_starts_from_the_merged_result(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    gate = {"name": "both", "run": 'test ! -e x || test "$(tail -1 app.py)" != two'}
    command = "if test -e x; then echo three >> app.py; else echo two >> app.py; fi"

    ended = site.run(
        "x",
        [shell("echo x > x", git="on"), shell(command, git="on")],
        gates=[gate],
        max_retries=1,
    )

    assert ended["status"] == "completed", ended
    assert lines(project, ended["job_id"]) == ["one", "three"]
