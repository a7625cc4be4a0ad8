"""Freezes git's ignore rules at the start of a job, except the ``.gitignore`` files of a worktree.

All worktrees share ``info/exclude`` and the configuration. If a worker could add a rule there, it
would hide new files of all other workers.
"""

import os
from pathlib import Path

from orchestrator.core.dataclass import dataclass
from orchestrator.git.command import configuration
from orchestrator.git.command.frozen_config import note_once
from orchestrator.git.command.runner import Git

#: Name of the file in a root job's directory.
NAME = "ignored-before"


@dataclass(frozen=True, slots=True)
class FrozenIgnoreRules:
    #: The part of the repository that all worktrees share.
    common: Path
    #: Path of the file with the rules that apply to a job. If it is missing, all present rules
    #: apply.
    noted: Path

    def note(self, git: Git) -> None:
        """Save the ignore rules. Idempotent: only the first call saves them."""
        note_once(self.noted, lambda: _content(_of_user(git)) + b"\n" + _content(self._shared))

    def add_hidden(self, git: Git) -> bool:
        """Add new files to the index that are ignored only because of rules added after the job's
        start.

        Return True if there are such files.
        """
        if not self.have_changed():
            return False
        kinds = ("--exclude-per-directory=.gitignore", f"--exclude-from={self.noted}")
        hidden = git.run("ls-files", "--others", "-z", *kinds).out
        if hidden:
            listed = ("--pathspec-from-file=-", "--pathspec-file-nul")
            git.run("add", "--force", "--sparse", *listed, given=hidden)
        return bool(hidden)

    def have_changed(self) -> bool:
        """True if the rules may have changed since the job's start, according to file times.

        A wrong True costs only an unnecessary check.
        """
        if not self.noted.exists():
            return False
        began = self.noted.stat().st_mtime_ns
        places = (self._shared, self.common / "config")
        return any(each.exists() and each.stat().st_mtime_ns > began for each in places)

    @property
    def _shared(self) -> Path:
        return self.common / "info" / "exclude"


def _of_user(git: Git) -> Path:
    """Return the path of the file with the user's own ignore rules for all repositories."""
    named = configuration.value(git, "core.excludesfile")
    if named.startswith(("~", "%")):
        named = git.run("config", "--path", "core.excludesFile", accept=(0, 1)).line
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(git.directory, named or f"{home}/git/ignore")


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
