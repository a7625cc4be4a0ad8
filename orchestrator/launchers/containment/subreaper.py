"""Containment by a subreaper: all processes of an attempt can be found and ended."""

import os
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from resource import struct_rusage

from orchestrator.launchers.process import process_control
from orchestrator.launchers.process.channel import Message
from orchestrator.launchers.process.worker_process import PreExec, open_input, start_worker
from orchestrator.system import process_table


class Subreaper:
    """Starts, finds, and kills a worker's processes, which are all descendants of this process.

    A direct child keeps its PID until this process reaps it, so its PID can be killed safely.
    Parents are killed first, so that they cannot start further children. This process then adopts
    the children of the killed parents, and the next pass kills them. The passes repeat until no
    process remains.

    The subclasses in this package find, start, or kill the processes by other methods.
    """

    mode = "subreaper"

    def __init__(self, preexec: PreExec | None = None, *, adopts: bool = True) -> None:
        """``preexec`` is called in each worker's process before the process executes its program.

        ``adopts``: True if this system allows a process to adopt orphans.
        """
        if adopts:
            process_control.become_subreaper()
        self._own_pid = os.getpid()
        self._preexec = preexec
        #: Descriptor of /dev/null; None until the first start of a worker without input.
        self._no_input: int | None = None
        #: True if the latest ``reap`` found no child.
        self._no_child = True
        #: Descriptor that becomes readable when ``reap`` must be called although no SIGCHLD has
        #: arrived; None: a SIGCHLD always arrives.
        self.notices: int | None = None
        #: Fields with which the server can kill the worker's processes after the death of this
        #: process. The attempt's ``.run`` file stores these fields with the worker's PID.
        self.traces: Message = {}

    def start(
        self, argv: Sequence[str], cwd: str, env: Mapping[str, str], stdin: str | None, output: int
    ) -> int:
        """Start a worker and return its PID.

        Raise SpawnFailed if the start fails. In this case, no process of the worker remains.
        """
        if stdin is None:
            # Open /dev/null only once, because most workers have this input.
            if self._no_input is None:
                self._no_input = open_input(None)
            return self._start(argv, cwd, env, self._no_input, output)
        source = open_input(stdin)
        try:
            return self._start(argv, cwd, env, source, output)
        finally:
            os.close(source)

    def _start(
        self, argv: Sequence[str], cwd: str, env: Mapping[str, str], source: int, output: int
    ) -> int:
        return start_worker(argv, cwd, env, source, output, self._preexec)

    @property
    def is_empty(self) -> bool:
        """True if the most recent ``reap`` found that no process of the attempt remained."""
        return self._no_child

    def reap(self) -> Iterator[tuple[int, int, struct_rusage]]:
        """Yield (PID, wait status, resource usage) of every child that has exited."""
        self._no_child = False
        try:
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                yield pid, status, usage
        except ChildProcessError:
            self._no_child = True

    def members(self) -> list[process_table.Process]:
        return list(process_table.descendants(self._own_pid))

    def detached(self, spare: Collection[int]) -> list[process_table.Process]:
        """Return the living direct children of this process, except the PIDs in ``spare``.

        If ``spare`` has all children that this process started, the result has only adopted
        orphans.
        """
        return [process for process in self.unreaped(spare) if process.alive]

    def unreaped(self, spare: Collection[int]) -> list[process_table.Process]:
        """Return the direct children, including zombies, except the PIDs in ``spare``.

        If a child exits during this call, the list contains the child as a zombie. The list may
        then lack the zombie's children, which this process has just adopted.
        """
        processes = (process_table.look_up(pid) for pid in self._children(spare))
        return [process for process in processes if process is not None]

    def kill(self, spare: Collection[int] = ()) -> None:
        """Kill the direct children once, except the PIDs in ``spare``.

        This process then adopts the children of the killed processes. The next call kills them.
        """
        for pid in self._children(spare):
            # PermissionError: the child runs a program of another user, so only its end can be
            # awaited.
            with suppress(PermissionError, ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> str:
        """Release the resources of the attempt after its last process has exited.

        Return the limit that the attempt reached, as text; "" if the attempt reached no limit.
        """
        return ""

    def _children(self, spare: Collection[int]) -> list[int]:
        return [pid for pid in process_table.children(self._own_pid) if pid not in spare]
