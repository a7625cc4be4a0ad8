"""A standby server replaces the first server when the first server is killed."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from orchestrator.workspace import WorkspaceLock
from tests.faults.site import store_settings
from tests.integration.site import ServerProcess, complete_lines, shell, until
from tests.support.examples import nightly

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def databases() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    ("store", "lease"), [("sqlite", None), *nightly(("postgresql", None), ("postgresql", 8.0))]
)
def test_a_standby_adopts_the_workers_of_a_killed_server(
    tmp_path: Path, databases: ExitStack, store: str, lease: float | None
) -> None:
    """With a server lease, a standby server on the same machine also adopts the workers."""
    settings = store_settings(store, tmp_path, databases)
    server = ServerProcess(tmp_path / "site", {**settings, "cluster": {"server_lease": lease}})
    standby: Any = None
    try:
        server.start()
        effects, gate = tmp_path / "effects", tmp_path / "gate"
        runs = f"echo start $ORCHESTRATOR_WORKER >> {effects}; until [ -e {gate} ]; do sleep 0.05; "
        tasks = [shell(f"{runs} done; echo end $ORCHESTRATOR_WORKER >> {effects}; echo held")] * 3
        job = server.submit("x", tasks)
        until(lambda: effects.exists() and len(complete_lines(effects)) == 3, "all run")
        first = server.process
        assert first is not None
        standby = server.popen("--port", "0", "--standby", fork=False)
        until(lambda: "standby: waiting" in server.output(), "it waits")
        assert f'"pid": {first.pid}' in server.record.read_text()

        server.kill()
        server.process = standby
        until(
            lambda: f'"pid": {standby.pid}' in server.record.read_text(),
            "the standby is the server",
        )
        gate.touch()
        ended = server.wait(job)

        outputs = [row["output"] for row in ended["results"]["tasks"]]
        assert (ended["status"], outputs) == ("completed", ["held"] * 3)
        assert len(complete_lines(effects)) == 6
    finally:
        server.stop()
        if standby is not None and standby.poll() is None:
            standby.terminate()
            standby.wait(30)


@pytest.mark.nightly
def test_a_waiting_standby_ends_at_sigterm(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "site", {})
    try:
        server.start()
        standby = server.popen("--port", "0", "--standby", fork=False)
        until(lambda: "standby: waiting" in server.output(), "it waits")

        standby.send_signal(signal.SIGTERM)

        assert standby.wait(30) == 0
        assert server.run("still there", [shell("echo one")])["status"] == "completed"
    finally:
        server.stop()


@pytest.mark.nightly
def test_a_standby_is_refused_if_the_holder_is_not_on_this_machine(tmp_path: Path) -> None:
    """A standby server takes a lock without a process here for the lock of another machine."""
    server = ServerProcess(tmp_path / "site", {})
    server.start()
    server.terminate()
    path = server.record.parent / "server.lock"
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        # Linux has no larger process id than 4194304.
        os.pwrite(descriptor, b"4194305\n", 0)
        standby = server.popen("--port", "0", "--standby", fork=False)

        assert standby.wait(60) != 0
        assert not server.record.exists()
    finally:
        os.close(descriptor)
        server.stop()


def test_the_holder_of_a_lock_is_found_by_its_open_file(tmp_path: Path) -> None:
    lock = WorkspaceLock(tmp_path)
    assert not lock.is_held_here()
    lock.acquire()
    assert WorkspaceLock(tmp_path).is_held_here()
    lock.release()
    assert not WorkspaceLock(tmp_path).is_held_here()
