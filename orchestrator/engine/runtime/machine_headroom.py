"""This machine's resources for workers: memory, disk space, and file descriptors.

No worker starts while one of these resources is short.
"""

import errno
import logging
import os
import resource
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.machines import Capacity, Machine, Shortage
from orchestrator.core.model.states import WaitKind

logger = logging.getLogger(__name__)

_MEMINFO = Path("/proc/meminfo")
_DESCRIPTORS = Path("/proc/self/fd")
_PRESSURE = Path("/proc/pressure/memory")

#: Seconds for which a reading stays valid.
FRESH_SECONDS = 0.5
#: Seconds until the kernel's figure of available memory includes a new worker's memory.
SETTLE_SECONDS = 5.0
MIB = 1024 * 1024
#: No worker starts if fewer than this number of files can still be created in the file system of
#: the workspace or of git's directory. A worker creates a few files.
LEAST_FILES = 64
#: Number of file descriptors that stay free for reads and writes while workers run and end.
LEAST_DESCRIPTORS = 16
#: Disk space that ``DiskReserve`` reserves.
RESERVE_BYTES = 4 * 1024 * 1024
#: Errors of file systems that cannot reserve blocks.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def available_memory_bytes() -> int | None:
    """Return the memory that is usable without swapping; None if the kernel does not report it."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def memory_pressure_percent() -> float | None:
    """Return the percentage of the last ten seconds in which some process waited for memory.

    The value is the Linux pressure stall information (PSI); None if the kernel does not report it.
    """
    try:
        some_line = _PRESSURE.read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
    figures = dict(part.split("=", 1) for part in some_line.split()[1:])
    return float(figures["avg10"])


def free_descriptors() -> int | None:
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        return soft_limit - len(os.listdir(_DESCRIPTORS))
    except OSError as error:
        return 0 if error.errno in (errno.EMFILE, errno.ENFILE) else None


def free_files(directory: Path) -> int | None:
    try:
        file_system = os.statvfs(directory)
    except OSError:
        return None
    return file_system.f_favail if file_system.f_files else None


def free_disk_bytes(directory: Path) -> int | None:
    """Return the number of bytes that a user other than root may write; None if unknown."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def memory_and_disk(directory: Path) -> tuple[int | None, int | None]:
    """Return the available memory, and the free space on a directory's disk, in bytes.

    An unknown value is None.
    """
    return available_memory_bytes(), free_disk_bytes(directory)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    least_memory_bytes: int
    least_disk_bytes: int
    #: Maximum memory pressure: the percentage of time in which processes wait for memory.
    most_pressure: float = 100.0


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Functions that read the machine's resources. A function returns None for an unknown value."""

    memory: Callable[[], int | None] = available_memory_bytes
    pressure: Callable[[], float | None] = memory_pressure_percent
    disk: Callable[[Path], int | None] = free_disk_bytes
    files: Callable[[Path], int | None] = free_files
    descriptors: Callable[[], int | None] = free_descriptors
    clock: Callable[[], float] = time.monotonic


class DiskReserve:
    """A file that reserves disk space. On a full disk, the server removes it to save the state.

    ``hold`` and ``release`` are idempotent.
    """

    def __init__(self, root: Path, size: int = RESERVE_BYTES) -> None:
        self._path = root / ".disk-reserve"
        self._size = size
        self._held = False

    def hold(self) -> None:
        """Create the reserve file, if the file does not exist.

        If the file cannot be created, raise no error, because later writes report a full disk.
        """
        if self._held and self._path.exists():
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(self._path, flags, 0o600)
        except OSError:
            return
        try:
            _allocate(handle, self._size)
            self._held = True
        except OSError:
            self.drop()
        finally:
            os.close(handle)

    def release(self) -> bool:
        """Remove the reserve file, and log a warning. Return True if the file existed."""
        existed = self.drop()
        if existed:
            logger.warning("the state cannot be saved: removed %s to free space", self._path)
        return existed

    def drop(self) -> bool:
        """Remove the reserve file without a warning. Return True if a file existed. Idempotent."""
        self._held = False
        try:
            os.unlink(self._path)
        except OSError:
            return False
        return True


def _allocate(handle: int, size: int) -> None:
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        os.write(handle, bytes(size))


