"""A private directory for temporary files of one attempt, or of one run of a gate.

Programs create Unix sockets in this directory, and the path of a socket may have only about 100
characters. Below the worker's own directory, such a path could be too long.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Collection
from hashlib import sha256

logger = logging.getLogger(__name__)

#: Prefix of the names of all directories for temporary files of attempts.
PREFIX = "orc-"
#: Maximum length of the path of the system's directory for temporary files. If the path is longer,
#: /tmp is used.
LONGEST_ROOT = 40


def directory_of(workspace: os.PathLike[str] | str, attempt: str) -> str:
    """Return the path of an attempt's directory for temporary files.

    The path depends only on the arguments, so that the next server finds leftovers of a crash.
    """
    return f"{_root()}/{_prefix(workspace)}{_digest(attempt, 10)}"


def make(directory: str) -> None:
    """Create a directory for temporary files. Idempotent.

    Raise OSError if the directory cannot be created, or belongs to another user.
    """
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        status = os.lstat(directory)
        if os.path.islink(directory) or status.st_uid != os.getuid():
            raise
        os.chmod(directory, 0o700)


def remove(directory: str) -> None:
    """Remove the directory. Files that cannot be removed remain. Idempotent."""
    if os.path.islink(directory):
        return
    shutil.rmtree(directory, ignore_errors=True)


def sweep(workspace: os.PathLike[str] | str, keep: Collection[str]) -> None:
    """Remove leftover directories of a workspace's attempts, except the directories in ``keep``.

    A crash of the server leaves such directories.
    """
    root, prefix = _root(), _prefix(workspace)
    try:
        names = [each for each in os.listdir(root) if each.startswith(prefix)]
    except OSError:
        logger.warning("cannot search for leftover temporary files", exc_info=True)
        return
    for name in names:
        if f"{root}/{name}" not in keep:
            remove(f"{root}/{name}")


def _prefix(workspace: os.PathLike[str] | str) -> str:
    return f"{PREFIX}{_digest(os.path.realpath(workspace), 6)}-"


def _root() -> str:
    directory = tempfile.gettempdir()
    return directory if len(directory) <= LONGEST_ROOT else "/tmp"


def _digest(text: str, length: int) -> str:
    return sha256(os.fsencode(text)).hexdigest()[:length]
