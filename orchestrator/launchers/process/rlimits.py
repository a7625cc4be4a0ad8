"""Limits of one worker: those that the kernel keeps, and those that its shim has to watch."""

import resource
import signal
import time
from collections.abc import Collection

from orchestrator.launchers.process import proc
from orchestrator.launchers.process.channel import Message
from orchestrator.launchers.process.memory import Memory
from orchestrator.launchers.process.start import Enter

_WATCH_SECONDS = 0.1
#: Looks take at most one part in so many of a processor's time.
_PAUSE_FACTOR = 10
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
#: How a shell says that its command was ended by this signal.
_SHELL_OFFSET = 128


def entry(limits: Message) -> Enter | None:
    """What takes on the limits that a process keeps for itself; None when there are none."""
    kinds = ((resource.RLIMIT_FSIZE, "file_size"), (resource.RLIMIT_NOFILE, "open_files"))
    wanted = [(kind, limits[name]) for kind, name in kinds if limits.get(name) is not None]
    return (lambda: _set(wanted)) if wanted else None


def _set(wanted: list[tuple[int, int]]) -> None:
    for kind, value in wanted:
        _, hard = resource.getrlimit(kind)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))


def hit_by_end(limits: Message, code: int | None, number: int | None) -> str:
    """Which limit a worker's end tells of, in words; empty for none."""
    if limits.get("file_size") is None:
        return ""
    if signal.SIGXFSZ not in (number, (code or 0) - _SHELL_OFFSET):
        return ""
    return f"killed: wrote a file of more than {size(limits['file_size'])}"


class LimitWatch:
    """Looks at a worker's processes now and then; times are monotonic seconds."""

    def __init__(self, limits: Message, held: Collection[str] = ()) -> None:
        """``held`` are those that something else holds better."""
        self._memory = None if "memory" in held else limits.get("memory")
        self._used = Memory()
        self._processes = None if "processes" in held else limits.get("processes")
        #: When to look next; None is never.
        self.due: float | None = 0.0 if self._memory or self._processes else None

    def look(self, members: list[proc.Process], now: float) -> str:
        """Which limit is exceeded, in words; empty for none."""
        begun = time.process_time()
        exceeded = self._exceeded(members)
        # The pages of many large processes take a while to walk through.
        self.due = now + max(_WATCH_SECONDS, (time.process_time() - begun) * _PAUSE_FACTOR)
        return exceeded

    def _exceeded(self, members: list[proc.Process]) -> str:
        count = sum(process.threads for process in members)
        if self._processes and count > self._processes:
            return f"killed: ran more than {self._processes} processes and threads"
        if self._memory and self._used.exceeds(self._memory, members):
            return memory_words(self._memory)
        return ""


def memory_words(limit: int) -> str:
    return f"killed: used more than {size(limit)} of memory"


def size(count: int) -> str:
    """For example ``512 MiB``."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} bytes"
