"""Location of workspace and project: both may be moved, with or without a running server."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.core.command_name import COMMAND
from orchestrator.security.untrusted_files import read_regular, write_private

#: Name of the file with the paths of the workspace and the project at the last start of a server.
NAME = ".place"
_MOST_BYTES = 65536


class Place:
    """Call ``note`` first. Any thread may call ``moved``."""

    def __init__(self, workspace: Path, project: Path) -> None:
        self._paths = (os.path.abspath(workspace), os.path.abspath(project))
        self._record = workspace / NAME
        #: Former paths of the project, if a server noticed the moves.
        self.former: tuple[str, ...] = ()
        self._noted: Mapping[str, tuple[int, int]] = {}

    def note(self) -> None:
        """Remember the directories at both paths, with which ``moved`` compares the paths."""
        self._noted = {path: seen for path in self._paths if (seen := _identity(path))}

    @property
    def moved(self) -> str:
        """Return a message if workspace or project was moved since ``note``; "" otherwise."""
        gone = next((path for path, seen in self._noted.items() if _identity(path) != seen), "")
        if not gone:
            return ""
        return (
            f"{gone} was moved, renamed, or replaced while the server runs; nothing is started or "
            f"accepted; stop the server (kill {os.getpid()}), then at the new place: "
            f"{COMMAND} serve"
        )

    def is_new(self) -> bool:
        """True if the former server had another location, or if its location is unknown."""
        before = self._read()
        self.former = tuple(before.get("former", ()))
        was, (workspace, project) = before.get("project", ""), map(os.path.realpath, self._paths)
        if was and was != project and not os.path.lexists(was):
            self.former = (*self.former, was)
        return (before.get("workspace"), was) != (workspace, project)

    def keep(self) -> None:
        """Store the present location. Raise OSError."""
        workspace, project = map(os.path.realpath, self._paths)
        record = {"workspace": workspace, "project": project, "former": self.former}
        write_private(self._record, json.dumps(record).encode())

    def _read(self) -> dict[str, Any]:
        """Return the stored location; empty if none is readable."""
        with suppress(ValueError):
            found = json.loads(read_regular(self._record, _MOST_BYTES) or b"{}")
            if isinstance(found, dict):
                return found
        return {}


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
