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


def tail_lines(path: Path, count: int | None) -> list[str]:
    """Return the last ``count`` lines of a file; all lines if ``count`` is None.

    A missing file counts as empty.
    """
    try:
        with open_plain(path) as file:
            file.seek(0 if count is None else tail_offset(file, count))
            return file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []


class _Follower:
    """Reads a growing log file. ``news`` returns new complete lines, ``rest`` an incomplete one."""

    def __init__(self, file: LogFile, tail: int | None) -> None:
        self._worker_id = file.worker_id
        self._file = open_plain(file.path)
        self._file.seek(0 if tail is None else tail_offset(self._file, tail))
        self._rest = b""

    def news(self) -> Iterator[tuple[str, str]]:
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        yield from ((self._worker_id, self._text(line)) for line in lines)

    def rest(self) -> Iterator[tuple[str, str]]:
        if self._rest:
            yield self._worker_id, self._text(self._rest)

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def _text(line: bytes) -> str:
        return line.decode("utf-8", errors="replace").removesuffix("\r")


def follow_files(
    find: Callable[[], Sequence[LogFile]], ended: Callable[[], bool], tail: int | None
) -> Iterator[tuple[str, str]]:
    """Yield (worker, line) for each line of the logs when it is written, until a job has ended.

    ``ended`` returns True if the job has ended. ``find`` returns the log files, and is called
    repeatedly. ``tail``: number of old lines to yield from each file that the first call of
    ``find`` returns; None: all lines. Files that a later call adds are yielded from their start.
    """
    followed: dict[Path, _Follower] = {}
    try:
        while True:
            # Call ``ended`` before the files are read, so that output before the end is not missed.
            has_ended = ended()
            for file in find():
                if file.path not in followed:
                    followed[file.path] = _Follower(file, tail)
            for follower in followed.values():
                yield from follower.news()
            if has_ended:
                break
            tail = None
            time.sleep(POLL_SECONDS)
        for follower in followed.values():
            yield from follower.rest()
    finally:
        for follower in followed.values():
            follower.close()
