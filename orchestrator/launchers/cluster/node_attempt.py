"""An attempt on a node, as the server sees it: its start, its log, and its end."""

import asyncio
import logging
import os
import time
from contextlib import suppress
from dataclasses import field, replace

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.ports.launcher import Launch
from orchestrator.core.ports.worktree_transfer import AttemptFiles
from orchestrator.launchers.cluster.connection.messages import (
    ArchiveFigures,
    LateFile,
    StartAttempt,
)
from orchestrator.launchers.cluster.file_transfer import server_files
from orchestrator.launchers.cluster.file_transfer.archive import MOST_BYTES
from orchestrator.launchers.cluster.file_transfer.running_worktree import RunningWorktree
from orchestrator.launchers.cluster.file_transfer.server_files import ServerFiles
from orchestrator.launchers.exit_record import exit_record
from orchestrator.launchers.exit_record.run_file import LockRefused, RunFile
from orchestrator.launchers.process.worker_process import start_failure

logger = logging.getLogger(__name__)

_LOG_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class NodeAttempt:
    attempt_id: str
    exit_path: str
    digest: str
    #: Path on the server of each output file (``log``, ``raw``).
    paths: dict[str, str]
    #: Size of each output file when the attempt started; None: unknown.
    bases: dict[str, int] | None
    #: Bytes of each output file that the server has received.
    received: dict[str, int] = field(default_factory=lambda: {"log": 0, "raw": 0})
    is_waiting: bool = False
    stop: tuple[str, str, ExitCause] | None = None
    #: True if some of the worker's output could not be stored.
    log_is_lost: bool = False
    #: The attempt's files, on a node with its own file system.
    files: AttemptFiles | None = None
    #: True until the node has all files of the attempt.
    is_sending: bool = False
    #: True while the server moves the returned files to their directories.
    is_storing_files: bool = False
    #: Commits that the node has when the attempt starts.
    commits_at_start: tuple[str, ...] = ()
    #: The first error while the returned files were stored; None: no error.
    files_error: OSError | None = None
    #: The attempt's worktree, on a node with its own file system.
    worktree: RunningWorktree | None = None
    #: Messages to the node, by path: each has one file that the server wrote after the attempt's
    #: start. They are sent again after each new connection.
    late_files: dict[str, LateFile] = field(default_factory=dict)
    #: Held while files of the attempt are copied or stored, so that the attempt cannot end.
    files_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: True after the node has reported the attempt's end, or after the node was lost.
    is_ending: bool = False

    def set_own_files(self, files: AttemptFiles, transfer: ServerFiles) -> None:
        """Record the files that the node will return after the attempt.

        Call this only if the node has its own file system.
        """
        self.files = files
        if files.worktree is not None:
            self.worktree = RunningWorktree(
                transfer, self.attempt_id, self.exit_path, files.worktree
            )
        self.paths["files"] = server_files.archive_path(self.exit_path)
        self.received["files"] = 0
        if self.bases is not None:
            self.bases["files"] = 0


def start_message(
    launch: Launch, attempt: NodeAttempt, sent: ArchiveFigures | None = None
) -> StartAttempt:
    """Return the message that starts an attempt.

    ``sent``: the archive with the attempt's files; None if the node shares the server's files.
    """
    files = None if sent is None else launch.files
    return StartAttempt(replace(launch, node="", files=None), attempt.bases or {}, files, sent)


def send_failure(name: str, error: Exception) -> Exit:
    """Return the end of an attempt whose files could not be sent to the node ``name``."""
    if isinstance(error, OSError):
        ended_by, cause, why = start_failure(error)
        return Exit(ended_by=EndedBy(ended_by), cause=cause, error=why)
    why = f"cannot send the worker's files to node {name}: {error}"
    return Exit(ended_by=EndedBy.SPAWN_FAILED, error=why)


def return_failure(name: str, exit: Exit, error: Exception) -> Exit:
    """Return the end of an attempt whose files did not arrive from the node ``name``."""
    why = f"the files of the worker on node {name} were lost: {error}"
    if exit.ended_by is EndedBy.LOST and exit.error:
        why = f"{exit.error}; {why}"
    return replace(exit, ended_by=EndedBy.LOST, code=None, error=why)


def output_paths(log: str) -> dict[str, str]:
    directory, name = os.path.split(log)
    return {"log": log, "raw": os.path.join(directory, "raw", name)}


def size_of(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def create_log(attempt: NodeAttempt) -> None:
    # A shim on the server's machine also creates an empty log.
    try:
        os.close(os.open(attempt.paths["log"], _LOG_FLAGS, 0o600))
    except OSError:
        attempt.log_is_lost = True


def append_to(path: str, data: bytes) -> None:
    """Append to a file; create it if necessary. Never follows a link. Raise OSError on failure."""
    descriptor = os.open(path, _LOG_FLAGS, 0o600)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def append_output(file: str, path: str, data: bytes) -> None:
    """Append to an output file of an attempt: ``log`` or ``raw``. Raise OSError on failure."""
    if file == "raw":
        with suppress(FileExistsError):
            os.mkdir(os.path.dirname(path), 0o700)
    append_to(path, data)


def append_piece(attempt: NodeAttempt, file: str, at: int, data: bytes) -> None:
    """Append a piece of an attempt's file, without the bytes that the server already has.

    ``at``: the position of the piece in the file. A piece that begins after the end of the server's
    file is ignored.
    """
    received = attempt.received[file]
    if file == "files" and received > MOST_BYTES:
        return
    if at > received or at + len(data) <= received:
        return
    data = data[received - at :]
    attempt.received[file] += len(data)
    try:
        append_output(file, attempt.paths[file], data)
    except OSError as error:
        # The disk is full or broken. The worker continues, and its log is marked as incomplete.
        if file == "files":
            attempt.files_error = attempt.files_error or error
        else:
            attempt.log_is_lost = True


def store_end(attempt: NodeAttempt, exit: Exit, record: str) -> Exit:
    """Store an attempt's end on the server, unless the server has an exit record of the attempt.

    ``record``: the exit record that the node sent; empty if the node sent none. For a lost attempt
    without a genuine record, store a tombstone: an exit record that prevents another start.

    Return the end that the server's exit record describes after this call; ``exit`` if the server
    has no exit record.
    """
    try:
        if exit.ended_by is EndedBy.LOST and not _is_proof(record, attempt.digest):
            found = exit_record.mark_lost(
                attempt.exit_path, exit.error, exit.strays, exit.cause, attempt.digest
            )
            return found or exit
        if _is_proof(record, attempt.digest):
            lock = RunFile.acquire(attempt.exit_path)
            lock.publish(record.encode("ascii"), synced=False)
    except LockRefused:
        return exit_record.read_exit(attempt.exit_path, attempt.digest) or exit
    except OSError:
        logger.exception("cannot store an exit record", extra={"attempt": attempt.attempt_id})
    return exit


def _is_proof(record: str, digest: str) -> bool:
    return exit_record.is_proven(record.encode("ascii", "replace"), digest)


def lost_end(cause: ExitCause, why: str) -> Exit:
    return Exit(ended_by=EndedBy.LOST, cause=cause, error=why, ended_at=time.time())