class Headroom:
    """Decides whether the machine has resources for further workers.

    Only one thread may call the methods. Any thread may read ``paused``.

    The machine's resources are read at most twice a second. A worker that has just started does not
    use all its memory yet. Therefore, the worker's expected memory counts as used for some seconds.
    """

    def __init__(
        self,
        directory: Path,
        bounds: Bounds,
        forecast: Callable[[str], int],
        reserve: DiskReserve,
        readings: Readings | None = None,
        git_directories: Sequence[Callable[[], Path | None]] = (),
        moved_error: Callable[[], str] = str,
        machines: Callable[[], Sequence[Machine]] | None = None,
    ) -> None:
        """``directory``: the workspace.

        ``forecast``: returns the expected memory of a worker in bytes, for an agent's name.
        ``git_directories``: functions that return git's directory, or None while the directory is
        unknown. The sequence may grow. ``moved_error``: returns an error text if a person moved the
        workspace or the project; otherwise "". ``machines``: returns the machines of the cluster;
        None: there is no cluster.
        """
        self._machines = machines
        self._moved_error = moved_error
        self._directory = directory
        self._git_directories = git_directories
        self._bounds = bounds
        self._forecast = forecast
        self._reserve = reserve
        self._readings = readings or Readings()
        self._read_at = float("-inf")
        self._memory: int | None = None
        self._pressure: float | None = None
        #: Number of free file descriptors: the latest reading, minus the descriptors of workers
        #: that have started since. None: unknown.
        self._descriptors: int | None = None
        #: Memory reserved for recently started workers: pairs of the reservation's end, in
        #: monotonic seconds, and its size in bytes.
        self._expected: deque[tuple[float, int]] = deque()
        #: Sum of the reserved bytes. The sum is stored, because hundreds of workers may start in a
        #: second.
        self._expected_bytes = 0
        #: Why no worker may start; empty if workers may start.
        self.paused = ""
        #: Text to log at the end of the pause, such as "disk space is free".
        self._fixed_text = ""
        #: True if the reserve was released. When the disk has enough space, the reserve file is
        #: created again.
        self._is_reserve_released = False
        #: True if missing resources delayed a worker in the supervisor's latest turn, or if there
        #: is no disk reserve. The resources must then be checked again soon.
        self.held_back = False

    def capacity(self) -> Capacity:
        self._refresh()
        self.held_back = bool(self.paused) or self._is_reserve_released
        paused = Shortage(WaitKind.DISK, self.paused) if self.paused else None
        return Capacity(
            paused=paused,
            shortage=self._shortage_or_reserve,
            machines=self._machines() or None if self._machines else None,
            memory_needed=self._forecast,
        )

    def worker_ended(self, agent: str, seconds: float) -> None:
        """Record that a worker of ``agent`` ended after it had run for ``seconds``.

        The worker's expected memory no longer counts as used.
        """
        if seconds >= SETTLE_SECONDS:
            return
        needed = self._forecast(agent)
        # Reservations do not name their workers, so remove the oldest reservation of the same size.
        # Some memory may then stay reserved too long, but no memory is released too early.
        for index, (_, expected) in enumerate(self._expected):
            if expected == needed:
                del self._expected[index]
                self._expected_bytes -= needed
                return

    def store_failed(self) -> None:
        """Release the disk reserve after the state could not be stored. The disk may be full."""
        self._reserve.release()
        self._is_reserve_released = True

    def close(self) -> None:
        """Remove the reserve, because the server will write nothing more. Idempotent."""
        self._reserve.drop()

    def _refresh(self) -> None:
        now = self._readings.clock()
        if now - self._read_at < FRESH_SECONDS:
            return
        self._read_at = now
        self._memory, self._pressure = self._readings.memory(), self._readings.pressure()
        self._descriptors = self._readings.descriptors()
        while self._expected and self._expected[0][0] <= now:
            self._expected_bytes -= self._expected.popleft()[1]
        self._check_disk()

    def _check_disk(self) -> None:
        moved_error = self._moved_error()
        paused = moved_error or self._too_little_disk()
        if bool(paused) != bool(self.paused):
            logger.warning(paused or f"{self._fixed_text} again: workers start")
        if paused:
            self._fixed_text = (
                "the workspace and the project are in place"
                if moved_error
                else "disk space is free"
            )
        if not paused:
            self._reserve.hold()
            self._is_reserve_released = False
        self.paused = paused

    def _too_little_disk(self) -> str:
        git_directories = (find() for find in self._git_directories)
        directories = (self._directory, *filter(None, git_directories))
        return next(filter(None, map(self._too_little_under, directories)), "")

    def _too_little_under(self, directory: Path) -> str:
        free, least = self._readings.disk(directory), self._bounds.least_disk_bytes
        if free is not None and free < least:
            return (
                f"waiting for disk space: {free // MIB} MiB free under {directory}, "
                f"{least // MIB} MiB needed (workers.min_free_disk_bytes)"
            )
        files = self._readings.files(directory)
        if files is not None and files < LEAST_FILES:
            return (
                f"waiting for disk space: only {files} more files can be created under "
                f"{directory}, {LEAST_FILES} needed"
            )
        return ""

    def _shortage_or_reserve(self, agent: str) -> Shortage | None:
        needed = self._forecast(agent)
        shortage = self._too_few_descriptors() or self._too_much_pressure()
        if shortage is None and self._memory is not None:
            shortage = self._too_little_memory(self._memory, needed)
        if shortage is not None:
            self.held_back = True
        else:
            self._expected.append((self._readings.clock() + SETTLE_SECONDS, needed))
            self._expected_bytes += needed
            if self._descriptors is not None:
                self._descriptors -= 1
        return shortage

    def _too_few_descriptors(self) -> Shortage | None:
        if self._descriptors is None or self._descriptors > LEAST_DESCRIPTORS:
            return None
        why = "waiting for file descriptors: the server has too few; raise its limit (ulimit -n)"
        return Shortage(WaitKind.DESCRIPTORS, why)

    def _too_much_pressure(self) -> Shortage | None:
        if self._pressure is None or self._pressure <= self._bounds.most_pressure:
            return None
        return Shortage(
            WaitKind.MEMORY,
            f"waiting for memory: memory pressure {self._pressure:.0f} %, maximum "
            f"{self._bounds.most_pressure:g} % (workers.max_memory_pressure)",
        )

    def _too_little_memory(self, available: int, needed: int) -> Shortage | None:
        remaining = available - self._expected_bytes - needed
        if remaining >= self._bounds.least_memory_bytes:
            return None
        return Shortage(
            WaitKind.MEMORY,
            f"waiting for memory: needs {needed // MIB} MiB plus a reserve of "
            f"{self._bounds.least_memory_bytes // MIB} MiB (workers.min_available_memory_bytes), "
            f"{available // MIB} MiB available",
        )
