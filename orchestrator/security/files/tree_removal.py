"""Removes directories that a worker may have protected against changes."""

import os
import shutil
import stat
from contextlib import suppress


def remove(path: os.PathLike[str] | str) -> None:
    """Remove a file, a link, or a directory with its content. Idempotent.

    Links are never followed. Directories without write permission are removed, too. Raise OSError
    if something cannot be removed.
    """
    if os.path.islink(path) or not os.path.isdir(path):
        with suppress(FileNotFoundError):
            os.unlink(path)
        return
    with suppress(PermissionError):
        shutil.rmtree(path)
        return
    os.chmod(path, stat.S_IRWXU)
    for parent, names, _ in os.walk(path):
        for name in names:
            inner = os.path.join(parent, name)
            if not os.path.islink(inner):
                os.chmod(inner, stat.S_IRWXU)
    shutil.rmtree(path)
