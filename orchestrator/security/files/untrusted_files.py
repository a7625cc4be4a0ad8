"""Files that a worker may have tampered with."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: Without O_NONBLOCK, a FIFO that a worker created would block the open call.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_NAMES = frozenset(("", ".", ".."))
_PIECE_BYTES = 64 * 1024


class NotPlain(OSError):
    """The path exists, but is not a plain file: for example, it is a link."""


def open_plain(path: Path | str, within: Path | str | None = None) -> BinaryIO:
    """Open a plain file below ``within`` (the file's own directory if None), unbuffered.

    Rejects ``..``, a FIFO, a device, a hard link, and a symbolic link below ``within``. Otherwise,
    a worker could block the server, or make the server read other files. If a worker replaces a
    directory during the call, the call still opens no file outside ``within``. Raise
    FileNotFoundError if the file does not exist, and NotPlain or another OSError if it is rejected
    or cannot be opened.
    """
    return os.fdopen(_open_descriptor(path, within), "rb", buffering=0)


def _open_descriptor(path: Path | str, within: Path | str | None) -> int:
    full_path = os.fspath(path)
    if within is None:
        if full_path.rpartition("/")[2] in _NOT_NAMES:
            raise NotPlain(f"{full_path} is not a file")
        return _require_plain(os.open(full_path, _FILE), full_path)
    root = os.fspath(within)
    prefix = root.rstrip("/") + "/"
    parts = full_path.removeprefix(prefix).split("/")
    if not full_path.startswith(prefix) or not _NOT_NAMES.isdisjoint(parts):
        raise NotPlain(f"{full_path} is not a file below {root}")
    folder = os.open(root, _DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        handle = os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    return _require_plain(handle, full_path)


def _require_plain(handle: int, path: str) -> int:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(handle)
        raise NotPlain(f"{path} is not a regular file")
    return handle


def read_regular(path: Path | str, limit: int, within: Path | str | None = None) -> bytes | None:
    """Return at most ``limit`` bytes of a file; None if ``open_plain`` cannot open the file."""
    # A file object would be slower, and git's small files are read about 100 times per job.
    try:
        handle = _open_descriptor(path, within)
    except OSError:
        return None
    try:
        return _read(handle, limit)
    except OSError:
        return None
    finally:
        os.close(handle)


def read_tail(path: Path | str, limit: int, within: Path | str | None = None) -> bytes:
    """Return the last ``limit`` bytes of a file; b"" if ``open_plain`` cannot open the file."""
    try:
        with open_plain(path, within) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - limit))
            return _read(file.fileno(), limit)
    except OSError:
        return b""


def tail_offset(opened: BinaryIO, lines: int) -> int:
    """Return the position in bytes at which the last ``lines`` lines of a file start.

    An incomplete last line counts as a line.
    """
    end = os.fstat(opened.fileno()).st_size
    if lines == 0 or end == 0:
        return end
    # The newline at the very end closes the last line and begins no new line.
    position, remaining = end - 1, lines
    while position > 0:
        start = max(0, position - _PIECE_BYTES)
        block = os.pread(opened.fileno(), position - start, start)
        newlines = block.count(b"\n")
        if newlines >= remaining:
            return start + _nth_from_end(block, remaining) + 1
        remaining -= newlines
        position = start
    return 0


def _nth_from_end(block: bytes, count: int) -> int:
    position = len(block)
    for _ in range(count):
        position = block.rindex(b"\n", 0, position)
    return position


def _read(handle: int, limit: int) -> bytes:
    # Read in a loop, because one read may return less than requested. Do not request ``limit``
    # bytes, because Python allocates the requested size in advance.
    pieces, remaining = list[bytes](), limit
    while remaining and (piece := os.read(handle, min(remaining, _PIECE_BYTES))):
        pieces.append(piece)
        remaining -= len(piece)
    return b"".join(pieces)


def open_log(path: Path | str) -> int:
    """Open a plain file for appending, and return its descriptor. Does not block at a FIFO.

    Creates the file with mode 0600 if it does not exist. Raise NotPlain if the path is not a
    regular file, and another OSError if the file cannot be opened.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NotPlain(f"{path} is not a regular file")
    return handle
