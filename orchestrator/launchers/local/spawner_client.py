"""The server's side of the spawner's process.

The spawner can test containment modes before it forks shims.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol, Self

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import LeftoverProcess
from orchestrator.launchers.process.crash_injection import INHERITED_VARIABLES
from orchestrator.security.files.product_files import PACKAGES

#: -S and -E make the start fast and independent of the server's environment. Because these options
#: also remove this package from the import path, the package's path is an argument.
_PROGRAM = (
    "import sys; sys.path[0] = sys.argv[1]; "
    "from orchestrator.launchers.spawner.spawner import serve; serve(int(sys.argv[2]))"
)
_END_SECONDS = 5.0
_WAIT_SECONDS = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class ShimEnd:
    """The spawner's message that a shim and all its leftover processes have ended."""

    serial: int
    #: Leftover processes that the spawner has killed.
    leftover_processes: tuple[LeftoverProcess, ...]
    #: Why the shim could not be forked; empty if it was forked.
    refused: str


class _Process(Protocol):
    @property
    def pid(self) -> int: ...

    returncode: Any

    def wait(self, timeout: float) -> object: ...


class _Forked:
    """A process that ``os.fork`` has created, with the members of ``Popen`` that are used here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def wait(self, timeout: float) -> int:
        """Return the exit code. Raise ``subprocess.TimeoutExpired`` after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired("spawner", timeout)
            else:
                time.sleep(_WAIT_SECONDS)
        return self.returncode


class SpawnerProcess:
    """A running spawner and, except in mode ``basic``, its parent process, the keeper.

    ``fault`` tests a containment mode; call it only before ``begin``. Methods raise OSError if the
    spawner cannot be reached.
    """

    def __init__(self, process: _Process, control: socket.socket) -> None:
        #: True if the spawner or the keeper has ended. In this case, no more shims are forked, but
        #: the ends of existing shims are still reported.
        self.is_retired = False
        self._process, self._control = process, control

    @classmethod
    def start(cls) -> Self:
        """Start a spawner in a new Python process. Raise OSError if the start fails."""
        # A packet socket keeps each request together with its descriptor.
        control, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other_end:
            try:
                return cls(_start(other_end.fileno()), control)
            except OSError:
                control.close()
                raise

    @classmethod
    def forked(cls, pid: int, control: socket.socket) -> Self:
        """Return the spawner that ``launchers.spawner.early_fork`` has forked."""
        return cls(_Forked(pid), control)

    @property
    def pid(self) -> int:
        """The PID of the keeper; in mode ``basic``, which has no keeper, the PID of the spawner."""
        return self._process.pid

    def fileno(self) -> int:
        return self._control.fileno()

    @property
    def has_ended(self) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0)
        return self._process.returncode is not None

    def fault(self, settings: str) -> str:
        """Test a containment mode. Return why the mode does not work; "" if it works.

        ``settings``: the settings with the mode, as JSON (``ContainmentSettings.for_shims``).
        """
        self._control.send(json.dumps({"try": json.loads(settings)}).encode())
        answer = self._control.recv(1 << 16)
        return str(json.loads(answer)["fault"]) if answer else "the process of its self-test ended"

    def begin(self, settings: str, server: Mapping[str, object]) -> None:
        """Let the spawner fork shims from now on, with these containment settings (JSON).

        ``server``: the lease of this process (see ``launchers.spawner.server_watchdog``); empty if
        this process has no lease.
        """
        self._control.send(json.dumps({"plan": json.loads(settings), "server": server}).encode())
        self._control.setblocking(False)

    def fork_shim(self, serial: int) -> socket.socket:
        """Request a new shim. Return its socket, to which messages can be written at once."""
        own_end, shim_end = socket.socketpair()
        with shim_end:
            try:
                socket.send_fds(self._control, [b"%d" % serial], [shim_end.fileno()])
            except OSError:
                own_end.close()
                raise
        return own_end

    def receive(self) -> tuple[list[ShimEnd], bool]:
        """Return the messages since the previous call, and True if the spawner or keeper runs."""
        ended_shims: list[ShimEnd] = []
        while True:
            try:
                packet = self._control.recv(1 << 16)
            except BlockingIOError:
                return ended_shims, True
            except OSError:
                return ended_shims, False
            if not packet:
                return ended_shims, False
            message = json.loads(packet)
            if "retired" in message:
                self.is_retired = True
            else:
                leftover_processes = tuple(LeftoverProcess(**each) for each in message["strays"])
                ended_shims.append(
                    ShimEnd(
                        serial=message["shim"],
                        leftover_processes=leftover_processes,
                        refused=message["refused"],
                    )
                )

    def close(self, has_work: bool = False) -> None:
        """Disconnect, and wait until the spawner has exited.

        ``has_work``: True if a shim of this spawner runs an attempt. In this case, do not wait,
        because a spawner exits only after its last shim.
        """
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if has_work else _END_SECONDS)
        if self._process.returncode is None:
            # The spawner continues. Set a return code, because Popen otherwise warns when it is
            # deleted.
            self._process.returncode = 0


def _start(control: int) -> subprocess.Popen[bytes]:
    # The environment is almost empty, because other processes of the user could read the server's
    # keys in it. The server's output is not inherited, because a shim may outlive the server and
    # would keep the output open.
    return subprocess.Popen(
        [sys.executable, "-S", "-E", "-B", "-c", _PROGRAM, PACKAGES, str(control)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ},
        pass_fds=(control,),
        start_new_session=True,
    )
