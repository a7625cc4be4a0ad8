"""The server's side of file transfer with nodes that have their own file systems.

Sends and receives the files of attempts. While an attempt runs, the list of its files and the
archive from the node are in the exit record's directory. The list and the archive are removed at
the attempt's end.
"""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from orchestrator.core.ports.worktree_transfer import (
    AttemptFiles,
    FileChange,
    ServerWorktrees,
    WorktreeFiles,
)
from orchestrator.launchers.cluster.connection.link import CHUNK, Link, Window
from orchestrator.launchers.cluster.connection.messages import ArchiveFigures, FilesPiece
from orchestrator.launchers.cluster.connection.typed_json import WrongType, typed
from orchestrator.launchers.cluster.file_transfer import archive
from orchestrator.launchers.cluster.file_transfer.archive import UnusableFiles
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.json_file import read_object
from orchestrator.security.files.tree_removal import remove

_MOST_LIST_BYTES = 16 * 1024 * 1024


class ServerFiles:
    """Sends files to nodes, and receives files from nodes.

    Methods raise OSError if a file cannot be read or written, UnusableFiles if the files are not
    valid, and RepositoryError if git fails.
    """

    def __init__(self, worktrees: ServerWorktrees | None) -> None:
        self._worktrees = worktrees

    async def send(
        self,
        link: Link,
        window: Window,
        attempt_id: str,
        files: AttemptFiles,
        exit_path: str,
        known_commits: Sequence[str],
        is_wanted: Callable[[], bool],
    ) -> tuple[ArchiveFigures, Sequence[str]] | None:
        """Send the files of an attempt. ``known_commits``: the commits that the node has.

        Return the archive's size and digest, and the commits that the node has after the transfer.
        ``is_wanted`` returns False when the attempt is stopped: the transfer then stops, and the
        result is None. Raise ConnectionError if the link breaks.
        """
        path = _sibling(exit_path, "sent")
        try:
            figures, commits = await asyncio.to_thread(
                self._pack, files, exit_path, path, known_commits
            )
            with open(path, "rb") as file:
                while is_wanted() and (data := file.read(CHUNK)):
                    await window.reserve(len(data))
                    if not is_wanted():
                        window.confirm(len(data))
                        return None
                    link.post(FilesPiece(attempt_id, file.tell() - len(data), data))
                    await link.drained()
        finally:
            _unlink(path)
        return (figures, commits) if is_wanted() else None

    def _pack(
        self, files: AttemptFiles, exit_path: str, path: str, known_commits: Sequence[str]
    ) -> tuple[ArchiveFigures, Sequence[str]]:
        remove_transfer_files(exit_path)
        record = json.dumps(asdict(files)).encode("ascii")
        replace_file(Path(_sibling(exit_path, "files.json")), record)
        extra, selection, commits = f"{path}.extra", None, known_commits
        remove(extra)
        os.mkdir(extra, 0o700)
        try:
            if files.worktree is not None:
                if self._worktrees is None:
                    raise UnusableFiles(
                        "the server cannot send the worktree, because the project has no git "
                        "repository"
                    )
                commits = self._worktrees.pack(files.worktree, known_commits, extra)
                selection = (
                    files.worktree.directory,
                    self._worktrees.files_outside_git(files.worktree),
                )
            roots = (*files.directories, *files.inputs, extra)
            return archive.pack(roots, path, files.left_out, selection=selection), commits
        finally:
            remove(extra)

    def store_returned(self, files: AttemptFiles, exit_path: str, figures: ArchiveFigures) -> None:
        """Move the received files of an ended attempt to their directories. Idempotent.

        ``figures``: the size and digest of the archive that the node sent. The node is not trusted.
        """
        received, staging = archive_path(exit_path), _sibling(exit_path, "staging")
        if not os.path.exists(received) or archive.figures_of(received) != figures:
            raise UnusableFiles("the files that the node sent arrived incomplete or damaged")
        remove(staging)
        try:
            archive.unpack(received, staging, len(files.directories) + 1)
            if files.worktree is not None and self._worktrees is not None:
                self._worktrees.apply_received(
                    files.worktree, f"{staging}/{len(files.directories)}"
                )
            keep = (*files.left_out, *files.texts)
            for number, directory in enumerate(files.directories):
                # Remove files only from the worker's own directory, because the server may have
                # added files to the attempt's other directories.
                archive.put(f"{staging}/{number}", directory, keep, removes_others=number == 0)
        finally:
            remove(staging)

    def store_snapshot(
        self, worktree: WorktreeFiles, exit_path: str, path: str, figures: ArchiveFigures
    ) -> None:
        """Change the server's copy of a running attempt's worktree to the state in an archive.

        ``path``: the received archive. ``figures``: the size and digest of the archive that the
        node sent. The node is not trusted. Idempotent.
        """
        if self._worktrees is None:
            raise UnusableFiles(
                "the server cannot receive the worktree, because the project has no git repository"
            )
        if archive.figures_of(path) != figures:
            raise UnusableFiles("the files that the node sent arrived incomplete or damaged")
        staging = _sibling(exit_path, "staging")
        remove(staging)
        try:
            archive.unpack(path, staging, 1)
            self._worktrees.apply_received(worktree, f"{staging}/0")
        finally:
            remove(staging)

    def pack_change(
        self, change: FileChange, known_commits: Sequence[str], path: str
    ) -> ArchiveFigures:
        """Write the commits of a change into an archive. Return its size and digest.

        ``known_commits``: the commits that the node has.
        """
        if self._worktrees is None:
            raise UnusableFiles(
                "the server cannot send the worktree, because the project has no git repository"
            )
        extra = f"{path}.extra"
        remove(extra)
        os.mkdir(extra, 0o700)
        try:
            self._worktrees.pack_change(change, known_commits, extra)
            return archive.pack([extra], path)
        finally:
            remove(extra)


def archive_path(exit_path: str) -> str:
    return _sibling(exit_path, "returned")


def stored_files(exit_path: str) -> AttemptFiles | None:
    """Return the files that an earlier server sent to a node for an attempt.

    Return None if no valid list of such files is stored. Also remove a complete or incomplete
    archive that the node has sent. The node sends the archive again.
    """
    _unlink(archive_path(exit_path))
    content = read_object(_sibling(exit_path, "files.json"), _MOST_LIST_BYTES)
    try:
        return typed(AttemptFiles, content)
    except WrongType:
        return None


def discard_archive(exit_path: str) -> None:
    """Remove a complete or incomplete archive that a node has sent. Idempotent.

    Afterwards, the node must send the archive from the beginning.
    """
    _unlink(archive_path(exit_path))


def remove_transfer_files(exit_path: str) -> None:
    """Remove the list of files and the archives of an attempt. Idempotent."""
    for name in ("returned", "snapshot", "files.json"):
        _unlink(_sibling(exit_path, name))


def snapshot_path(exit_path: str) -> str:
    return _sibling(exit_path, "snapshot")


def _sibling(exit_path: str, name: str) -> str:
    return f"{exit_path.removesuffix('.exit.json')}.{name}"


def _unlink(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
