"""Writes files whole or not at all, into directories that contain no links.

Workers run as the same user and could create links at the paths of reports. So directories are
opened one by one without following links, and files are created under a new name and renamed.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from orchestrator.core import failpoints
from orchestrator.core.errors import OrchestratorError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ReportError(OrchestratorError):
    """A report could not be written."""

    kind = "report"


def write_report(directory: Path, name: str, text: str) -> Path:
    """Write ``directory/name``, replacing an existing file; mode 0600, new directories 0700.

    A directory at the file's path is renamed and kept. ``name`` may contain directories.
    ``directory`` must exist. Raise ReportError.
    """
    path = PurePosixPath(name)
    try:
        with _opened(directory, path.parent.parts) as folder:
            _replace(folder, path.name, text.encode("utf-8", "replace"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError(f"cannot write the report {directory / name}: {reason}") from error
    return directory / name


@contextmanager
def _opened(directory: Path, parts: tuple[str, ...]) -> Iterator[int]:
    folder = os.open(directory, _DIRECTORY)
    try:
        for part in parts:
            inner = _inner(folder, part)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _inner(folder: int, part: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(part, 0o700, dir_fd=folder)
    return os.open(part, _DIRECTORY, dir_fd=folder)


def _replace(folder: int, name: str, content: bytes) -> None:
    temporary = f".{name}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, _NEW_FILE, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        failpoints.reached(f"{name}: before the rename")
        try:
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except IsADirectoryError:
            # A worker has created a directory at the report's path.
            kept = f"{name}.renamed-{secrets.token_hex(4)}"
            os.rename(name, kept, src_dir_fd=folder, dst_dir_fd=folder)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        failpoints.reached(f"{name}: after the rename")
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
