"""``attach``: a worker's session in a real terminal, and its worktree before and afterwards."""

import os
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.system import process_table
from tests.integration.agents.conftest import KEY
from tests.integration.agents.test_sessions import TOOL, runs_of, task
from tests.integration.conftest import MakeSite
from tests.integration.site import InProcess, shell, until
from tests.support.project import Project

_COMMAND = (
    "import os, sys; from pathlib import Path; "
    "from orchestrator.cli.command_line.main import execute; "
    "from orchestrator.cli.command_context import CliContext; "
    "sys.exit(execute(sys.argv[2:], CliContext(folder=Path(sys.argv[1]), environ=os.environ)))"
)
_SECONDS = 30

pytestmark = pytest.mark.slow


class Terminal:
    """A command in its own pseudo-terminal."""

    def __init__(self, site: InProcess, *arguments: str) -> None:
        self._master, slave = os.openpty()
        argv = ["setsid", "-c", "-w", sys.executable, "-c", _COMMAND, str(site.folder), *arguments]
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.shown = ""

    def until(self, text: str) -> str:
        """Return the output since the previous call."""
        deadline = time.monotonic() + _SECONDS
        while text not in self.shown:
            assert time.monotonic() < deadline, (text, self.shown)
            if not self._read():
                assert text in self.shown, (text, self.shown)
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.1)[0]:
            return True
        try:
            self.shown += os.read(self._master, 65536).decode()
        except OSError:  # the other end of the terminal is closed
            return False
        return True

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        while self._read():
            pass
        code = self.process.wait(_SECONDS)
        os.close(self._master)
        return code


Open = Callable[..., Terminal]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project").begin({"a.txt": "one\n"})
    project.git("config", "user.name", "Ada")
    project.git("config", "user.email", "ada@example.org")
    return project


