"""Detects that the workspace or the project was moved.

A person may move these two directories, even while a server runs.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.json_values import sequence
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.json_file import read_object

#: Name of the file with the paths of the workspace and the project at the latest server start.
LOCATION_FILE = ".place"
_MOST_LOCATION_BYTES = 65536


class WorkspaceLocation:
    """The location of the workspace and the project, which may be moved.

    Call ``record_identities`` before ``moved_error``. Any thread may call ``moved_error``.
    """

    def __init__(self, workspace: Path, project: Path) -> None:
        self._paths = (os.path.abspath(workspace), os.path.abspath(project))
        self._record = workspace / LOCATION_FILE
        #: Former paths of the project, if a server has noticed that the project was moved.
        self.former: tuple[str, ...] = ()
        self._noted: Mapping[str, tuple[int, int]] = {}

    def record_identities(self) -> None:
        """Record the device and inode numbers of the workspace and the project.

        ``moved_error`` compares later numbers with the recorded numbers.
        """
        self._noted = {path: identity for path in self._paths if (identity := _identity(path))}

    def moved_error(self) -> str:
        """Return an error text if the workspace or project was moved; otherwise "".

        A move counts if it happened after ``record_identities``.
        """
        moved_path = next(
            (path for path, identity in self._noted.items() if _identity(path) != identity), ""
        )
        if not moved_path:
            return ""
        return (
            f"{moved_path} was moved, renamed, or replaced; the server starts no work; stop it: "
            f"kill {os.getpid()}; then start it at the new location: {COMMAND} serve"
        )

    def has_changed(self) -> bool:
        """True if the location has changed since the last ``save``, or if no location is stored.

        The call also sets ``former`` to the former paths of the project.
        """
        record = read_object(self._record, _MOST_LOCATION_BYTES) or {}
        self.former = tuple(each for each in sequence(record, "former") if isinstance(each, str))
        old, (workspace, project) = record.get("project", ""), map(os.path.realpath, self._paths)
        if isinstance(old, str) and old and old != project and not os.path.lexists(old):
            self.former = (*self.former, old)
        return (record.get("workspace"), old) != (workspace, project)

    def save(self) -> None:
        """Store the present location. Raise OSError if the file cannot be written."""
        workspace, project = map(os.path.realpath, self._paths)
        record = {"workspace": workspace, "project": project, "former": self.former}
        replace_file(self._record, json.dumps(record).encode())


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
