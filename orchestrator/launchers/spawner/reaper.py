"""Kills a dead shim's leftover processes, and reports the shim's end to the server.

The spawner runs this code. If the spawner is killed, its parent process, the keeper, adopts the
shims and all their processes, and runs this code. The code runs until the last shim has ended and
no leftover process remains, even after the server's end.
"""

import json
import mmap
import os
import select
import signal
import socket
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

from orchestrator.launchers.containment.subreaper import Subreaper
from orchestrator.launchers.shim import shim
from orchestrator.launchers.shim.shim_attempt import MOST_LISTED, UNKILLABLE_SECONDS
from orchestrator.system import process_table

#: Milliseconds between two passes while processes are being killed.
_KILL_MILLISECONDS = 5.0
#: Maximum number of times that a shim is continued after a stop signal. At the next stop, the shim
#: is killed.
_MOST_STOPS = 10

#: Number of rows in the table of shims. Rows that were never used take no memory.
_MOST = 1 << 16
_SERIAL, _PID = 0, 1

#: A request for a shim: the shim's serial number, and a list with the descriptor of the shim's
#: socket. The list is empty if the descriptor could not be received.
Request = tuple[int, list[int]]


class ShimTable:
    """The table of living shims, in memory that the keeper, the spawner, and the shims share.

    The table outlives the spawner. If the spawner dies, the keeper finds two facts in the table:
    which adopted processes are shims, and for which shims the end was not reported yet.

    Each shim has a row. The row has the shim's serial number (at least 1) until the shim's end is
    reported. The row has the shim's PID from the shim's first step until the shim is reaped.

    Each cell has one writer at a time, and each write is atomic.
    """

    def __init__(self) -> None:
        memory = memoryview(mmap.mmap(-1, 8 * _MOST))
        self._table = memory.cast("B").cast("I", (_MOST, 2))
        self._rows: dict[int, int] = {}
        #: Rows of reported shims, which ``add`` reuses.
        self._free: list[int] = []

    def add(self, serial: int) -> None:
        """Reserve a row for a shim before the fork. Raise OSError if the table is full."""
        # Row 0 contains the highest number of a row that was ever used.
        row = self._free.pop() if self._free else self._table[0, _SERIAL] + 1
        if row >= _MOST:
            raise OSError(f"limit of supervising processes reached: {_MOST - 1}")
        self._table[row, _PID] = 0
        self._table[row, _SERIAL] = serial
        self._table[0, _SERIAL] = max(row, self._table[0, _SERIAL])
        self._rows[serial] = row

    def enter(self, serial: int) -> None:
        """Write this process's PID into the shim's row. The shim itself calls this."""
        self._table[self._rows[serial], _PID] = os.getpid()

    def mark_reaped(self, serial: int) -> None:
        self._table[self._rows[serial], _PID] = 0

    def mark_reported(self, serial: int) -> None:
        """Release the row of a shim whose end was reported to the server. Idempotent."""
        row = self._rows.pop(serial, None)
        if row is not None:
            self._table[row, _SERIAL] = 0
            self._free.append(row)

    def take_over(self) -> Iterator[tuple[int, int]]:
        """Yield the serial number and the PID of each shim of the killed spawner.

        The PID is 0 if the shim has not yet made its first step, or if it was already reaped.
        """
        for row in range(1, self._table[0, _SERIAL] + 1):
            serial = self._table[row, _SERIAL]
            if serial:
                self._rows[serial] = row
                yield serial, self._table[row, _PID]


