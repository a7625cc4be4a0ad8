"""Writes the files of reports, each completely or not at all.

Workers run as the same user as the server, and could create links at the paths of reports.
Therefore directories are opened one by one without following links. Files are created under a new
name and then renamed.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from orchestrator.core import failpoints
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.outcome.full_disk import is_shortage

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ReportError(OrchestratorError):
    """A report could not be written."""

    kind = "report"


def write_report(directory: Path, name: str, text: str) -> Path:
    """Write the file ``directory/name``, or replace it.

    Files have mode 0600, and new directories 0700. ``name`` may contain directories. ``directory``
    must exist. If there is a directory at the file's path, it is renamed and kept. Raise
    ReportError.
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
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=folder)
            inner = os.open(part, _DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


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


def write_all(directory: Path, reports: Iterable[tuple[str, str]]) -> list[Path]:
    """Write reports, given as names and texts. Return their paths.

    Raise ReportError if a report could not be written. All other reports are still written, unless
    the disk is full.
    """
    written, errors = [], []
    for name, text in reports:
        try:
            written.append(write_report(directory, name, text))
        except ReportError as error:
            if is_shortage(error):
                raise
            # An invalid place created by a worker must not prevent other reports.
            errors.append(error)
    if errors:
        raise errors[0]
    return written
