"""The server's side of the spawner process."""

import itertools
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.evidence import Stray
from orchestrator.launchers import crashing
from orchestrator.launchers.plan import Plan

#: -S and -E keep start-up small and independent of the server's environment, and leave the import
#: path without this package: it is named here.
_PROGRAM = (
    "import sys; sys.path[0] = sys.argv[1]; from orchestrator.launchers.spawner import main; main()"
)
_ROOT = Path(__file__).resolve().parents[2]
_END_SECONDS = 5.0
_PASSED = ("LD_LIBRARY_PATH", crashing.VARIABLE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShimGone:
    """A shim has ended, and nothing that it left is alive."""

    serial: int
    #: What had to be killed.
    strays: tuple[Stray, ...]


class SpawnerProcess:
    """A running spawner. Raises OSError when it cannot be started or asked."""

    def __init__(self, plan: Plan) -> None:
        self._serials = itertools.count(1)
        # Packets, so that a request and its descriptor stay together.
        self._control, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other_end:
            try:
                self._process = _start(plan, other_end.fileno())
            except OSError:
                self._control.close()
                raise
        self._control.setblocking(False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._control.fileno()

    def fork_shim(self) -> tuple[int, socket.socket]:
        """Ask for a shim: its serial number and the socket to it, ready to be written to."""
        serial = next(self._serials)
        own_end, shim_end = socket.socketpair()
        with shim_end:
            try:
                socket.send_fds(self._control, [b"%d" % serial], [shim_end.fileno()])
            except OSError:
                own_end.close()
                raise
        return serial, own_end

    def receive(self) -> tuple[list[ShimGone], bool]:
        """What has been said, and whether the spawner is still there."""
        told: list[ShimGone] = []
        while True:
            try:
                packet = self._control.recv(1 << 16)
            except BlockingIOError:
                return told, True
            except OSError:
                return told, False
            if not packet:
                return told, False
            told.append(_shim_gone(json.loads(packet)))

    def close(self) -> None:
        """Let it end; living shims go on. Idempotent."""
        self._control.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _shim_gone(message: dict[str, Any]) -> ShimGone:
    strays = tuple(Stray(**stray) for stray in message["strays"])
    return ShimGone(serial=message["shim"], strays=strays)


def _start(plan: Plan, control: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-S", "-E", "-B", "-c", _PROGRAM]
    argv += [str(_ROOT), plan.for_shims(), str(control)]
    # An empty environment: the server's keys are not for every process of this user to read.
    # Without the server's output too, which a shim that outlives it would keep open.
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={name: os.environ[name] for name in _PASSED if name in os.environ},
        pass_fds=(control,),
        start_new_session=True,
    )
