"""The file with the run times of earlier tasks, from which the start order is computed.

A line contains a name and seconds. Lines are added when a root job has ended. A lost or broken line
only worsens the order.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.security.untrusted_files import read_tail

logger = logging.getLogger(__name__)

#: Name of the file in the workspace.
NAME = ".run-times"
#: Maximum bytes that are read; a longer file is written again with its last lines.
MOST_BYTES = 2 << 20
#: Maximum seconds of a task that are believed.
_MOST_SECONDS = 1e8


def read(workspace: Path) -> list[tuple[str, float]]:
    """Return names and seconds, oldest first. Shortens a file that has grown too long."""
    path = workspace / NAME
    found = list(_parsed(read_tail(path, MOST_BYTES).split(b"\n")))
    with suppress(OSError):
        if os.lstat(path).st_size > MOST_BYTES:
            shorter = path.with_name(f"{NAME}.new")
            shorter.write_text(_lines(found[len(found) // 2 :]), "ascii")
            os.replace(shorter, path)
    return found


def add(workspace: Path, news: Sequence[tuple[str, float]]) -> None:
    """Add run times. Errors are logged only, because later runs add others."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(workspace / NAME, flags, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(_lines(news))
    except OSError as error:
        logger.warning("cannot store run times", extra={"error": str(error)})


def _lines(found: Iterable[tuple[str, float]]) -> str:
    return "".join(f"{name} {seconds:.3f}\n" for name, seconds in found)


def _parsed(lines: Iterable[bytes]) -> Iterator[tuple[str, float]]:
    for line in lines:
        name, _, text = line.decode("ascii", "replace").partition(" ")
        with suppress(ValueError):
            seconds = float(text)
            if len(name) == 16 and 0 <= seconds < _MOST_SECONDS:
                yield name, seconds
