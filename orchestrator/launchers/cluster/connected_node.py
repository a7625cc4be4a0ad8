"""A node of the cluster and the node's attempts, as the server sees them."""

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.machines import Machine
from orchestrator.core.ports.launcher import Launch
from orchestrator.core.ports.read_models import NodeState, UnusableAgent
from orchestrator.core.ports.worktree_transfer import AttemptFiles
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import plural
from orchestrator.launchers.cluster.connection.link import Link, Window
from orchestrator.launchers.cluster.connection.messages import (
    ArchiveFigures,
    LateFile,
    StartAttempt,
)
from orchestrator.launchers.cluster.connection.node_registry import NodeEntry
from orchestrator.launchers.cluster.file_transfer import server_files
from orchestrator.launchers.cluster.file_transfer.archive import MOST_BYTES
from orchestrator.launchers.cluster.file_transfer.running_worktree import RunningWorktree
from orchestrator.launchers.cluster.file_transfer.server_files import ServerFiles
from orchestrator.launchers.exit_record import exit_record
from orchestrator.launchers.exit_record.attempt_lock import AttemptLock, LockRefused
from orchestrator.launchers.process.worker_process import never_started

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
    brings: tuple[str, ...] = ()
    #: The first error while the returned files were stored; None: no error.
    files_error: OSError | None = None
    #: The attempt's worktree, on a node with its own file system.
    worktree: RunningWorktree | None = None
    #: Messages with files that the server wrote after the attempt's start, by path of the file.
    late_files: dict[str, LateFile] = field(default_factory=dict)
    #: A lock that is held while the worktree is copied, so that the attempt cannot end.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: True after the node has reported the attempt's end, or after the node was lost.
    is_ending: bool = False

    def set_own_files(self, files: AttemptFiles, exchange: ServerFiles) -> None:
        """Record the files that the node will return after the attempt.

        Call this only if the node has its own file system.
        """
        self.files = files
        if files.worktree is not None:
            self.worktree = RunningWorktree(
                exchange, self.attempt_id, self.exit_path, files.worktree
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
        ended_by, cause, why = never_started(error)
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
            found = exit_record.tombstone(
                attempt.exit_path, exit.error, exit.strays, exit.cause, attempt.digest
            )
            return found or exit
        if _is_proof(record, attempt.digest):
            lock = AttemptLock.acquire(attempt.exit_path)
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


#: Maximum number of a node's commits that the server remembers.
MOST_KNOWN = 64


@dataclass(slots=True)
class ConnectedNode:
    name: str
    slots: int = 0
    attempts: dict[str, NodeAttempt] = field(default_factory=dict)
    link: Link | None = None
    #: Agents that can work on the node; None until the node has reported them.
    agents: frozenset[str] | None = None
    #: The server's addresses that the node has stored; empty: unknown.
    addresses: tuple[str, ...] = ()
    unusable: tuple[UnusableAgent, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)
    logins: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    is_drained: bool = False
    is_leaving: bool = False
    #: True while the node sends late results: results of attempts that the server counted as lost.
    #: During this time, no worker starts on the node, because a late result may be the worker's.
    is_catching_up: bool = False
    #: Loop time by which all workers of the node have ended, if the node stays disconnected.
    fenced_at: float = 0.0
    heard_at: float | None = None
    #: Loop time at which the connection is closed if no message arrives.
    silent_at: float = 0.0
    #: True if the node sends few heartbeats, because it has no workers.
    is_idle: bool = False
    #: True if the node does not share the server's file system.
    has_own_files: bool = False
    #: Commits of the project that the node has.
    known_commits: tuple[str, ...] = ()
    #: The attempt whose files are being sent to the node, with commits that the node lacks; empty:
    #: none.
    bringing: str = ""
    #: Set when the transfer of the attempt ``bringing`` has ended.
    brought: asyncio.Event = field(default_factory=asyncio.Event)
    #: Limits the unconfirmed bytes on the current connection.
    window: Window = field(default_factory=Window)
    address: str = ""
    version: str = ""
    #: Seconds by which the node's clock is ahead of the server's clock.
    skew: float = 0.0
    #: Why the server rejected the node, or why the node cannot run workers; empty: no problem.
    trouble: str = ""
    #: Latest value of ``NodeEntry.forgotten`` that the server has read.
    forgotten: int = 0

    @property
    def takes_workers(self) -> bool:
        connected = self.link is not None and self.agents is not None
        stops = self.is_drained or self.is_leaving or self.is_catching_up
        return connected and not stops

    @property
    def running(self) -> int:
        return sum(not each.is_waiting for each in self.attempts.values())

    def end_bringing(self, attempt_id: str, commits: Sequence[str] = ()) -> None:
        """Record that the server sends no more files of an attempt to the node. Idempotent.

        ``commits``: commits that the node now has.
        """
        self.known_commits = tuple(dict.fromkeys((*self.known_commits, *commits)))[-MOST_KNOWN:]
        if self.bringing == attempt_id:
            self.bringing = ""
            self.brought.set()


def machine_of(node: ConnectedNode, entry: NodeEntry, least_memory: int) -> Machine:
    """Return the node as a machine for placement.

    ``least_memory``: bytes of the node's memory that must stay unused.
    """
    usable = None if node.memory_bytes is None else node.memory_bytes - least_memory
    return Machine(
        name=node.name,
        slots=node.slots,
        agents=_agents_of(node, entry),
        lacks=node.lacks,
        logins=node.logins,
        memory_bytes=usable,
        takes_workers=node.takes_workers,
        labels=entry.labels,
        shares_files=not node.has_own_files,
    )


def state_of(
    node: ConnectedNode, entry: NodeEntry | None, now: float, fenced_after: float
) -> NodeState:
    """Return the state of a node, for display. ``entry``: None if the node was removed.

    ``fenced_after``: seconds after which all workers of the node have ended, if the node gets no
    more answers from the server.
    """
    seen = None if node.heard_at is None else now - node.heard_at
    state = "up"
    if node.link is None:
        state = "unknown" if seen is None else "unreachable"
        state = "rejected" if node.trouble else state
    elif node.is_drained or node.is_leaving:
        state = "drained"
    return NodeState(
        name=node.name,
        state=state,
        drained=entry is not None and entry.is_drained,
        slots=node.slots,
        running=node.running,
        waiting=len(node.attempts) - node.running,
        agents=tuple(sorted(_agents_of(node, entry))),
        unusable=node.unusable,
        labels={} if entry is None else entry.labels,
        memory_bytes=node.memory_bytes,
        disk_bytes=node.disk_bytes,
        own_files=None if seen is None else node.has_own_files,
        address=node.address,
        version=node.version,
        seen_seconds=seen,
        clock_skew_seconds=node.skew,
        notice=_notice(node, entry, now, fenced_after),
    )


def _notice(node: ConnectedNode, entry: NodeEntry | None, now: float, fenced_after: float) -> str:
    if node.link is None and node.attempts:
        seconds = max(0.0, node.fenced_at - now)
        is_one = len(node.attempts) == 1
        workers = plural(len(node.attempts), "worker")
        if seconds > fenced_after:
            return (
                f"{workers} may still run, because the node does not know this server's "
                f"address; if the machine is switched off: {COMMAND} nodes forget {node.name}"
            )
        starts = "starts again on another machine" if is_one else "start again on other machines"
        return f"{workers} {starts} in {seconds:.0f} s"
    if not node.trouble and entry is not None and entry.is_released:
        return "the node's Dask worker has ended, or is no longer needed"
    return node.trouble


def _agents_of(node: ConnectedNode, entry: NodeEntry | None) -> frozenset[str]:
    # Before the node's first report to this server, use its latest report to an earlier server.
    if node.agents is not None:
        return node.agents
    return frozenset(entry.agents) if entry else frozenset()
