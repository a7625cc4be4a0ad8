"""Which shims there are, in memory that a keeper, its spawner and their shims share.

It outlives the spawner: its keeper finds here which of the processes that have fallen to it are
shims, and of which ends nobody has told yet.
"""

import mmap
import os
from collections.abc import Iterator

#: Of memory that is never touched nothing is used.
_MOST = 1 << 16
_SERIAL, _PID = 0, 1


class ShimTable:
    """A table with a row for each shim: its serial number until its end has been told, and its
    pid from its first moment until it has been reaped. Serial numbers begin with 1.

    Each cell has one writer at a time, and is written at once. Which row is whose, each process
    knows for itself.
    """

    def __init__(self) -> None:
        memory = memoryview(mmap.mmap(-1, 8 * _MOST))
        self._table = memory.cast("B").cast("I", (_MOST, 2))
        self._rows: dict[int, int] = {}
        #: Such as were in use, for the next.
        self._free: list[int] = []

    def add(self, serial: int) -> None:
        """Make room for a shim that is about to be forked. Raise OSError when there is none."""
        # Row 0 says how many rows have ever been used.
        row = self._free.pop() if self._free else self._table[0, _SERIAL] + 1
        if row >= _MOST:
            raise OSError(f"there are {_MOST - 1} shims")
        self._table[row, _PID] = 0
        self._table[row, _SERIAL] = serial
        self._table[0, _SERIAL] = max(row, self._table[0, _SERIAL])
        self._rows[serial] = row

    def enter(self, serial: int) -> None:
        """In the shim itself."""
        self._table[self._rows[serial], _PID] = os.getpid()

    def reaped(self, serial: int) -> None:
        self._table[self._rows[serial], _PID] = 0

    def told(self, serial: int) -> None:
        """Its end is known to the server: it can be forgotten. Unknown: nothing."""
        row = self._rows.pop(serial, None)
        if row is not None:
            self._table[row, _SERIAL] = 0
            self._free.append(row)

    def take_over(self) -> Iterator[tuple[int, int]]:
        """(serial number, pid or 0) of each that another process has added, and not forgotten."""
        for row in range(1, self._table[0, _SERIAL] + 1):
            serial = self._table[row, _SERIAL]
            if serial:
                self._rows[serial] = row
                yield serial, self._table[row, _PID]
