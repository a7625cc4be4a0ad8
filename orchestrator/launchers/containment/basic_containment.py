"""Containment for systems without a subreaper, such as macOS.

Kills the processes of a worker's process group. With /proc, also kills the processes of the
worker's session, and processes with the worker's marker variable in their environment. A process
escapes if it leaves the session *and* clears its environment, or if it forks faster than this
process searches.
"""

import os
import signal
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from orchestrator.launchers.containment.subreaper import Subreaper
from orchestrator.launchers.process import process_control
from orchestrator.launchers.process.worker_process import PreExec, start_worker
from orchestrator.system import process_table


class ProcessGroups(Subreaper):
    mode = "basic"

    def __init__(self, preexec: PreExec | None) -> None:
        super().__init__(preexec, adopts=False)
        #: PID of the worker's main process, which leads the worker's session and group; 0: none.
        self._leader = 0
        #: Start time of the main process, in clock ticks since boot; None: unknown.
        self._ticks: int | None = None
        self._attempt_id = ""

    def _start(
        self, argv: Sequence[str], cwd: str, env: Mapping[str, str], source: int, output: int
    ) -> int:
        self._leader = start_worker(argv, cwd, env, source, output, self._preexec)
        self._ticks = process_table.start_ticks(self._leader)
        self._attempt_id = env[process_table.MARKER]
        return self._leader

    @property
    def is_empty(self) -> bool:
        return super().is_empty and not self.members() and not self._group_lives()

    def members(self) -> list[process_table.Process]:
        if not self._leader:
            return []
        marked = {each.pid for each in process_table.marked(self._attempt_id)}
        processes = (each for each in process_table.living_processes() if each.pid != self._own_pid)
        return [each for each in processes if each.pid in marked or self._in_session(each)]

    def detached(self, spare: Collection[int]) -> list[process_table.Process]:
        return [each for each in self.members() if each.pid not in spare]

    def kill(self, spare: Collection[int] = ()) -> None:
        for process in self.detached(spare):
            process_control.send_signal(process, signal.SIGKILL)
        if self._leader and not process_table.has_proc():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._leader, signal.SIGKILL)

    def close(self) -> str:
        self._leader, self._attempt_id = 0, ""
        return ""

    def _in_session(self, process: process_table.Process) -> bool:
        if self._leader not in (process.group, process.session):
            return False
        if self._ticks is None:
            return True
        # The kernel reuses the PID of the group's leader only after the session and the group are
        # empty.
        leader = process_table.look_up(self._leader)
        is_reused = leader is not None and leader.ticks != self._ticks
        return process.ticks >= self._ticks and not is_reused

    def _group_lives(self) -> bool:
        if not self._leader or process_table.has_proc():
            return False
        try:
            os.killpg(self._leader, 0)
        except OSError:
            return False
        return True
