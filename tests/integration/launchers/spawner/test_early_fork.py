"""The spawner that ``orchestrator serve`` forks before it loads other modules."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.launchers.local.local_launcher import LocalLauncher
from orchestrator.launchers.local.spawner_client import SpawnerProcess
from orchestrator.launchers.spawner import early_fork
from orchestrator.system import process_table
from tests.integration.launchers.conftest import Reports

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture
def server(tmp_path: Path, until: Callable[..., None]) -> Iterator[int]:
    """The PID of a server."""
    environ = {name: text for name, text in os.environ.items() if "ORCHESTRATOR_" not in name}
    project, output = tmp_path / "project", tmp_path / "output"
    project.mkdir()
    with output.open("wb") as file:
        started = subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator", "serve", "--port", "0"],
            cwd=tmp_path,
            env={
                **environ,
                "PYTHONPATH": str(REPOSITORY),
                "ORCHESTRATOR_API__API_KEY": "0a1b2c3d4e5f60718293",
                "ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT": str(project),
                "ORCHESTRATOR_ORCHESTRATOR__WORKSPACE_ROOT": str(tmp_path / "workspace"),
                "ORCHESTRATOR_LOGGING__LOG_DIR": str(tmp_path / "logs"),
            },
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            pass_fds=[file.fileno()],
        )
    until(lambda: b"serving at" in output.read_bytes())
    yield started.pid
    started.kill()
    started.wait()


def test_a_server_forks_its_spawner_which_keeps_nothing_of_the_server(
    server: int, until: Callable[..., None]
) -> None:
    [keeper] = process_table.children(server)

    command = Path(f"/proc/{keeper}/cmdline").read_bytes().rstrip(b"\0").decode()
    assert command == early_fork.TITLE
    assert os.getsid(keeper) == keeper
    assert os.stat(f"/proc/{keeper}/environ").st_uid == 0, "the spawner's memory is hidden"
    if os.getuid() == 0:  # other users see nothing
        kept = {
            os.readlink(each).partition(":[")[0] for each in Path(f"/proc/{keeper}/fd").iterdir()
        }
        assert kept == {"/dev/null", "socket"}
        assert os.readlink(f"/proc/{keeper}/cwd") == "/"

    os.kill(server, signal.SIGKILL)
    until(lambda: process_table.start_ticks(keeper) is None)


def test_a_forked_process_that_has_ended_is_replaced() -> None:
    started = SpawnerProcess.start()
    os.kill(started.pid, signal.SIGKILL)
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    launcher = LocalLauncher(spawner=started)
    launcher.open(Reports())
    try:
        assert launcher.keeper_pid != started.pid
    finally:
        launcher.close(stop=True)
