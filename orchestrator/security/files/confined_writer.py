"""Writes workers' files into a directory of the user, and never outside of it.

Each file is written completely or not at all.
"""

import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from orchestrator.core import failpoints
from orchestrator.security.files.untrusted_files import NotPlain

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Names of directories that are never written to. A file in ``.git`` can contain commands that git
#: runs.
_NEVER = {".git"}


class ConfinedWriter:
    """Writes files into one directory.

    Each subdirectory is opened from its parent, and links are not followed.
    """

    def __init__(self, target: Path) -> None:
        self._target = target

    def read(self, path: str) -> bytes | None:
        """Return the content of a file; None if it does not exist.

        Raise NotPlain if ``put`` would not replace the file.
        """
        parts = _checked_parts(path)
        try:
            with self._open_directory(parts[:-1], make=False) as folder:
                _check_replaceable(folder, parts[-1], path)
                with os.fdopen(os.open(parts[-1], _FILE, dir_fd=folder), "rb") as file:
                    return file.read()
        except FileNotFoundError:
            return None

    def put(self, path: str, content: bytes, *, executable: bool) -> None:
        """Write a new file, or replace a plain file.

        Raise NotPlain if the path leads to another kind of file, leaves the directory, or belongs
        to git. Raise another OSError if the file cannot be written.
        """
        parts = _checked_parts(path)
        with self._open_directory(parts[:-1], make=True) as folder:
            # Check again right before the replacement: only a plain file is replaced.
            _check_replaceable(folder, parts[-1], path)
            _write(folder, parts[-1], content, 0o777 if executable else 0o666)

    @contextmanager
    def _open_directory(self, parts: Sequence[str], *, make: bool) -> Iterator[int]:
        folder = os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                inner = _open_inner(folder, part, make)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)


def _checked_parts(path: str) -> list[str]:
    parts = path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or "\0" in path:
        raise NotPlain("the path has an empty part, '.', '..', or a NUL character")
    if any(part.lower() in _NEVER for part in parts):
        raise NotPlain("the path belongs to git")
    return parts


def _open_inner(folder: int, name: str, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
    try:
        return os.open(name, _DIRECTORY, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotPlain(f"{name} exists and is not a directory") from error


def _check_replaceable(folder: int, name: str, path: str) -> None:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise NotPlain(f"{path} exists and is not a regular file")


def _write(folder: int, name: str, content: bytes, mode: int) -> None:
    # All writes of a file use the same temporary name, so that the next write removes the temporary
    # file of a killed process.
    temporary = f".orchestrator-{sha256(os.fsencode(name)).hexdigest()[:16]}"
    with suppress(OSError):  # some file systems have no locks
        fcntl.flock(folder, fcntl.LOCK_EX)
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    try:
        with os.fdopen(os.open(temporary, _NEW, mode, dir_fd=folder), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        failpoints.reached("apply: before the rename")
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise
