"""The files of an attempt, and the ports that copy its worktree to and from a node.

The ports serve nodes that have their own file system.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Protocol

from orchestrator.core.lazy_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class WorktreeFiles:
    directory: str
    #: Full name of the worktree's branch, and the branch head when the attempt begins.
    branch: str
    commit: str
    #: Paths of files that the task promises. These files are copied back even if git ignores them.
    promised: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptFiles:
    """The files that an attempt reads and writes. Paths are absolute paths on the server."""

    #: Directories that the worker may change. The first directory is the worker's own directory.
    directories: tuple[str, ...]
    #: Directories that the worker only reads.
    inputs: tuple[str, ...] = ()
    #: Files in ``directories`` that the server wrote. These files may contain paths of the server,
    #: and are not copied back.
    texts: tuple[str, ...] = ()
    #: Paths in ``directories`` and ``inputs`` that are not copied.
    left_out: tuple[str, ...] = ()
    worktree: WorktreeFiles | None = field(default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileChange:
    """A change of a worktree's files, such as the result of a child job."""

    #: The commits of the files before and after the change; equal if the files stay unchanged.
    now: str
    then: str
    #: Branches that the worker can read after the change: commits by the branches' full names.
    branches: Mapping[str, str] = field(default_factory=dict)


class NodeWorktree(Protocol):
    """The worktree of a running attempt on a node with its own file system.

    The attempt does not end while the caller holds the worktree. If the node is not connected,
    ``change_files`` and ``fetch`` wait for the node. If the caller acquired the worktree with
    ``waits`` False, ``fetch`` raises Unavailable instead of waiting.

    Both methods raise Unavailable while the server stops, RepositoryError if a git command fails,
    and OSError if a file cannot be read or written.
    """

    def fetch(self) -> bool:
        """Update the server's copy of the worktree, and its branch, to the state on the node.

        Return False, without an update, if the attempt is ending. The node then sends the files
        with the attempt's end.
        """

    def change_files(self, change: FileChange) -> str:
        """Change the files on the node, but neither HEAD nor the index.

        Git first checks that all files can be changed, and only then changes them. Return "" on
        success, otherwise the reason for the failure. After a failure, the caller must call
        ``fetch``, because git may have changed some files already.
        """


class ServerWorktrees(Protocol):
    """The server's part of the work on worktrees of nodes with their own file systems.

    Methods raise RepositoryError if a git command fails, and OSError if a file cannot be read or
    written.
    """

    def pack(self, worktree: WorktreeFiles, known: Sequence[str], path: str) -> Sequence[str]:
        """Write the commits of a worktree into the directory ``path``.

        ``known``: commits that the node already has; their history is omitted. Return the commits
        that the node has after it has read the directory.
        """

    def files_outside_git(self, worktree: WorktreeFiles) -> Sequence[str]:
        """Return the worktree's files that are not in git: ignored and untracked files."""

    def apply_received(self, worktree: WorktreeFiles, path: str) -> None:
        """Update a worktree and its branch to the state in the directory ``path``.

        The directory comes from a node, and is not trusted. After an error, the update may be
        incomplete, and a repeated call completes the update. Idempotent.
        """

    def pack_change(self, change: FileChange, known: Sequence[str], path: str) -> None:
        """Write the commits of a change into the directory ``path``.

        ``known``: commits that the node already has; their history is omitted.
        """


class NodeWorktrees(Protocol):
    """The node's part of the work on its worktrees. A node lacks the project's repository.

    Methods raise RepositoryError if a git command fails, and OSError if a file cannot be read or
    written.
    """

    @property
    def objects(self) -> str:
        """Path of a directory of git objects that all worktrees of the node share."""

    def known(self) -> Sequence[str]:
        """Return commits of which the node has the complete history."""

    def prune(self) -> None:
        """Remove old commits if the node has too many. The node must have no worktree."""

    def open(self, worktree: WorktreeFiles, path: str, directory: str) -> None:
        """Create the worktree ``directory`` from the server's files in the directory ``path``."""

    def pack(self, worktree: WorktreeFiles, directory: str, path: str) -> None:
        """Write the branch and the changes of a worktree into the directory ``path``."""

    def change_files(
        self, worktree: WorktreeFiles, directory: str, path: str, change: FileChange
    ) -> None:
        """Change the files of a worktree while its worker runs. HEAD and index stay unchanged.

        ``directory``: the worktree on the node. ``path``: a directory with packs of the commits in
        ``change``.
        """
