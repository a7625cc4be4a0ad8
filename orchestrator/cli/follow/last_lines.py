"""Reads the last line of each running worker's output, from the logs on this machine."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from orchestrator.cli.output.terminal_text import lines_of
from orchestrator.security.files.untrusted_files import open_plain

#: Maximum bytes that are read from the end of a log; a longer last line is cut at its beginning.
TAIL_BYTES = 2048
REFRESH_SECONDS = 0.25


class LastLines:
    """Reads the last line of workers' logs. A log is read again only after it has grown."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        #: By worker: size of the log when it was read, and its last line.
        self._read: dict[str, tuple[int, str]] = {}
        self._due = 0.0

    def of(self, started_at: Mapping[str, float]) -> Mapping[str, str]:
        """Return {worker id: last line of the worker's output} for workers in ``started_at``.

        ``started_at``: {worker id: start time of the worker's current attempt, in seconds since the
        epoch}. Older output is ignored. A worker without output is omitted.
        """
        if time.monotonic() >= self._due:
            self._read = {
                each: self._size_and_last_line(each, at) for each, at in started_at.items()
            }
            self._due = time.monotonic() + REFRESH_SECONDS
        return {worker: line for worker, (_, line) in self._read.items() if line}

    def _size_and_last_line(self, worker: str, started_at: float) -> tuple[int, str]:
        previous = self._read.get(worker, (-1, ""))
        try:
            with open_plain(self._logs / f"depth_{worker.count('_') - 1}_{worker}.log") as log:
                status = os.fstat(log.fileno())
                if status.st_size == previous[0] or status.st_mtime < started_at:
                    return previous if status.st_size == previous[0] else (-1, "")
                log.seek(max(0, status.st_size - TAIL_BYTES))
                text = log.read(TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return -1, ""
        # A carriage return also ends a line, because programs redraw their progress with it.
        return status.st_size, next(reversed(lines_of(text.replace("\r", "\n"))), "")
