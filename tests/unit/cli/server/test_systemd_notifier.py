"""Messages to systemd, on a real datagram socket."""

import os
import socket
from pathlib import Path

import pytest

from orchestrator.cli.server.systemd_notifier import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> "tuple[socket.socket, str]":
    """A service manager's socket, and its address as ``NOTIFY_SOCKET`` names it."""
    address = str(tmp_path / "notify")
    if request.param == "abstract":
        address = f"@orchestrator-test-{os.getpid()}"
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    request.addfinalizer(receiver.close)
    receiver.bind(f"\0{address[1:]}" if address[0] == "@" else address)
    receiver.settimeout(5)
    return receiver, address


def test_states_are_sent(manager: tuple[socket.socket, str]) -> None:
    receiver, address = manager
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"}
    notifier = Notifier.of(environ)

    notifier.ready("serving at http://localhost:8000")
    notifier.alive()
    notifier.alive()
    notifier.stopping()

    received = [receiver.recv(4096).decode() for _ in range(3)]
    assert received == [
        "READY=1\nSTATUS=serving at http://localhost:8000",
        "WATCHDOG=1",  # once in ten seconds
        "STOPPING=1\nSTATUS=stopping",
    ]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "many"}, 0.0),
        ({}, 0.0),
    ],
)
def test_only_the_process_that_is_watched_pings(environ: dict[str, str], seconds: float) -> None:
    assert Notifier.of(environ).watchdog_seconds == seconds


def test_a_server_keeps_running_without_a_service_manager(tmp_path: Path) -> None:
    Notifier.of({}).ready("")
    Notifier.of({"NOTIFY_SOCKET": str(tmp_path / "removed")}).stopping()
