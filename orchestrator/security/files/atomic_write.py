"""Replaces files atomically."""

import os
import threading
from pathlib import Path

from orchestrator.core import failpoints

#: Permissions of a file that only its owner may read.
_PRIVATE = 0o600


def replace_file(
    path: Path, content: bytes, *, mode: int = _PRIVATE, durable: bool = False
) -> None:
    """Replace a file atomically. Never follows links.

    Raise OSError if the file cannot be replaced: for example, a worker created a directory at
    ``path``. The file is then unchanged, and no temporary file remains.

    ``mode``: permissions of the new file. ``durable``: first wait until the content is on the disk.
    """
    # Each thread uses its own temporary file, because several threads may replace the same file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = os.open(temporary, flags, _PRIVATE)
    except FileExistsError:
        # The temporary file already exists: from a crash, or from a worker, possibly as a hard link
        # to another file.
        os.unlink(temporary)
        handle = os.open(temporary, flags, _PRIVATE)
    try:
        with os.fdopen(handle, "wb") as file:
            if mode != _PRIVATE:
                os.fchmod(handle, mode)
            file.write(content)
            if durable:
                file.flush()
                os.fsync(handle)
        failpoints.reached(f"{path.name}: before the rename")
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    failpoints.reached(f"{path.name}: after the rename")
