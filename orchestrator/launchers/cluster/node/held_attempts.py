"""The attempts that a node holds: each has a directory until the server has confirmed its end."""

import asyncio
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.ports.worktree_transfer import AttemptFiles
from orchestrator.launchers.cluster.connection.link import CHUNK
from orchestrator.launchers.cluster.connection.messages import (
    ArchiveFigures,
    FilePositions,
    FilesNotReturned,
)
from orchestrator.launchers.cluster.connection.typed_json import WrongType, plain, typed
from orchestrator.launchers.cluster.file_transfer.node_files import RETURNED
from orchestrator.launchers.cluster.node.file_growth import FileGrowthWatch
from orchestrator.security.files.json_file import read_object

#: Output files that are sent to the server: paths below the attempt's directory.
FILES = {"log": "log", "raw": "raw/log"}
#: ``FILES``, and the archive of the files that a node with its own file system returns. An archive
#: has this name only when it is complete.
_NAMES = {**FILES, "files": RETURNED}
#: Maximum number of empty directories that remain for later attempts.
_MOST_SPARES = 64
_MOST_LAUNCH_BYTES = 32 * 1024 * 1024
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _StoredLaunch:
    """The data of an attempt that the next process of the node needs."""

    digest: str
    bases: FilePositions
    scratch: str = ""
    files: AttemptFiles | None = None


class HeldAttempt:
    """An attempt whose end the server has not confirmed yet."""

    def __init__(self, attempt_id: str, directory: str) -> None:
        self.id, self.directory = attempt_id, directory
        self.exit_path, self.log = f"{directory}/exit.json", f"{directory}/{FILES['log']}"
        #: The archive of the attempt's files that the node returns to the server.
        self.archive = f"{directory}/{RETURNED}"
        self.digest = ""
        #: Size of each output file on the server when the attempt started.
        self.bases: FilePositions = dict.fromkeys(FILES, 0)
        #: Bytes of each file that were sent.
        self.sent = dict.fromkeys(FILES, 0)
        self.exit: Exit | None = None
        self.is_reported = False
        #: True if the server does not expect the attempt.
        self.is_unwanted = False
        #: Number of the directory in ``FileGrowthWatch``; -1: not watched.
        self.watch = -1
        #: Directory for temporary files that this node created for the attempt; empty: none.
        self.scratch = ""
        #: The attempt's files, if this node has its own file system. The node returns the files
        #: before it reports the attempt's end.
        self.files: AttemptFiles | None = None
        #: True until the attempt's files are unpacked.
        self.is_preparing = False
        #: The attempt's end, if the attempt was stopped before its files were unpacked; otherwise
        #: None.
        self.stopped: Exit | None = None
        #: The archive of the files that the node returns; None: the node returns no files.
        self.returned: ArchiveFigures | FilesNotReturned | None = None
        #: Held while the attempt's files are created, copied, changed, or packed.
        self.files_lock = asyncio.Lock()
        #: True if the worker's processes have ended.
        self.has_ended = False
        #: The first error while the result of a child job was received; None if there was no error.
        self.result_error: OSError | None = None

    def save(self) -> None:
        """Store the data that the next process of this node needs. Raise OSError on failure."""
        stored = _StoredLaunch(self.digest, self.bases, self.scratch, self.files)
        content = json.dumps(plain(stored)).encode("ascii")
        with open(f"{self.directory}/launch.json", "wb", buffering=0) as file:
            if file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)

    def load(self) -> None:
        found = read_object(f"{self.directory}/launch.json", _MOST_LAUNCH_BYTES)
        with suppress(WrongType):
            stored = typed(_StoredLaunch, found)
            self.digest, self.bases, self.scratch = stored.digest, stored.bases, stored.scratch
            self.files = stored.files
        if self.files is not None:
            self.sent["files"] = 0

    def make_scratch(self, env: Mapping[str, str]) -> None:
        """Create the directory for temporary files (``TMPDIR`` in ``env``) if it does not exist.

        Raise OSError if the directory cannot be created.
        """
        directory = env.get("TMPDIR", "")
        if directory and not os.path.isdir(directory):
            os.makedirs(directory, 0o700)
            self.scratch = directory

    def next_piece(self, file: str) -> bytes:
        try:
            found = os.open(f"{self.directory}/{_NAMES[file]}", _READ_FLAGS)
        except OSError:
            return b""
        try:
            return os.pread(found, CHUNK, self.sent[file])
        except OSError:
            return b""
        finally:
            os.close(found)

    def record(self) -> str:
        """Return the attempt's exit record; empty if the attempt has no exit record."""
        try:
            with open(self.exit_path, "rb", buffering=0) as file:
                return file.read().split(b"\n", 1)[0].decode("ascii")
        except (OSError, ValueError):
            return ""


