"""The OOM scores of processes: which processes the kernel kills first without memory."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.launchers.process import worker_process


@pytest.fixture(autouse=True)
def working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the working directory of this process, which ``start_worker`` changes to "/"."""
    monkeypatch.chdir(Path.cwd())


def score(pid: int | str) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_processes_that_a_worker_started_earlier_are_marked_too() -> None:
    expected = min(1000, score("self") + worker_process.OOM_SCORE_ADDED)
    with subprocess.Popen(["bash", "-c", "(sleep 60; :) & wait"]) as worker:
        try:
            children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
            while not (found := children.read_text().split()):
                time.sleep(0.005)
            [child] = found
            grandchildren = Path(f"/proc/{child}/task/{child}/children")
            while not (found := grandchildren.read_text().split()):
                time.sleep(0.005)
            worker_process.offer_to_oom_killer(worker.pid)
            pids = (worker.pid, int(child), int(found[0]))
            assert [score(pid) for pid in pids] == [expected] * 3
        finally:
            worker.terminate()
            for pid in found:
                subprocess.run(["kill", pid], check=False)


def start_shell(script: str) -> tuple[int, str]:
    """Run a script as a worker. Return its exit code, and its output."""
    reading, writing = os.pipe()
    with open(os.devnull, "rb") as nothing:
        pid = worker_process.start_worker(
            ["sh", "-c", script], "/", dict(os.environ), nothing.fileno(), writing
        )
    os.close(writing)
    with os.fdopen(reading) as output:
        text = output.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


@pytest.mark.parametrize("may_raise_own", [True, False])
def test_a_worker_has_a_higher_score_than_its_parent(
    may_raise_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not may_raise_own:
        monkeypatch.setattr(worker_process, "_own_score", lambda pid: None)
    own = score("self")
    expected = min(1000, own + worker_process.OOM_SCORE_ADDED)
    script = f'until [ "$(cat /proc/self/oom_score_adj)" = {expected} ]; do sleep 0.01; done'
    assert start_shell(script) == (0, "")
    assert score("self") == own


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the score of a shim")
def test_a_worker_of_root_has_the_score_from_its_first_instruction() -> None:
    expected = min(1000, score("self") + worker_process.OOM_SCORE_ADDED)
    assert start_shell("cat /proc/self/oom_score_adj") == (0, f"{expected}\n")


def test_a_failed_start_leaves_the_score_of_the_parent() -> None:
    own = score("self")
    with open(os.devnull, "r+b") as nothing, pytest.raises(worker_process.SpawnFailed):
        worker_process.start_worker(["/missing"], "/", {}, nothing.fileno(), nothing.fileno())
    assert score("self") == own