class Reaper:
    def __init__(
        self, control: socket.socket, settings: dict[str, Any], shim_table: ShimTable
    ) -> None:
        self._control = control
        self._settings = settings
        self._shim_table = shim_table
        self._signals = shim.wake_on_signals((signal.SIGCHLD,))
        self._poll = select.poll()
        self._poll.register(self._signals, select.POLLIN)
        #: True if killed processes are reported as leftover processes. False with PID namespaces:
        #: the only possible orphan is then a namespace's init process, which does not belong to the
        #: worker.
        self._may_list = settings["mode"] not in ("pidns", "sandbox")
        self._containment = Subreaper(adopts=settings["mode"] != "basic")
        #: Serial numbers of the living shims, by PID.
        self._shims: dict[int, int] = {}
        #: Serial numbers of ended shims whose end is not yet reported.
        self._ended: list[int] = []
        #: Why a shim could not be forked, by serial number.
        self._refused: dict[int, str] = {}
        self._killed: dict[tuple[int, int], dict[str, object]] = {}
        #: Time at which this process began to kill leftover processes; None if none remains.
        self._killing_since: float | None = None
        #: How often each shim was stopped, by PID.
        self._stops: Counter[int] = Counter()
        #: PIDs of children that survived a SIGKILL.
        self._unkillable: set[int] = set()

    def take_over(self) -> None:
        """Adopt the shims of the spawner, which has exited."""
        self._retire()
        for serial, pid in self._shim_table.take_over():
            child = process_table.look_up(pid) if pid else None
            if child is not None and child.parent == os.getpid():
                self._shims[pid] = serial
            else:
                self._ended.append(serial)

    def run(self) -> None:
        ready: Collection[int] = ()
        while True:
            self._serve(ready)
            self._clean_up()
            if not self._has_work:
                return
            ready = self._wait()

    @property
    def _has_work(self) -> bool:
        return bool(self._shims) or self._killing_since is not None

    def _wait(self) -> Collection[int]:
        ready = {descriptor for descriptor, _ in self._poll.poll(self._longest_wait)}
        if self._signals in ready:
            os.read(self._signals, 4096)
        return ready

    @property
    def _longest_wait(self) -> float | None:
        """Maximum milliseconds of one wait; None: no limit."""
        return None if self._killing_since is None else _KILL_MILLISECONDS

    def _serve(self, ready: Collection[int]) -> None:
        # Only the spawner serves requests for shims.
        ...

    def _retire(self) -> None:
        """Reject all further requests for shims, so that the server starts another spawner."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RD)
        while (request := self._receive()) is not None:
            self._refuse(*request)
        self._send({"retired": True})

    def _receive(self) -> Request | None:
        try:
            serial, descriptors, _, _ = socket.recv_fds(self._control, 16, 1)
        except OSError:
            return None
        return (int(serial), descriptors) if serial else None

    def _refuse(self, serial: int, descriptors: list[int]) -> None:
        # The server notices the rejection when the new shim's socket is closed here.
        self._ended.append(serial)
        for descriptor in descriptors:
            os.close(descriptor)

    def _clean_up(self) -> None:
        """Reap exited processes, and kill the leftover processes of dead shims.

        If no leftover process remains, report the dead shims.
        """
        self._continue_stopped()
        for pid, _, _ in self._containment.reap():
            self._unkillable.discard(pid)
            if pid in self._shims:
                serial = self._shims.pop(pid)
                del self._stops[pid]
                self._shim_table.mark_reaped(serial)
                self._ended.append(serial)
        spared = {*self._shims, *self._unkillable} if self._unkillable else self._shims
        # A zombie is reaped in the next pass, which also finds the children of the zombie.
        orphans = self._containment.unreaped(spared)
        living = [process for process in orphans if process.alive]
        self._note_orphans(living)
        # Kill only the noted processes. Processes that are adopted during this pass are noted and
        # killed in the next pass. The PIDs are valid, because only this process reaps its children.
        for process in living:
            with suppress(PermissionError, ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        self._skip_unkillable(orphans)
        if not orphans:
            self._report()

    def _continue_stopped(self) -> None:
        """Continue shims that a worker has stopped by a signal.

        A stopped shim would enforce no timeout. A shim that was stopped too often is killed.
        """
        for pid in _stopped_children():
            if pid in self._shims:
                self._stops[pid] += 1
                is_over = self._stops[pid] > _MOST_STOPS
                os.kill(pid, signal.SIGKILL if is_over else signal.SIGCONT)

    def _note_orphans(self, orphans: list[process_table.Process]) -> None:
        for process in orphans[: MOST_LISTED - len(self._killed)] if self._may_list else ():
            command = process_table.command_line(process.pid) or process.command
            entry = {"pid": process.pid, "command": command}
            self._killed.setdefault((process.pid, process.ticks), entry)

    def _skip_unkillable(self, orphans: list[process_table.Process]) -> None:
        """Stop waiting for processes that still exist long after they were killed."""
        if not orphans:
            self._killing_since = None
        elif self._killing_since is None:
            self._killing_since = time.monotonic()
        elif time.monotonic() > self._killing_since + UNKILLABLE_SECONDS:
            self._unkillable.update(process.pid for process in orphans)

    def _report(self) -> None:
        for serial in self._ended:
            refused = self._refused.pop(serial, "")
            killed = list(self._killed.values())
            self._send({"shim": serial, "strays": killed, "refused": refused})
            self._shim_table.mark_reported(serial)
        self._ended.clear()
        self._killed.clear()

    def _send(self, message: dict[str, object]) -> None:
        with suppress(OSError):  # The server has ended.
            self._control.send(json.dumps(message).encode("ascii"))


def _stopped_children() -> Iterator[int]:
    """Yield the PID of each stopped child, once for each stop. macOS cannot report stops."""
    if not hasattr(os, "waitid"):
        return
    with suppress(ChildProcessError):
        while child_status := os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WNOHANG):
            yield child_status.si_pid
