"""Paths that tools may use: only below the working directory, unless the policy is ``full``."""

import os
import stat
from pathlib import Path

from orchestrator.agents.model_loop.tools.tool import ToolRefused, Unusable
from orchestrator.core.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class AllowedPaths:
    """Paths that tools may use.

    If ``confined`` is True, only paths below ``root`` are allowed, otherwise all paths. The path of
    ``root`` must contain no links.
    """

    root: Path
    confined: bool

    def find(self, requested: str) -> Path:
        """Return the absolute path of ``requested``, with links resolved.

        Raise ToolRefused if the policy does not allow the path.
        """
        path = Path(os.path.realpath(self.root / os.path.expanduser(requested)))
        if self.confined and not path.is_relative_to(self.root):
            raise ToolRefused(
                f"{requested} is outside of {self.root}, the only directory that this agent may use"
            )
        return path

    def to_change(self, requested: str) -> Path:
        """Return the absolute path to write, with the same checks as ``find``.

        If ``confined`` is True, also raise ToolRefused for git's own files, because git runs the
        hooks and filters in these files.
        """
        path = self.find(requested)
        if self.confined and ".git" in path.relative_to(self.root).parts:
            raise ToolRefused(
                f"{requested} is a file of git, and this agent may not change git's files"
            )
        return path

    def shown(self, path: Path) -> str:
        """Return ``path`` as text, relative to the working directory if it is inside."""
        inside = path.is_relative_to(self.root)
        return str(path.relative_to(self.root)) if inside else str(path)


def open_to_read(path: Path) -> int:
    """Open a regular file, and return the descriptor.

    Raise Unusable for other files, because reading from a pipe or a device might never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unusable(f"cannot read {path.name}: not a regular file")
    return descriptor


def replace_content(path: Path, content: bytes) -> None:
    """Write a whole file, and create its directories. An existing file keeps its mode.

    Raise OSError if the file cannot be written, and Unusable if it is not a regular file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unusable(f"cannot write {path.name}: not a regular file")
        file.truncate(0)
        file.write(content)
