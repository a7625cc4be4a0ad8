"""The files of attempts on a node with its own file system.

Each worker has a directory on the node, with the same relative paths as in the server's workspace.
The directory is created before each attempt, and removed when the server has received the attempt's
files. In a worker's arguments, environment, and prompt, the node's paths replace the server's
paths.
"""

import json
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.ports.worktree_transfer import (
    AttemptFiles,
    FileChange,
    NodeWorktrees,
    WorktreeFiles,
)
from orchestrator.launchers.cluster.connection.messages import ArchiveFigures
from orchestrator.launchers.cluster.file_transfer import archive
from orchestrator.launchers.cluster.file_transfer.archive import UnusableFiles
from orchestrator.security.files import tool_config_boundary
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.tree_removal import remove
from orchestrator.security.files.untrusted_files import read_regular

#: Names of two archives: the files that the server sent, and the files that the node returns.
RECEIVED, RETURNED = "received", "returned"
#: Name prefix of directories that ``sweep`` removes.
_TRASH = "trash-"
#: The files of a running worker are read at most this many times, until a read succeeds.
_MOST_TRIES = 3
_MOST_TEXT_BYTES = 64 * 1024 * 1024


class PathMap:
    """Replaces the server's paths in texts by this node's paths."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """``places``: for each path of the server, the path on this node."""
        pairs = dict(places)
        for before, after in places.items():
            # In JSON, a path may be written with escapes.
            pairs.setdefault(json.dumps(before)[1:-1], json.dumps(after)[1:-1])
        self._pairs = pairs
        longest = sorted(pairs, key=len, reverse=True)
        names = "|".join(map(re.escape, longest))
        self._pattern = re.compile(rf"(?<![\w.~-])(?:{names})(?![\w-])(?!\.\w)")

    def text(self, text: str) -> str:
        return self._pattern.sub(lambda found: self._pairs[found.group()], text)


class NodeFiles:
    """The files of this node's attempts.

    Any thread may call, but only one thread at a time for the same attempt. Methods that transfer
    files raise OSError if a file cannot be read or written, UnusableFiles if the files are not
    valid, and RepositoryError if git fails.
    """

    def __init__(self, directory: Path, home: Path, worktrees: NodeWorktrees | None) -> None:
        """``directory`` has a subdirectory for each worker, and must be on a local disk.

        ``home``: the product's folder. ``worktrees``: None if this node has no git. Raise OSError
        if ``directory`` cannot be created.
        """
        self._directory, self._home, self._worktrees = directory, home, worktrees
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        #: The server's paths of ``workspace``, ``project``, ``home``, and ``python``.
        self._places: Mapping[str, Sequence[str]] = {}
        self._python = ""
        #: For each worker's directory: the attempt that uses it.
        self._users: dict[str, str] = {}
        #: The first error of an arriving archive, by directory.
        self._errors: dict[str, OSError] = {}
        self._sweeping = threading.Lock()

    @property
    def shown(self) -> Sequence[str]:
        """The directories that a sandbox must show, because workers read them."""
        objects = self._worktrees.objects if self._worktrees else ""
        return tuple(filter(None, (str(self._directory), objects)))

    @property
    def known_commits(self) -> Sequence[str]:
        return self._worktrees.known() if self._worktrees else ()

    def prune(self) -> None:
        """Remove old commits if this node has too many. Raise RepositoryError.

        Call this only while no attempt has files on this node.
        """
        if self._worktrees is not None:
            self._worktrees.prune()

    def connected(self, places: Mapping[str, Sequence[str]], python: str) -> None:
        """Store the paths of a server to which the node has connected.

        ``places``: the server's paths of ``workspace``, ``project``, ``home``, and ``python``.
        ``python``: this node's interpreter.
        """
        self._places, self._python = places, python

    def receive(self, attempt_id: str, at: int, data: bytes) -> None:
        """Append a piece to an attempt's archive, at the position ``at``; 0 begins a new archive.

        Never raises OSError: if a piece cannot be stored, ``unpack`` raises the error later.
        """
        worker_directory = self._worker_directory(attempt_id)
        if at == 0:
            self._discard(worker_directory)
            self._users[str(worker_directory)] = attempt_id
            self._errors.pop(str(worker_directory), None)
        elif self._users.get(str(worker_directory)) != attempt_id:
            return
        try:
            if at == 0:
                worker_directory.mkdir(mode=0o700)
            with open(worker_directory / RECEIVED, "ab") as file:
                if file.tell() == at:
                    file.write(data)
        except OSError as error:
            self._errors.setdefault(str(worker_directory), error)

    def adopt(self, attempt_id: str) -> None:
        """Record an attempt whose files an earlier process of this node has unpacked."""
        self._users[str(self._worker_directory(attempt_id))] = attempt_id

    def unpack(self, attempt_id: str, files: AttemptFiles, figures: ArchiveFigures) -> None:
        """Create the attempt's directories from the received archive.

        ``figures``: the size and digest of the archive that the server sent.
        """
        worker_directory, mapped = self._worker_directory(attempt_id), self.paths(attempt_id)
        error = self._errors.pop(str(worker_directory), None)
        if error is not None:
            raise error
        received, staging = worker_directory / RECEIVED, worker_directory / "staging"
        if archive.figures_of(str(received)) != figures:
            raise UnusableFiles("the files that the server sent arrived incomplete or damaged")
        roots = (*files.directories, *files.inputs)
        tool_config_boundary.write(_make_directory(worker_directory / "workspace"))
        archive.unpack(str(received), str(staging), len(roots) + 2)
        os.unlink(received)
        for number, root in enumerate(roots):
            archive.put(f"{staging}/{number}", mapped.text(root))
        if files.worktree is not None:
            self._open_worktree(files.worktree, str(staging), len(roots), mapped)
        remove(staging)
        for path in files.texts:
            _replace_paths(Path(mapped.text(path)), mapped)

    def _open_worktree(
        self, worktree: WorktreeFiles, staging: str, number: int, mapped: PathMap
    ) -> None:
        if self._worktrees is None:
            raise UnusableFiles(
                "this node cannot open a worktree, because git is not installed; install git"
            )
        directory = mapped.text(worktree.directory)
        self._worktrees.open(worktree, f"{staging}/{number}", directory)
        archive.put(f"{staging}/{number + 1}", directory, removes_others=False)

    def pack(self, attempt_id: str, files: AttemptFiles, path: str) -> ArchiveFigures:
        """Write an ended attempt's files into an archive. Return its size and digest."""
        if os.path.exists(path):
            # An earlier process of this node has packed the files, and may have sent some of them.
            return archive.figures_of(path)
        mapped, worker_directory = self.paths(attempt_id), self._worker_directory(attempt_id)
        extra = _make_directory(worker_directory / "extra")
        if files.worktree is not None and self._worktrees is not None:
            directory = mapped.text(files.worktree.directory)
            self._worktrees.pack(files.worktree, directory, str(extra))
        excluded = [mapped.text(each) for each in (*files.left_out, *files.texts)]
        roots = [*map(mapped.text, files.directories), str(extra)]
        temporary = f"{path}.new"
        try:
            figures = archive.pack(roots, temporary, excluded)
            os.replace(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
        return figures

    def store(self, attempt_id: str, files: AttemptFiles, path: str, content: bytes) -> None:
        """Store a file that the server sent after the attempt's start.

        ``path``: the file's path on the server. Raise UnusableFiles if the path is in none of the
        attempt's directories.
        """
        if os.path.dirname(path) not in files.directories:
            raise UnusableFiles(f"{path} is in no directory of the attempt")
        replace_file(Path(self.paths(attempt_id).text(path)), content)

    def snapshot(self, attempt_id: str, worktree: WorktreeFiles, path: str) -> ArchiveFigures:
        """Write the state of a running attempt's worktree into an archive at ``path``.

        Return the archive's size and digest. Files that git ignores are omitted, because a child
        job starts without ignored files.
        """
        if self._worktrees is None:
            raise UnusableFiles(
                "this node cannot read a worktree, because git is not installed; install git"
            )
        worktree = replace(worktree, promised=())
        directory = self.paths(attempt_id).text(worktree.directory)
        for remaining_tries in reversed(range(_MOST_TRIES)):
            with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as extra:
                try:
                    self._worktrees.pack(worktree, directory, extra)
                    return archive.pack([extra], path)
                except RepositoryError:
                    # The worker may have removed a file while git read it.
                    if not remaining_tries:
                        raise
        raise AssertionError("unreachable")

    def change_files(
        self,
        attempt_id: str,
        worktree: WorktreeFiles,
        path: str,
        sent: ArchiveFigures,
        change: FileChange,
    ) -> None:
        """Apply ``change`` to a running attempt's worktree.

        ``path``: the archive with the commits of the change. The archive is removed. ``sent``: the
        size and digest of the archive that the server sent.
        """
        if self._worktrees is None:
            raise UnusableFiles(
                "this node cannot change a worktree, because git is not installed; install git"
            )
        directory = self.paths(attempt_id).text(worktree.directory)
        if archive.figures_of(path) != sent:
            raise UnusableFiles("the files that the server sent arrived incomplete or damaged")
        with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as apart:
            archive.unpack(path, f"{apart}/unpacked", 1)
            os.unlink(path)
            self._worktrees.change_files(worktree, directory, f"{apart}/unpacked/0", change)

    def forget(self, attempt_id: str) -> None:
        """Discard the attempt's directory, unless a later attempt uses it. Idempotent.

        ``sweep`` removes discarded directories, which may take long.
        """
        worker_directory = self._worker_directory(attempt_id)
        if self._users.get(str(worker_directory)) == attempt_id:
            del self._users[str(worker_directory)]
            self._discard(worker_directory)

    def forget_others(self, attempts: Container[str]) -> None:
        self._users = {path: user for path, user in self._users.items() if user in attempts}
        for worker_directory in self._directory.iterdir():
            if str(worker_directory) not in self._users and not worker_directory.name.startswith(
                _TRASH
            ):
                self._discard(worker_directory)

    def sweep(self) -> None:
        """Remove all discarded directories. Never raises."""
        with self._sweeping:
            for directory in self._directory.glob(f"{_TRASH}*"):
                with suppress(OSError):
                    remove(directory)

    def _discard(self, worker_directory: Path) -> None:
        # After the rename, the worker's next attempt can create a directory with the same name.
        with suppress(OSError):
            os.rename(worker_directory, self._directory / f"{_TRASH}{secrets.token_hex(8)}")

    def paths(self, attempt_id: str) -> PathMap:
        worker_directory = self._worker_directory(attempt_id)
        own = {
            "workspace": str(worker_directory / "workspace"),
            # The project is not on this machine, so this path does not exist.
            "project": str(worker_directory / "project"),
            "home": str(self._home),
            "python": self._python,
        }
        return PathMap({path: own[name] for name in own for path in self._places.get(name, ())})

    def _worker_directory(self, attempt_id: str) -> Path:
        # All attempts of a worker have the same paths, because AI tools find their earlier sessions
        # by the path of their directory.
        worker = attempt_id.rpartition("/")[0]
        return self._directory / sha256(worker.encode()).hexdigest()[:16]


def _make_directory(path: Path) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _replace_paths(path: Path, mapped: PathMap) -> None:
    content = read_regular(path, _MOST_TEXT_BYTES)
    if content is None:
        return
    text = content.decode("utf-8", "surrogateescape")
    changed = mapped.text(text)
    if changed != text:
        replace_file(path, changed.encode("utf-8", "surrogateescape"))
