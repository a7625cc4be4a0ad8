"""Limits of one worker, which the kernel enforces or the worker's shim checks."""

import os
import resource
import signal
import time
from collections.abc import Collection, Iterator, Sequence

from orchestrator.launchers.process.channel import Message
from orchestrator.launchers.process.worker_process import PreExec
from orchestrator.system import process_table

_WATCH_SECONDS = 0.1
#: After a check, the pause is this many times the processor time of the check. Therefore checks use
#: at most a tenth of a processor.
_PAUSE_FACTOR = 10
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
#: The exit code of a shell is this number plus the signal that ended the shell's command.
_SHELL_OFFSET = 128
_DIRECTORY = "/dev/shm"
#: An open file is in memory if its link in /proc has a target with one of these prefixes.
_IN_MEMORY = (f"{_DIRECTORY}/", "/memfd:")
#: Mode bit of a link to an open file if the file is open for writing.
_WRITES = 0o200
_BLOCK, _KIB = 512, 1024

#: Identity of a file: (device, inode).
File = tuple[int, int]


def kernel_limit_setter(limits: Message) -> PreExec | None:
    """Return a function that sets the limits that the kernel enforces; None without such limits.

    The worker's new process must call the function before its exec.
    """
    kinds = ((resource.RLIMIT_FSIZE, "file_size"), (resource.RLIMIT_NOFILE, "open_files"))
    kernel_limits = [(kind, limits[name]) for kind, name in kinds if limits.get(name) is not None]
    return (lambda: _set_limits(kernel_limits)) if kernel_limits else None


def _set_limits(kernel_limits: list[tuple[int, int]]) -> None:
    for kind, value in kernel_limits:
        _, hard = resource.getrlimit(kind)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))


def limit_at_end(limits: Message, code: int | None, number: int | None) -> str:
    """Return the limit that ended a process, as text; "" if no limit ended the process.

    ``code``: its exit code. ``number``: the number of the signal that killed the process.
    """
    if limits.get("file_size") is None:
        return ""
    if signal.SIGXFSZ not in (number, (code or 0) - _SHELL_OFFSET):
        return ""
    most = size(limits["file_size"])
    return f"killed: wrote a file larger than {most} (workers.limits.file_size)"


class LimitWatch:
    """Checks a worker's processes at intervals. Times are monotonic seconds."""

    def __init__(self, limits: Message, enforced: Collection[str]) -> None:
        """``enforced``: limits that are not checked, because the containment enforces them."""
        self._memory = None if "memory" in enforced else limits.get("memory")
        self._used = Memory()
        self._processes = None if "processes" in enforced else limits.get("processes")
        #: Time of the next check; None: never.
        self.due: float | None = 0.0 if self._memory or self._processes else None

    def check(self, members: list[process_table.Process], now: float) -> str:
        """Return the exceeded limit, as text; "" if no limit is exceeded."""
        cpu_at_start = time.process_time()
        exceeded = self._exceeded(members)
        # Checking many large processes takes long, so the pause grows with the time of the check.
        self.due = now + max(_WATCH_SECONDS, (time.process_time() - cpu_at_start) * _PAUSE_FACTOR)
        return exceeded

    def _exceeded(self, members: list[process_table.Process]) -> str:
        count = sum(process.threads for process in members)
        if self._processes and count > self._processes:
            return processes_message(self._processes)
        if self._memory and self._used.exceeds(self._memory, members):
            return memory_message(self._memory)
        return ""


def memory_message(limit: int) -> str:
    return f"killed: used more than {size(limit)} of memory (workers.limits.memory)"


def processes_message(limit: int) -> str:
    # The text does not say "killed", because a control group only prevents the start of another
    # process or thread.
    return f"needed more than {limit} processes and threads (workers.limits.processes)"


def size(count: int) -> str:
    """Return a number of bytes as text, such as ``512 MiB``."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} bytes"


class Memory:
    """Measures the memory of a worker: of its processes, and of in-memory files that they wrote."""

    def __init__(self) -> None:
        self._written: set[File] = set()

    def exceeds(self, limit: int, members: Sequence[process_table.Process]) -> bool:
        pids = [process.pid for process in members]
        files = self._files(pids)
        file_bytes = sum(files.values())
        # First compare the resident sizes, which are an upper bound. To compute the exact shares,
        # the kernel must read all pages.
        if file_bytes + sum(map(process_table.resident_bytes, pids)) <= limit:
            return False
        return file_bytes + sum(_memory_share(pid, files) for pid in pids) > limit

    def _files(self, pids: Sequence[int]) -> dict[File, int]:
        # A file that the worker has written is included until it is removed, even if no process has
        # it open.
        sizes: dict[File, int] = {}
        for pid in pids:
            for file, size, is_written in _open_files(pid):
                sizes[file] = size
                if is_written:
                    self._written.add(file)
        if pids and not self._written <= sizes.keys():
            sizes.update(_linked_files(pids[0]))
        return {file: size for file, size in sizes.items() if file in self._written}


def _open_files(pid: int) -> Iterator[tuple[File, int, bool]]:
    """Yield a process's open in-memory files: file, bytes, and True if open for writing."""
    for path in process_table.open_files(pid):
        try:
            # Skip all other files, because the stat of a file on a lost network drive may hang.
            if os.readlink(path).startswith(_IN_MEMORY):
                yield *_file_and_bytes(os.stat(path)), bool(os.lstat(path).st_mode & _WRITES)
        except OSError:
            continue


def _linked_files(pid: int) -> Iterator[tuple[File, int]]:
    for directory, _, names in os.walk(f"/proc/{pid}/root{_DIRECTORY}"):
        for name in names:
            try:
                yield _file_and_bytes(os.lstat(f"{directory}/{name}"))
            except OSError:
                continue


def _file_and_bytes(status: os.stat_result) -> tuple[File, int]:
    return (status.st_dev, status.st_ino), status.st_blocks * _BLOCK


def _memory_share(pid: int, files: dict[File, int]) -> int:
    """Return a process's share of memory, in bytes. The memory of ``files`` is not included."""
    proportional = _total_bytes(pid, "smaps_rollup", b"Pss_Anon:", b"Pss_Shmem:")
    if not proportional:  # not visible for this user
        return _total_bytes(pid, "status", b"RssAnon:", b"RssShmem:")
    return proportional - (_mapped_bytes(pid, files) if files else 0)


def _total_bytes(pid: int, name: str, *fields: bytes) -> int:
    lines = (line.split() for line in process_table.read(f"/proc/{pid}/{name}").splitlines())
    return sum(int(words[1]) for words in lines if words and words[0] in fields) * _KIB


def _mapped_bytes(pid: int, files: dict[File, int]) -> int:
    """Return a process's share of the memory of ``files``, in bytes.

    If several processes have mapped a page of a file, each of them has an equal share of the page.
    """
    total, is_counted = 0, False
    for line in process_table.read(f"/proc/{pid}/smaps").splitlines():
        words = line.split()
        if not words[0].endswith(b":"):
            major, minor = (int(number, 16) for number in words[3].split(b":"))
            is_counted = (os.makedev(major, minor), int(words[4])) in files
        elif is_counted and words[0] == b"Pss:":
            total += int(words[1])
        elif is_counted and words[0] == b"Anonymous:":  # changed pages of a private mapping
            total -= int(words[1])
    return total * _KIB
