"""Whether the machine has room for one more worker, by the kernel's figures."""

import errno
import logging
import os
import resource
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.core.model.states import WaitKind
from orchestrator.core.scheduler.queue.machine_capacity import Capacity, Lack

_MEMINFO = Path("/proc/meminfo")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DESCRIPTORS = Path("/proc/self/fd")
_PRESSURE = Path("/proc/pressure/memory")


def available_memory_bytes() -> int | None:
    """What can be used without swapping; None where the kernel does not say."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def boot_id() -> str:
    """Another one after each start of the machine; empty where there is none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def memory_pressure_percent() -> float | None:
    """The share of the last ten seconds in which something waited for memory (Linux PSI).

    None where the kernel does not say.
    """
    try:
        some = _PRESSURE.read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
    figures = dict(part.split("=", 1) for part in some.split()[1:])
    return float(figures["avg10"])


def free_descriptors() -> int | None:
    """How many more files and sockets this process may open; None when that cannot be told."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        return soft - len(os.listdir(_DESCRIPTORS))
    except OSError as error:
        return 0 if error.errno in (errno.EMFILE, errno.ENFILE) else None


def free_files(directory: Path) -> int | None:
    """How many more files the file system can hold; None where it does not say."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_favail if found.f_files else None


def free_disk_bytes(directory: Path) -> int | None:
    """What an ordinary user may still write there; None when that cannot be told."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


logger = logging.getLogger(__name__)

#: Seconds for which a reading is good enough.
FRESH_SECONDS = 0.5
#: Seconds after which a worker's memory is seen in what the kernel says is available.
SETTLE_SECONDS = 5.0
MIB = 1024 * 1024
#: So many more files the workspace's file system must be able to hold: a worker makes a few.
LEAST_FILES = 64
#: Kept for what is read and written while workers run and end.
LEAST_DESCRIPTORS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Below or above these no further worker starts."""

    least_memory_bytes: int
    least_disk_bytes: int
    #: Percent of the time in which something waits for memory.
    most_pressure: float = 100.0


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Where the figures come from; None where there is none."""

    memory: Callable[[], int | None] = available_memory_bytes
    pressure: Callable[[], float | None] = memory_pressure_percent
    disk: Callable[[Path], int | None] = free_disk_bytes
    files: Callable[[Path], int | None] = free_files
    descriptors: Callable[[], int | None] = free_descriptors
    clock: Callable[[], float] = time.monotonic


class Reserve(Protocol):
    """Disk space that is kept free for the last state."""

    def hold(self) -> None: ...

    def release(self) -> bool:
        """Whether there was something to give."""

    def drop(self) -> bool:
        """Take it away because nobody writes any more; whether it was there."""


class Headroom:
    """Read at most twice a second. For one thread; ``paused`` may be read by any.

    A worker that has just started has not taken its memory yet: what it is expected to need
    counts as taken for some seconds, or until it has ended.
    """

    def __init__(
        self,
        directory: Path,
        bounds: Bounds,
        forecast: Callable[[str], int],
        reserve: Reserve,
        readings: Readings | None = None,
        repository: Callable[[], Path | None] = lambda: None,
        moved: Callable[[], str] = str,
    ) -> None:
        """``directory`` is the workspace; ``repository`` gives where git writes, once known.

        ``moved`` tells that one of them is not where it was."""
        self._moved = moved
        self._directory = directory
        self._repository = repository
        self._bounds = bounds
        self._forecast = forecast
        self._reserve = reserve
        self._from = readings or Readings()
        self._read_at = float("-inf")
        self._memory: int | None = None
        self._pressure: float | None = None
        #: Without those of workers that have started since.
        self._descriptors: int | None = None
        #: (until when it counts, bytes) of workers that have started lately.
        self._expected: deque[tuple[float, int]] = deque()
        #: Their sum: hundreds start in a second.
        self._expected_bytes = 0
        self.paused = ""
        #: Its space is set aside again when there is enough.
        self._gave_up_reserve = False
        #: Somebody was refused in the latest turn: it is worth looking again soon.
        self.held_back = False

    def room(self) -> Capacity:
        """For one turn of the scheduler."""
        self._refresh()
        self.held_back = bool(self.paused) or self._gave_up_reserve
        paused = Lack(WaitKind.DISK, self.paused) if self.paused else None
        return Capacity(paused=paused, lack=self._lack)

    def gone(self, agent: str, seconds: float) -> None:
        """A worker has ended that lived for so long: it takes no memory any more."""
        if seconds >= SETTLE_SECONDS:
            return
        needed = self._forecast(agent)
        # Of equal ones the oldest, whoever's it is: those that are left count for longer, not less.
        for at, (_, expected) in enumerate(self._expected):
            if expected == needed:
                del self._expected[at]
                self._expected_bytes -= needed
                return

    def store_failed(self) -> None:
        """The state cannot be stored, perhaps because the disk is full: make what room there is."""
        self._reserve.release()
        self._gave_up_reserve = True

    def close(self) -> None:
        """Nothing is written any more. Idempotent."""
        self._reserve.drop()

    def _refresh(self) -> None:
        now = self._from.clock()
        if now - self._read_at < FRESH_SECONDS:
            return
        self._read_at = now
        self._memory, self._pressure = self._from.memory(), self._from.pressure()
        self._descriptors = self._from.descriptors()
        while self._expected and self._expected[0][0] <= now:
            self._expected_bytes -= self._expected.popleft()[1]
        self._look_at_disk()

    def _look_at_disk(self) -> None:
        paused = self._moved() or self._too_little_disk()
        if bool(paused) != bool(self.paused):
            was_full = self.paused.startswith("waits for disk space")
            again = (
                "there is disk space" if was_full else "the workspace and the project are in place"
            )
            logger.warning(paused or f"{again} again: workers start")
        if not paused:
            self._reserve.hold()
            self._gave_up_reserve = False
        self.paused = paused

    def _too_little_disk(self) -> str:
        repository = self._repository()
        found = map(self._too_little_under, filter(None, (self._directory, repository)))
        return next(filter(None, found), "")

    def _too_little_under(self, directory: Path) -> str:
        free, least = self._from.disk(directory), self._bounds.least_disk_bytes
        if free is not None and free < least:
            return (
                f"waits for disk space: {free // MIB} MiB free under {directory}, "
                f"{least // MIB} MiB needed (workers.min_free_disk_bytes)"
            )
        files = self._from.files(directory)
        if files is not None and files < LEAST_FILES:
            return f"waits for disk space: room for {files} more files under {directory}"
        return ""

    def _lack(self, agent: str) -> Lack | None:
        needed = self._forecast(agent)
        lack = self._too_few_descriptors() or self._too_much_pressure()
        if lack is None and self._memory is not None:
            lack = self._too_little_memory(self._memory, needed)
        if lack is not None:
            self.held_back = True
        else:
            self._expected.append((self._from.clock() + SETTLE_SECONDS, needed))
            self._expected_bytes += needed
            if self._descriptors is not None:
                self._descriptors -= 1
        return lack

    def _too_few_descriptors(self) -> Lack | None:
        if self._descriptors is None or self._descriptors > LEAST_DESCRIPTORS:
            return None
        why = "waits for file descriptors: the server has few left (see ulimit -n)"
        return Lack(WaitKind.DESCRIPTORS, why)

    def _too_much_pressure(self) -> Lack | None:
        if self._pressure is None or self._pressure <= self._bounds.most_pressure:
            return None
        return Lack(
            WaitKind.MEMORY,
            "waits for memory: processes wait for it "
            f"{self._pressure:.0f} % of the time (workers.max_memory_pressure)",
        )

    def _too_little_memory(self, available: int, needed: int) -> Lack | None:
        left = available - self._expected_bytes - needed
        if left >= self._bounds.least_memory_bytes:
            return None
        return Lack(
            WaitKind.MEMORY,
            f"waits for memory: {available // MIB} MiB available, {needed // MIB} MiB expected "
            f"for it, {self._bounds.least_memory_bytes // MIB} MiB to be left "
            "(workers.min_available_memory_bytes)",
        )