class HeldAttempts(dict[str, HeldAttempt]):
    """The attempts that the node holds, by their ids.

    The directories of these attempts are below ``directory``.
    """

    def __init__(self, directory: Path) -> None:
        """Raise OSError if the directories cannot be created or watched."""
        super().__init__()
        self._directory = directory
        self._by_watch: dict[int, HeldAttempt] = {}
        self._growth = FileGrowthWatch(FILES["log"])
        #: Empty directories below ``spare``, and their watches. The directories are reused, because
        #: creating, watching, and removing a directory takes longer than all other work of a node
        #: for a short worker.
        self._spares: list[tuple[str, int]] = []
        (directory / "attempts").mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(directory / "spare", ignore_errors=True)
        (directory / "spare").mkdir(mode=0o700, exist_ok=True)

    def fileno(self) -> int:
        """Return a descriptor that is readable when ``grown`` would yield attempts."""
        return self._growth.fileno()

    def grown(self) -> Iterator[HeldAttempt]:
        """Yield the attempts whose logs have grown since the previous call."""
        for watch in self._growth.grown():
            held = self._by_watch.get(watch)
            if held is not None:
                yield held

    def stored(self) -> list[HeldAttempt]:
        """Return the attempts of an earlier process of this node. Does not change this object."""
        found = [
            HeldAttempt(unquote(each.name), str(each))
            for each in (self._directory / "attempts").iterdir()
        ]
        for held in found:
            held.load()
        return found

    def hold_stored(self) -> Iterator[HeldAttempt]:
        """Add and yield each attempt of an earlier process of this node.

        Raise OSError if a directory cannot be read or watched.
        """
        for each in (self._directory / "attempts").iterdir():
            held = self.hold(unquote(each.name))
            held.load()
            yield held

    def hold(self, attempt_id: str) -> HeldAttempt:
        """Add an attempt, and create its directory if it does not exist.

        Raise OSError if the directory cannot be created or watched.
        """
        directory = f"{self._directory}/attempts/{quote(attempt_id, safe='')}"
        held = HeldAttempt(attempt_id, directory)
        if self._spares and not os.path.exists(directory):
            spare, held.watch = self._spares.pop()
            os.rename(spare, directory)
        else:
            Path(directory).mkdir(mode=0o700, exist_ok=True)
            held.watch = self._growth.add(directory)
        self[attempt_id] = self._by_watch[held.watch] = held
        return held

    def forget(self, attempt_id: str) -> None:
        """Remove an attempt with its files. Idempotent."""
        held = self.pop(attempt_id, None)
        if held is not None:
            held.has_ended = True
            self._by_watch.pop(held.watch, None)
            self._remove_files(held)
            if held.scratch:
                shutil.rmtree(held.scratch, ignore_errors=True)

    def _remove_files(self, held: HeldAttempt) -> None:
        """Remove an attempt's files. Its empty directory may be reused for another attempt."""
        spare = f"{self._directory}/spare/{held.watch}"
        try:
            if len(self._spares) >= _MOST_SPARES:
                raise OSError("there are enough spare directories")
            for each in os.listdir(held.directory):
                os.unlink(f"{held.directory}/{each}")
            os.rename(held.directory, spare)
        except OSError:
            self._growth.remove(held.watch)
            shutil.rmtree(held.directory, ignore_errors=True)
        else:
            self._spares.append((spare, held.watch))