@pytest.fixture
def site(make_site: MakeSite, project: Project, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    command = {"claude_command": shlex.join([sys.executable, str(TOOL)])}
    return make_site(orchestrator={"project_root": str(project.path), **command})


@pytest.fixture
def attach(site: InProcess) -> Iterator[Open]:
    opened = []

    def attach(job_id: str, worker_id: str = "worker_1") -> Terminal:
        opened.append(Terminal(site, "attach", job_id, worker_id))
        return opened[-1]

    yield attach
    for each in opened:
        each.process.kill()
        each.process.wait()


def failed(site: InProcess) -> tuple[str, str]:
    """A job of one worker whose work is incomplete, and the worker's session."""
    gates = [{"name": "whole", "run": "test -f second.txt"}]
    job_id = site.run("x", [task("writes=first.txt:1 answers", retries=0, gates=gates)])["job_id"]
    [run] = runs_of(site, job_id)
    return job_id, run["session"]


def merge(site: InProcess, job_id: str, *take: str) -> None:
    answer = site.call("POST", f"/jobs/{job_id}/merge", {"take": [*take]})
    assert answer.status_code in (200, 202), answer.text
    until(lambda: not site.manager.service.merges.is_merging(job_id), "it is merged")


def test_a_failed_worker_is_finished_in_its_own_session_and_merged(
    site: InProcess, project: Project, attach: Open
) -> None:
    job_id, session = failed(site)
    terminal = attach(job_id)
    assert f"session {session} in " in terminal.until("how can I help?")
    terminal.type("cat first.txt > second.txt; pwd; tty\n")
    assert f"job_{job_id}/depth_0/worker_1/worktree" in terminal.until("/dev/pts/")
    terminal.until("done")
    # No key ends the session or removes the worktree before the tool ends.
    terminal.type("sleep 20\n")
    time.sleep(0.3)
    terminal.type("\x03")
    terminal.until("press it twice")
    terminal.type("bye\n")
    shown = terminal.until(f"bin/orchestrator merge {job_id} --include worker_1")
    assert "worker_1: 1 file changed, committed on orchestrator/" in shown
    assert terminal.end() == 0

    branch = f"orchestrator/{job_id}/worker_1"
    assert project.git("log", "-1", "--format=%an <%ae>", branch) == "Ada <ada@example.org>"
    assert f"Orchestrator-Job: {job_id}" in project.git("log", "-1", "--format=%B", branch)
    assert not (site.directory(job_id) / "depth_0" / "worker_1" / "worktree").exists()
    merge(site, job_id, "worker_1")
    assert {"first.txt", "second.txt"} <= set(project.files(f"orchestrator/{job_id}/result"))

    again = attach(job_id)
    again.until("how can I help?")
    # A daemon of the tool ends with the session.
    again.type("(setsid sleep 4711 &)\necho more > third.txt\nbye\n")
    assert again.end() == 0
    assert not any(
        "4711" in process_table.command_line(each.pid) for each in process_table.living_processes()
    )
    # The result has the worker's earlier changes, but not the new changes of its branch.
    merge(site, job_id, "worker_1")
    assert "third.txt" in project.files(f"orchestrator/{job_id}/result")


def test_changes_of_a_worker_that_had_changed_nothing_are_listed(
    site: InProcess, attach: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_API_URL", site.url)
    gates = [{"name": "whole", "run": "test -f second.txt"}]
    job_id = site.run("x", [task("answers", retries=0, gates=gates)])["job_id"]
    assert site.status(job_id)["made_not_in_result"] == []
    terminal = attach(job_id)
    terminal.until("how can I help?")
    terminal.type("echo second > second.txt\nbye\n")
    assert "lack" not in terminal.until("1 file changed, committed on")
    assert terminal.end() == 0

    answer = site.status(job_id)
    [outside] = answer["made_not_in_result"]
    assert (outside["worker_id"], outside["files"]) == ("worker_1", 1)
    [row] = answer["results"]["tasks"]
    assert row["files_created"] == ["second.txt"]
    assert outside["command"] == f"bin/orchestrator merge {job_id} --include worker_1"
    page = site.directory(job_id) / "FINAL_RESULT.md"
    until(lambda: outside["command"] in page.read_text(), "the report names it")


@pytest.mark.nightly
def test_an_attached_worktree_belongs_to_the_person(
    site: InProcess, project: Project, attach: Open
) -> None:
    job_id, _ = failed(site)
    terminal = attach(job_id)
    terminal.until("how can I help?")
    second = attach(job_id)
    second.until("is already attached to another terminal")
    assert second.end() == 1
    for path in (f"/jobs/{job_id}/retry", f"/jobs/{job_id}/workers/worker_1/rollback"):
        refused = site.call("POST", path, {})
        assert refused.status_code == 409 and "attach" in refused.json()["detail"], refused.text
    terminal.type("echo kept > kept.txt\n")
    terminal.until("done")
    # The tool ends with its terminal, and nothing is committed.
    terminal.process.kill()
    until(lambda: not _is_held(site, job_id), "the worktree is free")

    again = attach(job_id)
    again.until("how can I help?")
    again.type("bye\n")
    assert "1 file changed" in again.until("committed on")
    assert again.end() == 0
    assert "kept.txt" in project.files(f"orchestrator/{job_id}/worker_1")


def _is_held(site: InProcess, job_id: str) -> bool:
    [worker] = site.manager.parts.store.workers(job_id)
    return bool(site.manager.parts.workspace.is_attached(worker))


def test_a_worker_that_cannot_be_attached_is_rejected_with_a_command(
    site: InProcess, project: Project, attach: Open, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    tasks = [
        shell("echo x > x.txt", git="on"),
        shell(f"until [ -e {go} ]; do sleep 0.02; done", git="on"),
    ]
    job_id = site.submit("x", tasks)
    until(lambda: len(project.git("branch", "--list", f"orchestrator/{job_id}/*").split()) > 3, "")
    running = attach(job_id, "worker_2")
    running.until(f"bin/orchestrator cancel {job_id}")
    unknown = attach(job_id, "worker_9")
    unknown.until("its workers: worker_1, worker_2")
    go.touch()
    site.wait(job_id)
    plain = attach(job_id, "worker_1")
    shown = plain.until("--include worker_1")
    assert f"worktree add ../{job_id}-worker_1 orchestrator/{job_id}/worker_1" in shown
    assert (running.end(), unknown.end(), plain.end()) == (1, 3, 1)
