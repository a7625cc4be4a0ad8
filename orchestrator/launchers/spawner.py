"""The spawner: a small process with one thread that forks shims for the server, which never forks.

Each request is a packet with a serial number and a socket for the new shim; when that shim has
ended and nothing that it left is alive any more, the serial number comes back with the names of
what had to be killed. It is a subreaper and kills whatever it did not start itself. It ends when
the server's socket closes, and leaves living shims alone.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from orchestrator.core import failpoints
from orchestrator.launchers import crashing, processes, shim
from orchestrator.launchers.containment import Subreaper

_MOST_LISTED = 20
#: Between two passes while something is being killed, in milliseconds.
_KILL_INTERVAL = 5.0
#: Without a server, what cannot be killed is not waited for beyond so many passes.
_LAST_PASSES = 400


def main() -> None:
    """Entry point: the last arguments are the plan and the control socket's descriptor."""
    plan, descriptor = sys.argv[-2:]
    control = socket.socket(fileno=int(descriptor))
    control.set_inheritable(False)
    crashing.arm_from(os.environ)
    # Shims share the pages of this process as long as nobody writes into them.
    gc.freeze()
    _Spawner(control, json.loads(plan)).run()


class _Spawner:
    def __init__(self, control: socket.socket, plan: dict[str, Any]) -> None:
        self._control = control
        self._plan = plan
        self._connected = True
        self._signals = shim.wake_on_signals((signal.SIGCHLD,))
        #: What falls to this process from a namespace is its first process, which is ours.
        self._may_list = plan["mode"] not in ("pidns", "sandbox")
        self._family = Subreaper(adopts=plan["mode"] != "basic")
        #: Serial numbers of the living shims by pid.
        self._shims: dict[int, int] = {}
        #: Serial numbers of shims that have ended, not yet reported.
        self._ended: list[int] = []
        self._killed: dict[tuple[int, int], dict[str, object]] = {}
        #: There was something to kill at the latest pass.
        self._is_killing = False
        self._last_passes = _LAST_PASSES

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while self._connected or (self._is_killing and self._last_passes > 0):
            ready = [fd for fd, _ in poll.poll(_KILL_INTERVAL if self._is_killing else None)]
            if self._signals in ready:
                os.read(self._signals, 4096)
            if self._connected and self._control.fileno() in ready and not self._take_request():
                self._connected = False
                poll.unregister(self._control)
            self._clean_up()

    def _take_request(self) -> bool:
        """Fork a shim as asked; False when there is no server any more."""
        try:
            serial, descriptors, _, _ = socket.recv_fds(self._control, 16, 1)
        except OSError:
            return False
        if not serial:
            return False
        for descriptor in descriptors:
            # recv_fds gives it as inheritable, whatever the flags: no worker may have it.
            os.set_inheritable(descriptor, False)
            self._fork_shim(int(serial), descriptor)
        return True

    def _fork_shim(self, serial: int, descriptor: int) -> None:
        try:
            pid = os.fork()
        except OSError:
            # The server learns it from the socket, which closes here.
            self._ended.append(serial)
        else:
            if pid == 0:
                self._become_shim(descriptor)
            self._shims[pid] = serial
            failpoints.reached("spawner: shim forked")
        os.close(descriptor)

    def _become_shim(self, descriptor: int) -> None:
        status = 1
        try:
            self._control.close()
            os.close(self._signals)
            os.close(signal.set_wakeup_fd(-1))
            shim.serve(socket.socket(fileno=descriptor), self._plan)
            status = 0
        finally:
            os._exit(status)

    def _clean_up(self) -> None:
        """Reap; kill what a dead shim left; report shims after which nothing is left."""
        for pid, _, _ in self._family.reap():
            if pid in self._shims:
                self._ended.append(self._shims.pop(pid))
        orphans = self._family.detached(self._shims)
        self._family.kill(self._shims)
        for process in orphans[: _MOST_LISTED - len(self._killed)] if self._may_list else ():
            command = processes.command_line(process.pid) or process.command
            entry = {"pid": process.pid, "command": command}
            self._killed.setdefault((process.pid, process.ticks), entry)
        self._is_killing = bool(orphans)
        if not orphans:
            self._report()
        elif not self._connected:
            self._last_passes -= 1

    def _report(self) -> None:
        for serial in self._ended:
            self._send({"shim": serial, "strays": list(self._killed.values())})
        self._ended.clear()
        self._killed.clear()

    def _send(self, message: dict[str, object]) -> None:
        try:
            self._control.send(json.dumps(message).encode("ascii"))
        except OSError:
            self._connected = False
