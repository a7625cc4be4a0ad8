"""Saves broken files of a repository in the job's directory, with a list of them."""

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from orchestrator.core.dataclass import dataclass
from orchestrator.security.files.untrusted_files import read_regular

#: Name of the directory in a root job's directory.
NAME = "repository-broken"
#: Name of a file in that directory, with one line for each repair.
_NOTES = "told.txt"
_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BrokenFiles:
    #: The root job's directory.
    job: Path

    def notes(self) -> list[str]:
        found = read_regular(self.job / NAME / _NOTES, _MOST_BYTES) or b""
        return list(dict.fromkeys(found.decode("utf-8", "replace").splitlines()))

    def note(self, line: str) -> None:
        """Add the line to the reports of all jobs whose workers may have broken the file."""
        working = at_work(self.job.parent)
        for job in {self.job, *(each.parents[2] for each in working)}:
            (job / NAME).mkdir(exist_ok=True, mode=0o700)
            with (job / NAME / _NOTES).open("a", encoding="utf-8", errors="replace") as file:
                file.write(f"{line}{_who(job, working)}\n")

    def keep(self, path: str) -> str:
        """Move the file away, so that another can replace it. Return its new path, as text."""
        if not os.path.lexists(path):
            return ""
        place = self._free(path)
        mode = os.lstat(path).st_mode
        if stat.S_ISFIFO(mode):
            # The directory is empty.
            os.unlink(path)
            return ""
        if stat.S_ISREG(mode) and os.access(path, os.R_OK):
            shutil.copyfile(path, place)
        else:
            shutil.move(path, place)
        return f"; the former content is saved as {place}"

    def _free(self, path: str) -> str:
        (self.job / NAME).mkdir(exist_ok=True, mode=0o700)
        number = 1
        while os.path.lexists(place := f"{self.job / NAME}/{os.path.basename(path)}-{number}"):
            number += 1
        return place


def at_work(workspace: Path) -> Sequence[Path]:
    return sorted(workspace.glob("job_*/depth_*/*/worktree"))


def _who(job: Path, working: Sequence[Path]) -> str:
    own = [each.parent.name for each in working if each.parents[2] == job]
    others = [
        f"{each.parent.name} of {each.parents[2].name}"
        for each in working
        if each.parents[2] != job
    ]
    names = ", ".join([*own, *others])
    return f" (workers with a worktree at that time: {names})" if names else ""
