"""A recorded process id, and the process that now has this id."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.api.client.errors import ServerUnreachable
from orchestrator.cli.command_context import CliContext
from orchestrator.cli.offline import server_liveness
from orchestrator.cli.offline.server_liveness import is_same_process
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.system.http_client import silence
from tests.unit.cli.conftest import Orchestrator

STARTED_LONG_AGO = 1_000_000.0


def test_a_process_that_lives_is_the_one_that_was_written_down() -> None:
    assert is_same_process(os.getpid(), time.time())
    assert is_same_process(os.getpid(), None)


def test_a_reused_process_number_is_another_process() -> None:
    assert not is_same_process(os.getpid(), STARTED_LONG_AGO)


def test_an_ended_process_does_not_run_before_and_after_it_is_collected() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.DEVNULL)
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert not is_same_process(ended.pid, None)
    ended.wait()
    assert not is_same_process(ended.pid, None)


def test_an_invalid_process_number_is_no_process() -> None:
    assert not any(is_same_process(pid, None) for pid in (0, -1, 2**70))


@pytest.fixture
def silent_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Record a server that accepts connections, and never answers, as the folder's server."""
    monkeypatch.setattr(silence, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(server_liveness, "ANSWER_SECONDS", 0.6)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        record = {"url": url, "pid": os.getpid(), "started_at": 9999999999}
        (folder / "workspace" / "server.json").write_text(json.dumps(record))
        yield url


def test_a_silent_server_is_reported_while_the_command_waits(
    folder: Path, silent_server: str, orchestrator: Orchestrator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orchestrator("jobs", "--json") == ExitCode.OK
    out, err = capsys.readouterr()
    assert json.loads(out)["jobs"] == []
    assert err == f"no answer from {silent_server} yet; waiting up to 1 s\n"

    context = CliContext(folder=folder, environ={})
    with pytest.raises(ServerUnreachable, match="gives no answer at"):
        context.local_service()

    # A command waits only once for the same server.
    server_liveness._silent_servers.clear()
    assert orchestrator("run", "x") == ExitCode.UNREACHABLE
    assert capsys.readouterr().err.splitlines() == [
        f"no answer from {silent_server} yet; waiting up to 1 s",
        f"Error: the server of {folder} gives no answer at {silent_server}; stop the server: "
        f"kill {os.getpid()}",
        "check the server: bin/orchestrator doctor",
    ]
