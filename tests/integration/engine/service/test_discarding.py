"""``discard`` and ``clean`` in a real repository, with the server up and down."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.workspace import attach
from tests.integration.conftest import MakeSite
from tests.integration.site import HOLD, KEY, InProcess, shell, until
from tests.support.examples import nightly
from tests.support.project import Project, agents, edit

FILES = {"app.py": "one\n"}
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project").begin(FILES)


@pytest.fixture
def site(make_site: MakeSite, project: Project, tmp_path: Path) -> InProcess:
    return make_site(orchestrator={"project_root": str(project.path)}, agents=agents(tmp_path))


def command(site: InProcess, *arguments: str, up: bool = True) -> int:
    server = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY} if up else {}
    environ = {"PATH": os.environ["PATH"], **server}
    return execute(arguments, CliContext(folder=site.folder, environ=environ))


def refs(project: Project, job: str) -> list[str]:
    listed = project.git("for-each-ref", "--format=%(refname)").splitlines()
    return [each for each in listed if job in each]


def ended(site: InProcess) -> str:
    """A job whose result has the work of one worker, and lacks the work of another."""
    tasks = [edit("echo a > a.txt"), edit("echo b > b.txt; exit 1", retries=0)]
    return str(site.run("x", tasks)["job_id"])


def test_a_job_without_worktrees_has_nothing_to_discard_and_can_be_retried(
    site: InProcess, capfd: Capture
) -> None:
    job = str(site.run("x", [shell("exit 1", retries=0)])["job_id"])

    assert command(site, "discard", job, "--yes") == 0

    assert "nothing to discard" in capfd.readouterr().err
    assert "discarded" not in (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert site.call("POST", f"/jobs/{job}/retry").status_code == 202


@pytest.mark.parametrize("up", [True, *nightly(False)], ids=["server up", "server down"])
def test_what_has_not_landed_is_shown_and_discarded(
    site: InProcess, project: Project, capfd: Capture, up: bool
) -> None:
    job = ended(site)
    if not up:
        site.stop()
    before = project.git("for-each-ref", "refs/heads/main")
    capfd.readouterr()

    assert command(site, "discard", job, up=up) == 1
    printed = capfd.readouterr()
    names = [f"refs/heads/orchestrator/{job}/{each}" for each in ("result", "worker_2")]
    assert all(each in printed.err for each in names)
    assert f": bin/orchestrator discard {job} --yes\n" in printed.err
    # The result has the changes of worker_1.
    assert f"{job}/worker_1" not in printed.err
    assert refs(project, job)
    assert command(site, "discard", job, "--yes", up=up) == 0
    printed = capfd.readouterr()
    assert f"refs/heads/orchestrator/{job}/worker_1" in printed.out
    assert refs(project, job) == [] and project.git("for-each-ref", "refs/heads/main") == before
    assert project.worktrees() == []

    assert command(site, "discard", job, up=up) == 0
    assert "nothing to discard" in capfd.readouterr().err
    assert command(site, "status", job, up=up) == 6
    shown = capfd.readouterr().out
    assert "discarded" in shown and "bin/orchestrator" not in shown
    final = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "were discarded" in final and "--include" not in final and f"land {job}" not in final
    assert command(site, "discard", "nosuchjob", up=up) == 3
    capfd.readouterr()
    for options in ((), ("--partial",)):
        assert command(site, "land", job, "--yes", *options, up=up) == 3
        assert "branches were discarded; submit the request" in capfd.readouterr().err
    for arguments, outcome in (
        (("diff", job), 3),
        (("diff", job, "worker_1"), 3),
        (("continue", job, "more"), 1),
        (("apply", job, "--to", str(site.folder)), 3),
    ):
        assert command(site, *arguments, up=up) == outcome
        printed = capfd.readouterr()
        assert f"job {job} was discarded" in printed.err, printed.err
        assert f"bin/orchestrator report {job}" in printed.err
        assert "bin/orchestrator apply" not in printed.err
        assert ("no new job was started" in printed.err) is (arguments[0] == "continue")
    if up:
        for path in ("merge", "retry"):
            refused = site.call("POST", f"/jobs/{job}/{path}", {})
            assert refused.status_code == 409 and "discarded" in refused.json()["detail"]


def test_what_has_landed_stays_and_can_be_undone(
    site: InProcess, project: Project, capfd: Capture
) -> None:
    job = ended(site)
    start = project.git("rev-parse", "main")
    assert command(site, "land", job, "--yes", "--partial") == 0
    capfd.readouterr()
    assert command(site, "discard", job, "--yes") == 0
    printed = capfd.readouterr()
    assert f"{job}/worker_2" in printed.err and f"{job}/result" not in printed.err + printed.out
    assert "a.txt" in project.files("main")
    assert command(site, "undo", job, "--yes") == 0
    assert project.git("rev-parse", "main") == start


@pytest.mark.parametrize("up", [*nightly(True), False], ids=["server up", "server down"])
def test_a_discarded_result_lands_again_after_its_landing_was_undone(
    site: InProcess, project: Project, capfd: Capture, up: bool
) -> None:
    job = ended(site)
    for each in (("land", "--partial"), ("discard",), ("undo",)):
        assert command(site, each[0], job, "--yes", *each[1:]) == 0
    if not up:
        site.stop()
    capfd.readouterr()

    assert command(site, "diff", job, "--stat", up=up) == 0
    assert "a.txt" in capfd.readouterr().out
    assert command(site, "land", job, "--yes", "--partial", up=up) == 0, capfd.readouterr().err
    assert "a.txt" in project.files("main")


def test_a_job_that_runs_is_not_discarded(
    site: InProcess, project: Project, capfd: Capture, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    script = f"echo a > a.txt; until [ -e {release} ]; do sleep 0.02; done"
    job = site.submit("x", [edit(script)])
    until(lambda: bool(refs(project, job)), "it has a branch")
    capfd.readouterr()
    assert command(site, "discard", job, "--yes") == 1
    assert f"bin/orchestrator cancel {job}" in capfd.readouterr().err
    for path in ("discard", "remove"):
        assert site.call("POST", f"/jobs/{job}/{path}", {}).status_code == 409
    assert refs(project, job)
    release.touch()
    assert site.wait(job)["status"] == "completed"


def test_clean_works_while_the_server_runs_and_leaves_jobs_that_are_at_work(
    site: InProcess, project: Project, capfd: Capture, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    running = site.submit("x", [edit(HOLD, env={"RELEASE": str(release)})])
    used, old = ended(site), ended(site)
    lock = attach(site.directory(used) / "depth_0" / "worker_2")
    assert lock is not None
    record = {"pid": os.getpid(), "url": site.url}
    (site.workspace / "server.json").write_text(json.dumps(record))
    capfd.readouterr()

    assert command(site, "clean", "--older-than", "0s", "--yes") == 1

    printed = capfd.readouterr()
    assert printed.out.split() == [old] and "removed 1 job, " in printed.err
    assert f"attach {used} worker_2" in printed.err
    ref = f"refs/orchestrator-kept/{old}/worker_2"
    assert ref in printed.err and f"bin/orchestrator discard {old}" in printed.err
    assert not site.directory(old).exists() and site.directory(used).exists()
    assert site.call("GET", f"/jobs/{old}").status_code == 404
    assert site.status(running)["status"] == "running"
    os.close(lock)
    assert command(site, "clean", "--older-than", "0s", "--yes") == 0
    assert not site.directory(used).exists() and site.directory(running).exists()

    assert command(site, "discard", old, "--yes") == 0
    assert ref in capfd.readouterr().out
    assert refs(project, old) == []
    release.touch()
    assert site.wait(running)["status"] == "completed"
