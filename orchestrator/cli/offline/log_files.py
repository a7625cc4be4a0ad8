"""Reads workers' log files: the last lines of a file, and new lines of several files at once."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.security.files.untrusted_files import open_plain, tail_offset

POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class LogFile:
    worker_id: str
    path: Path

    @classmethod
    def of(cls, path: Path) -> "LogFile":
        # ``depth_1_worker_2_1.log`` is the log of ``worker_2_1``.
        return cls(worker_id=path.stem.split("_", 2)[2], path=path)


def log_lines(text: str, count: int | None = None) -> list[str]:
    """Return the last ``count`` lines of a log; all lines if ``count`` is None.

    A carriage return also ends a line, because each state of a progress bar begins or ends with
    this character.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    parts = ([part for part in line.split("\r") if part] for line in lines)
    shown = [part for each in parts for part in each or [""]]
    return shown if count is None else shown[max(0, len(shown) - count) :]


def tail_lines(path: Path, count: int | None) -> list[str]:
    """Return the last ``count`` lines of a file; all lines if ``count`` is None.

    A missing file counts as empty.
    """
    try:
        with open_plain(path) as file:
            file.seek(0 if count is None else tail_offset(file, count))
            return log_lines(file.read().decode("utf-8", errors="replace"), count)
    except OSError:
        return []


class _Follower:
    """Reads the lines of a growing log file, each with the worker's id."""

    def __init__(self, file: LogFile, tail: int | None) -> None:
        self._worker_id = file.worker_id
        self._file = open_plain(file.path)
        self._file.seek(0 if tail is None else tail_offset(self._file, tail))
        #: Maximum number of lines that the next call of ``new_lines`` yields.
        self._tail = tail
        #: The last line of the file, if the line has no line break yet.
        self._incomplete_line = b""

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """Yield the lines that were completed since the previous call."""
        text, newline, rest = (self._incomplete_line + self._file.read()).rpartition(b"\n")
        self._incomplete_line = rest
        lines = self._lines(text + newline, self._tail)
        self._tail = None
        yield from ((self._worker_id, line) for line in lines)

    def incomplete_line(self) -> Iterator[tuple[str, str]]:
        """Yield the last line of the file, if the line has no line break."""
        yield from ((self._worker_id, line) for line in self._lines(self._incomplete_line))

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def _lines(text: bytes, count: int | None = None) -> list[str]:
        return log_lines(text.decode("utf-8", errors="replace"), count)


def follow_files(
    find: Callable[[], Sequence[LogFile]], has_job_ended: Callable[[], bool], tail: int | None
) -> Iterator[tuple[str, str]]:
    """Yield (worker id, line) for each new line of a job's logs, until the job has ended.

    ``find`` returns the log files, and is called repeatedly. ``tail``: number of old lines to yield
    from each file that the first call of ``find`` returns; None: all lines. A file that a later
    call of ``find`` adds is read from its start.
    """
    followed: dict[Path, _Follower] = {}
    try:
        while True:
            # Check the job before the files are read, so that no output before its end is missed.
            has_ended = has_job_ended()
            for file in find():
                if file.path not in followed:
                    followed[file.path] = _Follower(file, tail)
            for follower in followed.values():
                yield from follower.new_lines()
            if has_ended:
                break
            tail = None
            time.sleep(POLL_SECONDS)
        for follower in followed.values():
            yield from follower.incomplete_line()
    finally:
        for follower in followed.values():
            follower.close()
