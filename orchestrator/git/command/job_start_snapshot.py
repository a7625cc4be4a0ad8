"""Files that hold the state of a repository at the start of a job."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def note_once(path: Path, content: Callable[[], bytes]) -> None:
    """Write ``content`` to a job's file, whole or not at all. Idempotent: only the first call
    writes.

    Does nothing if the job's directory does not exist.
    """
    if path.exists() or not path.parent.is_dir():
        return
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content())
    os.replace(temporary, path)
