"""Paths that tools may use: only below the working directory, unless the policy is ``full``."""

import os
import stat
from pathlib import Path

from orchestrator.agents.loop.tools.tool import ToolRefused, Unusable
from orchestrator.core.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Places:
    """Paths below ``root``, which must have no links in it."""

    root: Path
    confined: bool

    def find(self, given: str) -> Path:
        """Return the place that a path names, with links resolved. Raise Refused if it is not
        allowed.
        """
        place = Path(os.path.realpath(self.root / os.path.expanduser(given)))
        if self.confined and not place.is_relative_to(self.root):
            raise ToolRefused(
                f"{given} is outside of {self.root}, the only directory that this agent may use"
            )
        return place

    def to_change(self, given: str) -> Path:
        """Return the place to write, as ``find`` does. Git's own files are refused, because hooks
        and filters run programs.
        """
        place = self.find(given)
        if self.confined and ".git" in place.relative_to(self.root).parts:
            raise ToolRefused(f"{given} belongs to git, which this agent may not change")
        return place

    def shown(self, place: Path) -> str:
        """Return the path relative to the working directory, if it is inside."""
        inside = place.is_relative_to(self.root)
        return str(place.relative_to(self.root)) if inside else str(place)


def open_to_read(place: Path) -> int:
    """Return a descriptor of a regular file: reading a pipe or a device would never end."""
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unusable(f"{place.name} is not a file that can be read")
    return descriptor


def replace_content(place: Path, content: bytes) -> None:
    """Write a whole file, and create its directories; its mode stays. Raise OSError, Unusable."""
    place.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    descriptor = os.open(place, flags, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unusable(f"{place.name} is not a file that can be written")
        file.truncate(0)
        file.write(content)
