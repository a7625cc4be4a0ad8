"""Kills a server whose lease has ended. Standard library only.

At the end of its lease, a server exits. A server that hangs or is stopped (SIGSTOP) cannot exit,
and would write files when it continues.
"""

import os
import signal
from typing import Any

from orchestrator.launchers.process import process_control
from orchestrator.launchers.process.lease_file import CHECK_SECONDS, LeaseWatch
from orchestrator.system import process_table

#: Seconds from the detected end of the lease until the server is killed. A server that works exits
#: within this time.
EXIT_SECONDS = 1.0


class ServerWatchdog:
    """Kills the server when its lease has expired. Times are monotonic seconds."""

    #: Maximum milliseconds between two calls of ``check``.
    MILLISECONDS = CHECK_SECONDS * 1000

    def __init__(self, server: dict[str, Any], keeper: int, now: float) -> None:
        """``server``: see ``SpawnerProcess.begin``.

        ``keeper``: PID of the keeper, which is never killed.
        """
        self._pid, self._ticks = server["pid"], server["ticks"]
        self._spared = {keeper, os.getpid(), *server["keepers"]}
        self._watch = LeaseWatch(server["lease_file"], now)
        self._ended_at: float | None = None

    def check(self, now: float) -> None:
        """Check the lease. Kill the server EXIT_SECONDS after the lease was found to have ended.

        Also kill the programs that the server started, such as git. Workers are not killed, because
        their shims stop them.
        """
        if now < self._watch.wakes_at:
            return
        if not self._watch.is_over(now):
            self._ended_at = None
            return
        self._ended_at = now if self._ended_at is None else self._ended_at
        if now >= self._ended_at + EXIT_SECONDS:
            self._kill()

    def _kill(self) -> None:
        server = process_table.look_up(self._pid)
        if server is None or server.ticks != self._ticks:
            return
        # A stopped process starts no further program.
        process_control.send_signal(server, signal.SIGSTOP)
        programs = [
            process
            for child in process_table.children(self._pid)
            if child not in self._spared and (program := process_table.look_up(child)) is not None
            for process in (program, *process_table.descendants(child))
        ]
        process_control.send_signal(server, signal.SIGKILL)
        for process in programs:
            process_control.send_signal(process, signal.SIGKILL)
