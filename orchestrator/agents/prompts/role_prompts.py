"""Roles: Markdown texts that describe an agent's part in a job. Users may replace and add roles."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from orchestrator.core.errors import UnknownRole
from orchestrator.core.lazy_dataclass import dataclass

BUILT_IN = Path(__file__).parent / "roles"
MOST_BYTES = 32 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SUFFIX = ".md"


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    name: str
    #: The first non-empty line, without ``#`` marks.
    description: str
    path: Path
    built_in: bool


class RolePrompts:
    """The roles, each a file ``<name>.md``.

    A user's file replaces a built-in role of the same name. Each call reads the file, so a change
    applies to the next worker.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directories = ([directory] if directory else []) + [BUILT_IN]

    def names(self) -> Sequence[str]:
        return sorted({path.stem for directory in self._directories for path in _files(directory)})

    def check(self, name: str) -> None:
        """Raise UnknownRole if the role does not exist. The message lists the existing roles."""
        if self._path(name) is None:
            known = ", ".join(self.names())
            raise UnknownRole(
                f"unknown role {name!r}; known: {known}. To add one, write the file "
                f".orchestrator/roles/{name}.md in the project"
            )

    def text(self, name: str) -> str:
        """Return the role's text; "" if the role no longer exists."""
        path = self._path(name)
        return _read(path).strip() if path else ""

    def roles(self) -> Sequence[Role]:
        pairs = ((name, self._path(name)) for name in self.names())
        return [_role(name, path) for name, path in pairs if path is not None]

    def _path(self, name: str) -> Path | None:
        if not _NAME.fullmatch(name):
            return None
        paths = (directory / f"{name}{_SUFFIX}" for directory in self._directories)
        return next((path for path in paths if path.is_file()), None)


def _files(directory: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    paths = (directory / name for name in names if name.endswith(_SUFFIX))
    return [path for path in paths if _NAME.fullmatch(path.stem) and path.is_file()]


def _role(name: str, path: Path) -> Role:
    lines = (line.strip().lstrip("#").strip() for line in _read(path).splitlines())
    description = next((line for line in lines if line), "")
    return Role(name=name, description=description, path=path, built_in=path.parent == BUILT_IN)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
