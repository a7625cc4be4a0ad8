"""Worktrees: made, found again, and removed without losing what is in them."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core import failpoints
from orchestrator.git.running import Git

#: In a worktree's own part of the repository: its files were all written.
READY = "orchestrator-ready"


@dataclass(frozen=True, slots=True)
class Found:
    """A worktree as the repository knows it."""

    directory: str
    #: Its own part of the repository: HEAD, index.
    admin: Path

    @property
    def is_whole(self) -> bool:
        return (self.admin / READY).exists() and os.path.exists(f"{self.directory}/.git")


class Worktrees:
    """``git worktree add`` is not safe beside itself: entries are made one at a time.

    Files are written outside of that lock, several worktrees side by side.
    """

    def __init__(self, git: Git, common: Path) -> None:
        self._git = git
        self._entries = common / "worktrees"
        self._adding = threading.Lock()

    def find(self, directory: str) -> Found | None:
        # Git has written down the real path.
        real = os.path.realpath(directory)
        return next((each for each in self.all() if each.directory == real), None)

    def all(self) -> Iterator[Found]:
        with suppress(FileNotFoundError):
            for admin in sorted(self._entries.iterdir()):
                with suppress(OSError):
                    link = os.fsdecode((admin / "gitdir").read_bytes()).removesuffix("\n")
                    yield Found(link.removesuffix("/.git"), admin)

    def git_of(self, found: Found) -> Git:
        """Git for a worktree, whatever its agent has put where ``.git`` was."""
        place = {"GIT_DIR": str(found.admin), "GIT_WORK_TREE": found.directory}
        return Git(found.directory, place)

    def open(self, directory: str, branch: str, start: str) -> Found:
        """See ``core.repository``."""
        found = self.find(directory)
        if found is not None and found.is_whole:
            self.unlock(found, branch)
            return found
        with self._adding:
            self._drop(directory)
            made = self._add(directory, branch, start)
        failpoints.reached("worktree: registered")
        self.git_of(made).run("reset", "--hard", "--quiet")
        failpoints.reached("worktree: checked out")
        (made.admin / READY).touch()
        return made

    def unlock(self, found: Found, branch: str) -> None:
        """Locks of a git that was killed with its worker: nothing of an ended attempt is alive."""
        for name in ("index.lock", "HEAD.lock"):
            (found.admin / name).unlink(missing_ok=True)
        (self._entries.parent / f"{branch}.lock").unlink(missing_ok=True)

    def _add(self, directory: str, branch: str, start: str) -> Found:
        exists = self._git.ask("rev-parse", "--verify", "--quiet", branch)
        if not exists:
            # Not by ``worktree add -b``, which would look at branch.autoSetupMerge.
            self._git.run("update-ref", branch, start, "")
        name = branch.removeprefix("refs/heads/")
        reason = ("--lock", "--reason", "a worker of the orchestrator is at work here")
        self._git.run("worktree", "add", "--no-checkout", *reason, "--", directory, name)
        found = self.find(directory)
        assert found is not None, "git has just made it"
        return found

    def close(self, directory: str) -> None:
        """Its files and its entry; its branch stays. Idempotent."""
        with self._adding:
            self._drop(directory)

    def _drop(self, directory: str) -> None:
        found = self.find(directory)
        # The entry last: as long as it is there, ``clean`` finds the files.
        if os.path.lexists(directory):
            _remove(directory)
        if found is not None:
            shutil.rmtree(found.admin)
            with suppress(OSError):
                self._entries.rmdir()


def _remove(directory: str) -> None:
    """Also where an agent has left directories that nobody may write to."""
    os.chmod(directory, 0o700)
    for parent, names, _ in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(directory)
