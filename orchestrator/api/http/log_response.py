"""Reads logs and reports: regular files only, from the start of a tail."""

import os
from pathlib import Path
from typing import BinaryIO

from orchestrator.core.errors import NotFound
from orchestrator.security.untrusted_files import open_plain

BLOCK_BYTES = 64 * 1024


def open_regular(path: Path, within: Path) -> BinaryIO:
    """Open a plain file; no part of its path below ``within`` may be a link.

    Raise FileNotFoundError or NotFound.
    """
    try:
        return open_plain(path, within)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotFound(f"{path.name} cannot be read: not a regular file") from error


def tail_offset(opened: BinaryIO, lines: int) -> int:
    """Return the start of the last ``lines`` lines; an incomplete last line counts as one."""
    end = os.fstat(opened.fileno()).st_size
    if lines == 0 or end == 0:
        return end
    # The newline at the very end closes the last line and begins no new line.
    position, wanted = end - 1, lines
    while position > 0:
        start = max(0, position - BLOCK_BYTES)
        block = os.pread(opened.fileno(), position - start, start)
        found = block.count(b"\n")
        if found >= wanted:
            return start + _nth_from_end(block, wanted) + 1
        wanted -= found
        position = start
    return 0


def _nth_from_end(block: bytes, count: int) -> int:
    place = len(block)
    for _ in range(count):
        place = block.rindex(b"\n", 0, place)
    return place
