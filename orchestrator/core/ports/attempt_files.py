"""The files of an attempt, and the port that copies its worktree, for a machine with its own file
system.
"""

from collections.abc import Sequence
from dataclasses import field
from typing import Protocol

from orchestrator.core.dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class WorktreeFiles:
    """The worktree of an attempt."""

    directory: str
    #: Full name of its branch, and the branch's head when the attempt begins.
    branch: str
    commit: str
    #: Paths of files that the task promises. They come back even if git ignores them.
    promised: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptFiles:
    """The files that an attempt reads and writes. Paths are absolute paths on the server."""

    #: Directories that the worker may change; the first one is its own directory.
    directories: tuple[str, ...]
    #: Directories that it only reads.
    inputs: tuple[str, ...] = ()
    #: Files in ``directories`` that the server wrote. They may contain paths of the server, and do
    #: not come back.
    texts: tuple[str, ...] = ()
    #: Paths in ``directories`` and ``inputs`` that are not copied.
    left_out: tuple[str, ...] = ()
    worktree: WorktreeFiles | None = field(default=None)


class ServerWorktrees(Protocol):
    """The server's side of worktrees on other machines."""

    def pack(self, worktree: WorktreeFiles, known: Sequence[str], path: str) -> Sequence[str]:
        """Write the commits of a worktree into the directory ``path``, except those that ``known``
        commits contain.

        Return the commits that the other machine will have after it has received the directory.
        Raise RepositoryError or OSError.
        """

    def others(self, worktree: WorktreeFiles) -> Sequence[str]:
        """Return the paths in a worktree that no commit has: ignored and untracked files."""

    def take(self, worktree: WorktreeFiles, path: str) -> None:
        """Update a worktree and its branch to the state in the directory ``path``.

        The directory comes from the other machine, and is not trusted. Idempotent. Raise
        RepositoryError or OSError; then the branch is unchanged.
        """


class NodeWorktrees(Protocol):
    """A node's side of worktrees: the node does not have the project's repository."""

    @property
    def objects(self) -> str:
        """A directory outside of the worktrees, which git reads in all worktrees of the node."""

    def known(self) -> Sequence[str]:
        """Return commits of which this machine has the complete history."""

    def prune(self) -> None:
        """Remove old commits if there are many. No worktree of this machine may be open.

        Raise RepositoryError.
        """

    def open(self, worktree: WorktreeFiles, path: str, directory: str) -> None:
        """Create the worktree ``directory`` from the directory ``path`` of the server.

        Raise RepositoryError or OSError.
        """

    def pack(self, worktree: WorktreeFiles, directory: str, path: str) -> None:
        """Write the branch and the changes of the worktree ``directory`` into the directory
        ``path``. Raise RepositoryError or OSError.
        """
