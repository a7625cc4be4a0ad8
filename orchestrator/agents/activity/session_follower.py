"""Reads a tool's session files while the tool runs."""

import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.agents.activity.line_splitter import LineSplitter
from orchestrator.core.lazy_dataclass import dataclass

#: Seconds between two checks of the files.
LOOK_SECONDS = 0.25
#: Maximum bytes of all files in one check; the next check reads the rest.
_LOOK_BYTES = 4 * 1024 * 1024
_MOST_FILES = 50


@dataclass(frozen=True, slots=True)
class SessionFile:
    folder: Path
    pattern: str


class SessionFollower:
    """Reads a tool's session files while they grow.

    Unreadable files are skipped, because the agent does not depend on them.
    """

    def __init__(self, session: SessionFile) -> None:
        self._session = session
        self._read: dict[Path, int] = {}
        self._begun: dict[Path, LineSplitter] = {}
        self._next = 0.0

    def due(self, now: float) -> bool:
        """True if LOOK_SECONDS have passed since the latest call that returned True."""
        if now < self._next:
            return False
        self._next = now + LOOK_SECONDS
        return True

    def earlier(self) -> Iterator[tuple[str, str]]:
        """Yield (file name, line) for all lines that exist before the program starts."""
        has_lines = True
        while has_lines:
            has_lines = False
            for line in self.lines():
                has_lines = True
                yield line

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield (file name, line) for the lines completed since the previous call."""
        remaining = _LOOK_BYTES
        for path in self._files():
            data = _read(path, self._read.get(path, 0), remaining)
            self._read[path] = self._read.get(path, 0) + len(data)
            remaining -= len(data)
            for line in self._begun.setdefault(path, LineSplitter()).add(data):
                yield path.name, line

    def _files(self) -> list[Path]:
        try:
            return sorted(self._session.folder.glob(self._session.pattern))[:_MOST_FILES]
        except OSError:
            return []


def _read(path: Path, start: int, most: int) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(handle, max(0, most), start)
    except OSError:  # not a file
        return b""
    finally:
        os.close(handle)
