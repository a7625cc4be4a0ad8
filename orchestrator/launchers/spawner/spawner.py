"""The spawner: a small process that forks shims for the server.

The server has several threads, and therefore does not fork shims itself. The spawner has only one
thread.

A request is a packet with a serial number and the new shim's socket. After the shim and all its
leftover processes have ended, the spawner answers with the serial number and the killed processes.

The spawner is a subreaper: it adopts orphaned descendants, and kills them. If the spawner is
killed, shims continue. The spawner's parent process, the keeper, then adopts and kills the orphans.
"""

import gc
import json
import os
import select
import signal
import socket
import time
from collections.abc import Collection
from typing import Any

from orchestrator.core import failpoints
from orchestrator.launchers.containment import self_test
from orchestrator.launchers.process import crash_injection, process_control
from orchestrator.launchers.shim import shim
from orchestrator.launchers.spawner.reaper import Reaper, ShimTable
from orchestrator.launchers.spawner.server_watchdog import ServerWatchdog

#: Maximum bytes of the server's request.
_MOST_BYTES = 1 << 20
#: Seconds that a keeper waits before it exits because it cannot fork. Without this pause, the
#: server would restart the keeper in a tight loop.
_NO_FORK_SECONDS = 1.0


def serve(descriptor: int) -> None:
    """Answer the server's requests: test a containment mode, or fork a shim.

    Return when the server and all shims have ended. ``descriptor``: the descriptor of the control
    socket.
    """
    # Hide the memory before a shim exists, because a shim has the secret of its attempt's exit
    # record.
    process_control.hide_memory()
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    crash_injection.arm_from(os.environ)
    while packet := control.recv(_MOST_BYTES):
        request = json.loads(packet)
        if "try" in request:
            control.send(json.dumps({"fault": self_test.fault(request["try"])}).encode())
        else:
            _begin(control, {**request["plan"], "server": request["server"]})
            return


def _begin(control: socket.socket, settings: dict[str, Any]) -> None:
    shim_table = ShimTable()
    # Shims share the pages of this process as long as no process writes into them.
    gc.freeze()
    if settings["mode"] == "basic":
        # Start no keeper, because in this mode it would adopt no orphans.
        Spawner(control, settings, shim_table, os.getppid()).run()
    else:
        _run_under_keeper(control, settings, shim_table)


def _run_under_keeper(
    control: socket.socket, settings: dict[str, Any], shim_table: ShimTable
) -> None:
    # Set this before the spawner is forked, so that this process adopts all orphans. The forked
    # spawner does not inherit the setting.
    process_control.become_subreaper()
    keeper = os.getpid()
    try:
        spawner = os.fork()
    except OSError:
        time.sleep(_NO_FORK_SECONDS)
        raise
    if spawner == 0:
        process_control.signal_at_parents_end(signal.SIGCHLD)
        Spawner(control, settings, shim_table, keeper).run()
        return
    while os.WIFSTOPPED(os.waitpid(spawner, os.WUNTRACED)[1]):
        os.kill(spawner, signal.SIGCONT)
    failpoints.reached("keeper: spawner ended")
    reaper = Reaper(control, settings, shim_table)
    reaper.take_over()
    reaper.run()


class Spawner(Reaper):
    def __init__(
        self, control: socket.socket, settings: dict[str, Any], shim_table: ShimTable, parent: int
    ) -> None:
        """``parent``: PID of the keeper; in mode ``basic``, PID of the server.

        After this parent has exited, the spawner forks no more shims.
        """
        super().__init__(control, settings, shim_table)
        self._pid, self._parent = os.getpid(), parent
        self._serves = True
        server = settings["server"]
        self._watch = ServerWatchdog(server, parent, time.monotonic()) if server else None
        self._poll.register(control, select.POLLIN)

    @property
    def _has_work(self) -> bool:
        return self._serves or super()._has_work

    def _serve(self, ready: Collection[int]) -> None:
        if self._watch is not None:
            self._watch.check(time.monotonic())
        if not self._serves:
            return
        if os.getppid() != self._parent:
            self._stop_serving()
            self._retire()
        elif self._control.fileno() in ready:
            request = self._receive()
            if request is None:
                self._stop_serving()
            else:
                self._fork_shim(*request)

    @property
    def _longest_wait(self) -> float | None:
        milliseconds = super()._longest_wait
        return milliseconds if milliseconds or self._watch is None else self._watch.MILLISECONDS

    def _stop_serving(self) -> None:
        self._serves = False
        if os.getppid() == self._parent:
            # The server has exited, or has started another spawner.
            self._watch = None
        self._poll.unregister(self._control)

    def _fork_shim(self, serial: int, descriptors: list[int]) -> None:
        if not descriptors:  # This process has too many open descriptors to receive another one.
            self._refuse(serial, descriptors)
            return
        try:
            self._shim_table.add(serial)
            pid = os.fork()
        except OSError as error:
            self._refused[serial] = str(error)
            self._refuse(serial, descriptors)
            return
        if pid == 0:
            self._become_shim(serial, *descriptors)
        self._shims[pid] = serial
        failpoints.reached("spawner: shim forked")
        for descriptor in descriptors:
            os.close(descriptor)

    def _become_shim(self, serial: int, descriptor: int) -> None:
        status = 1
        try:
            self._shim_table.enter(serial)
            # Serve only if the spawner still runs. After the spawner's death, the keeper may have
            # read the table before this entry, and would not know the new shim.
            if os.getppid() == self._pid:
                self._control.close()
                os.close(self._signals)
                os.close(signal.set_wakeup_fd(-1))
                # ``recv_fds`` always returns inheritable descriptors, but no worker may inherit
                # this descriptor.
                os.set_inheritable(descriptor, False)
                shim.serve(socket.socket(fileno=descriptor), self._settings)
                status = 0
        finally:
            os._exit(status)
