"""The file with the run times of earlier tasks. The run times decide the start order of tasks.

Each line contains the digest of a task's name (16 characters) and a run time in seconds. Lines are
added when a job has ended. A lost or damaged line only makes the start order less efficient.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.core.events import EventKind
from orchestrator.core.ports import Observer, StateChange
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.untrusted_files import read_tail

logger = logging.getLogger(__name__)

#: Name of the file in the workspace.
NAME = ".run-times"
#: Maximum bytes that are read. A longer file is replaced by a file with its last lines.
MOST_BYTES = 2 << 20
#: Maximum plausible seconds of a task. A larger value is ignored.
_MOST_SECONDS = 1e8


def read(workspace: Path) -> list[tuple[str, float]]:
    """Return the pairs (digest, seconds), oldest first. Shorten the file if it is too long."""
    path = workspace / NAME
    run_times = list(_parsed(read_tail(path, MOST_BYTES).split(b"\n")))
    with suppress(OSError):
        if os.lstat(path).st_size > MOST_BYTES:
            replace_file(path, _lines(run_times[len(run_times) // 2 :]).encode("ascii"))
    return run_times


def add(workspace: Path, run_times: Sequence[tuple[str, float]]) -> None:
    """Add pairs (digest, seconds) to the file.

    Errors are only logged, because the loss of run times does little harm.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(workspace / NAME, flags, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(_lines(run_times))
    except OSError as error:
        logger.warning("cannot store run times", extra={"error": str(error)})


def recorder(workspace: Path) -> Observer:
    """Return an observer that collects run times from changes.

    When a job has ended, the observer adds the collected run times to the file.
    """
    run_times: list[tuple[str, float]] = []

    def record(change: StateChange) -> None:
        run_times.extend(change.run_times)
        if any(each.kind is EventKind.JOB_ENDED for each in change.events):
            add(workspace, run_times)
            run_times.clear()

    return record


def _lines(run_times: Iterable[tuple[str, float]]) -> str:
    return "".join(f"{name} {seconds:.3f}\n" for name, seconds in run_times)


def _parsed(lines: Iterable[bytes]) -> Iterator[tuple[str, float]]:
    for line in lines:
        name, _, text = line.decode("ascii", "replace").partition(" ")
        with suppress(ValueError):
            seconds = float(text)
            if len(name) == 16 and 0 <= seconds < _MOST_SECONDS:
                yield name, seconds
