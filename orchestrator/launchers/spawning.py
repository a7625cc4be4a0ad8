"""The server's side of the spawner process."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
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
    #: Why it could not be forked; empty for one that was.
    refused: str = ""


class SpawnerProcess:
    """A spawner that runs under its keeper. Raises OSError when it cannot be started or asked."""

    def __init__(self, plan: Plan, serials: Iterator[int]) -> None:
        """``serials`` are those of its shims, and of no other's."""
        self._serials = serials
        #: One of the two has ended: no shims can be had, but those that are there are told of.
        self.is_retired = False
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
        """Of the keeper; in mode ``basic``, where there is none, of the spawner."""
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
        """What has been said, and whether the spawner or its keeper is still there."""
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
            message = json.loads(packet)
            if "retired" in message:
                self.is_retired = True
            else:
                told.append(_shim_gone(message))

    def close(self, has_work: bool = False) -> None:
        """Let it end: with the last of its shims, which is not waited for if they have work."""
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if has_work else _END_SECONDS)
        if self._process.returncode is None:
            # It goes on without us. Else its object would complain of that at its own end.
            self._process.returncode = 0


def _shim_gone(message: dict[str, Any]) -> ShimGone:
    strays = tuple(Stray(**stray) for stray in message["strays"])
    return ShimGone(serial=message["shim"], strays=strays, refused=message["refused"])


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
