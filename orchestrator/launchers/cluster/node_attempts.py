"""The attempts on nodes: the server starts and stops them, and receives their output and ends."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Protocol

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.outcome.shortage_errors import is_full_disk
from orchestrator.core.ports.launcher import Launch
from orchestrator.core.ports.worktree_transfer import AttemptFiles
from orchestrator.launchers.cluster.connected_node import ConnectedNode
from orchestrator.launchers.cluster.connection.link import Link
from orchestrator.launchers.cluster.connection.messages import (
    ArchiveFigures,
    AttemptStarted,
    AttemptWaiting,
    ChangeAnswer,
    EndReport,
    EndStored,
    FilePositions,
    FilesNotReturned,
    HeartbeatsExpected,
    LateFile,
    NoResult,
    OutputPiece,
    OutputReceived,
    ResendFiles,
    SnapshotAnswer,
    SnapshotPiece,
    SnapshotReceived,
    StopAttempt,
)
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.file_transfer import server_files
from orchestrator.launchers.cluster.file_transfer.archive import (
    MOST_BYTES,
    UnusableFiles,
    as_full_disk,
)
from orchestrator.launchers.cluster.file_transfer.server_files import ServerFiles
from orchestrator.launchers.cluster.lost_nodes import (
    ExpectedLateResults,
    LostAttempt,
    lost_attempts,
)
from orchestrator.launchers.cluster.node_attempt import (
    NodeAttempt,
    append_piece,
    create_log,
    lost_end,
    output_paths,
    return_failure,
    send_failure,
    size_of,
    start_message,
    store_end,
)
from orchestrator.launchers.cluster.node_table import NodeTable
from orchestrator.launchers.cluster.worktree_exchange import WorktreeExchange
from orchestrator.launchers.exit_record import exit_record

logger = logging.getLogger(__name__)

#: Maximum number of characters of a reason that a node sends.
_MOST_REASON = 500
#: Values of ``Exit.ended_by`` for attempts that may have no files, because no worker ran.
_WITHOUT_FILES = (EndedBy.LOST, EndedBy.CANCEL, EndedBy.SPAWN_FAILED)
#: Seconds between two tries to store files on a full disk, and seconds between two checks whether
#: the attempt was stopped during this time.
_FULL_DISK_SECONDS, _CHECK_SECONDS = 5.0, 0.25


class AttemptEvents(Protocol):
    """Receives the events of attempts on nodes, in the event loop's thread."""

    def started(self, attempt_id: str, pid: int) -> None: ...

    def ended(self, attempt_id: str, exit: Exit) -> None: ...


class NodeAttempts:
    """The attempts on all nodes. Only the event loop's thread may call."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        terms: NodeLeaseTerms,
        nodes: NodeTable,
        late: ExpectedLateResults,
        transfer: ServerFiles,
        events: AttemptEvents,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """``spawn`` starts a task in the background."""
        self._loop, self._terms, self._nodes = loop, terms, nodes
        self._late, self._transfer, self._events = late, transfer, events
        self._spawn = spawn
        #: The node of each attempt.
        self._node_of: dict[str, ConnectedNode] = {}
        #: Copies of worktrees between the server and nodes with their own file systems.
        self.worktrees = WorktreeExchange(self._node_of)

    # Starts

    def start(self, launch: Launch) -> None:
        node = self._nodes[launch.node]
        attempt = NodeAttempt(
            launch.attempt_id,
            launch.exit_path,
            launch.proof.digest,
            output_paths(launch.log),
            bases={file: size_of(path) for file, path in output_paths(launch.log).items()},
        )
        node.attempts[launch.attempt_id] = attempt
        self._node_of[launch.attempt_id] = node
        self._late.replace(launch.log)
        # An attempt that already has an exit record or a tombstone must not start.
        settled = exit_record.read_exit(launch.exit_path, launch.proof.digest)
        if settled is not None:
            self._end_attempt(node, attempt, settled, "")
            return
        if node.link is None:
            why = f"node {node.name} lost its connection before the worker started"
            self._end_attempt(node, attempt, lost_end(ExitCause.LEASE_ENDED, why), "")
            return
        self._expect_heartbeats(node)
        if not node.has_own_files:
            node.link.post(start_message(launch, attempt))
        elif launch.files is None:
            why = f"node {node.name} does not share the server's files"
            self._end_attempt(node, attempt, Exit(ended_by=EndedBy.SPAWN_FAILED, error=why), "")
        else:
            attempt.set_own_files(launch.files, self._transfer)
            attempt.is_sending = True
            self._spawn(self._start_with_files(node, node.link, attempt, launch))

    def _expect_heartbeats(self, node: ConnectedNode) -> None:
        # An idle node sends few heartbeats, and a broken connection would be noticed late. Request
        # more heartbeats.
        if node.is_idle and node.link is not None:
            node.is_idle = False
            node.silent_at = self._loop.time() + self._terms.notice
            node.link.post(HeartbeatsExpected())

    async def _start_with_files(
        self, node: ConnectedNode, link: Link, attempt: NodeAttempt, launch: Launch
    ) -> None:
        """Send an attempt's files, and then the message that starts the attempt.

        If the connection breaks first, the node reports on its next connection that the attempt
        never started.
        """
        assert launch.files is not None

        def is_wanted() -> bool:
            return node.attempts.get(attempt.attempt_id) is attempt

        worktree = launch.files.worktree
        while worktree and worktree.commit not in node.known_commits:
            if not node.transferring:
                node.transferring = attempt.attempt_id
                break
            # Wait for the other attempt, whose files may contain the same commits.
            node.transfer_ended.clear()
            await node.transfer_ended.wait()
            if node.link is not link or not is_wanted():
                return
        try:
            done = await self._transfer.send(
                link,
                node.window,
                attempt.attempt_id,
                launch.files,
                attempt.exit_path,
                node.known_commits,
                is_wanted,
            )
        except ConnectionError:
            return
        except (OSError, OrchestratorError) as error:
            link.post(EndStored(attempt.attempt_id))
            if is_wanted():
                self._end_attempt(node, attempt, send_failure(node.name, error), "")
            return
        if done is None or node.link is not link or not is_wanted():
            link.post(EndStored(attempt.attempt_id))
            return
        sent, attempt.commits_at_start = done[0], tuple(done[1])
        attempt.is_sending = False
        link.post(start_message(launch, attempt, sent))
        self._post_late_files(node, attempt)

    def expect(self, attempt_id: str, exit_path: str, digest: str, name: str, log: str) -> None:
        """Accept the end of an attempt that an earlier server started on the node ``name``."""
        node = self._nodes[name]
        attempt = NodeAttempt(attempt_id, exit_path, digest, output_paths(log), bases=None)
        files = server_files.stored_files(exit_path)
        if files is not None:
            attempt.set_own_files(files, self._transfer)
        node.attempts[attempt_id] = attempt
        self._node_of[attempt_id] = node

    def expect_late(
        self, attempt_id: str, exit_path: str, digest: str, name: str, log: str, is_replaced: bool
    ) -> None:
        """Accept the late result of an attempt that an earlier server counted as lost.

        ``name``: the node. ``is_replaced``: True if a newer attempt of the worker has started.
        """
        paths = output_paths(log)
        late = LostAttempt(attempt_id, exit_path, digest, paths, is_replaced=is_replaced)
        self._late.add(name, late)

    def copy_to_node(self, worker: str, path: str, content: bytes) -> None:
        """Send a file to the node of a running worker, now and after each new connection.

        Does nothing if the node shares the server's files.
        """
        attempt = self.worktrees.of_worker(worker)
        if attempt is None or attempt.files is None:
            return
        attempt.late_files[path] = LateFile(attempt.attempt_id, path, content)
        self._post_late_files(self._node_of[attempt.attempt_id], attempt)

    def _post_late_files(self, node: ConnectedNode, attempt: NodeAttempt) -> None:
        if node.link is not None and not attempt.is_sending:
            for message in attempt.late_files.values():
                node.link.post(message)

    def replace(self, log: str) -> None:
        self._late.replace(log)

    def stop(self, attempt_id: str, ended_by: str, stopped_by: str, cause: ExitCause) -> None:
        node = self._node_of.get(attempt_id)
        if node is None:
            return
        attempt = node.attempts[attempt_id]
        if attempt.stop is None:
            attempt.stop = ended_by, stopped_by, cause
            if attempt.is_sending:
                # The node has not started the attempt yet, so end the attempt here.
                exit = Exit(ended_by=EndedBy(ended_by), stopped_by=stopped_by, cause=cause)
                self._end_attempt(node, attempt, exit, "")
            else:
                self._post_stop(node, attempt)

    def stop_all(self, ended_by: str, stopped_by: str, cause: ExitCause) -> None:
        for attempt_id in list(self._node_of):
            self.stop(attempt_id, ended_by, stopped_by, cause)

    def waiting(self, attempt_id: str, waiting: bool) -> None:
        node = self._node_of.get(attempt_id)
        if node is not None:
            attempt = node.attempts[attempt_id]
            attempt.is_waiting = waiting
            self._post_waiting(node, attempt)

    def _post_stop(self, node: ConnectedNode, attempt: NodeAttempt) -> None:
        if node.link is not None and attempt.stop is not None:
            ended_by, stopped_by, cause = attempt.stop
            stop = StopAttempt(attempt.attempt_id, EndedBy(ended_by), stopped_by, cause)
            node.link.post(stop)

    def _post_waiting(self, node: ConnectedNode, attempt: NodeAttempt) -> None:
        if node.link is not None:
            node.link.post(AttemptWaiting(attempt.attempt_id, attempt.is_waiting))

    # Connections of nodes

    def welcome_positions(
        self, node: ConnectedNode, known: Mapping[str, FilePositions]
    ) -> tuple[Mapping[str, FilePositions], Mapping[str, FilePositions]]:
        """Return how many bytes of output the server has, by attempt and file.

        The first mapping has the attempts that the server expects. The second mapping has lost
        attempts whose results the server still accepts. ``known``: the attempts that the node
        knows.
        """
        for attempt in node.attempts.values():
            bases = known.get(attempt.attempt_id)
            if attempt.bases is None and bases is not None:
                attempt.bases = {file: bases.get(file, 0) for file in attempt.paths}
                for file, path in attempt.paths.items():
                    attempt.received[file] = max(0, size_of(path) - attempt.bases[file])
        files = {each.attempt_id: each.received for each in node.attempts.values()}
        self._late.disconnected(node.name)
        if node.has_own_files:
            # The files of a lost attempt are incomplete on the server, so its result is rejected.
            self._late.forget(node.name)
        late = self._late.connected(node.name, known)
        node.is_catching_up = bool(late)
        return files, late

    def connected(self, node: ConnectedNode) -> None:
        """Repeat the messages about running attempts: the former connection may have lost them."""
        for attempt in list(node.attempts.values()):
            self._post_stop(node, attempt)
            self._post_late_files(node, attempt)
            if attempt.is_waiting:
                self._post_waiting(node, attempt)

    def disconnected(self, node: ConnectedNode) -> None:
        for attempt in node.attempts.values():
            if attempt.worktree is not None:
                attempt.worktree.disconnected()
        self._late.disconnected(node.name)

    # Output, commits, and ends

    def handle_start(self, node: ConnectedNode, message: AttemptStarted) -> None:
        attempt = node.attempts.get(message.attempt)
        if attempt is not None:
            node.end_transfer(attempt.attempt_id, attempt.commits_at_start)
            self._events.started(attempt.attempt_id, message.pid)

    def handle_output(self, node: ConnectedNode, link: Link, piece: OutputPiece) -> None:
        attempt = node.attempts.get(piece.attempt)
        if attempt is not None and piece.file in attempt.paths:
            append_piece(attempt, piece.file, piece.at, piece.data)
        else:
            self._late.append(node.name, piece.attempt, piece.file, piece.at, piece.data)
        link.post(OutputReceived(len(piece.data)))

    def handle_commits(
        self,
        node: ConnectedNode,
        link: Link,
        message: SnapshotPiece | SnapshotAnswer | ChangeAnswer,
    ) -> None:
        attempt = node.attempts.get(message.attempt)
        if attempt is not None and attempt.worktree is not None:
            attempt.worktree.handle(message)
        if isinstance(message, SnapshotPiece):
            link.post(SnapshotReceived(len(message.data)))

    def handle_end(self, node: ConnectedNode, link: Link, report: EndReport) -> None:
        attempt = node.attempts.get(report.attempt)
        if attempt is not None and attempt.files is not None:
            attempt.is_ending = True
            self._spawn(self._receive_files(node, attempt, report))
            return
        if attempt is not None:
            self._end_attempt(node, attempt, report.exit, report.record)
        else:
            self._late_end(node, report.attempt, report.record)
        link.post(EndStored(report.attempt))

    async def _receive_files(
        self, node: ConnectedNode, attempt: NodeAttempt, report: EndReport
    ) -> None:
        if attempt.is_storing_files or attempt.files is None:
            return
        attempt.is_storing_files = True
        exit, record = report.exit, report.record
        try:
            if report.files is not None or exit.ended_by not in _WITHOUT_FILES:
                async with attempt.files_lock:
                    await self._put_files(attempt, attempt.files, report.files)
        except (OSError, LookupError, TypeError, ValueError, OrchestratorError) as error:
            directory = os.path.dirname(attempt.exit_path)
            if attempt.stop is None and is_full_disk(as_full_disk(error, directory)):
                self._spawn(self._request_files_later(node, attempt))
                return
            logger.warning(
                "the files of a worker of node %s were lost: %s", node.name, error,
                extra={"action": "node_files", "node": node.name, "attempt": attempt.attempt_id},
            )  # fmt: skip
            exit, record = return_failure(node.name, exit, error), ""
        self._end_attempt(node, attempt, exit, record)
        if node.link is not None:
            node.link.post(EndStored(attempt.attempt_id))

    async def _request_files_later(self, node: ConnectedNode, attempt: NodeAttempt) -> None:
        """Let the node send an attempt's files again after a pause, because the disk was full.

        If the attempt is stopped during the pause, the pause ends at once.
        """
        logger.warning(
            "the server's disk is full: cannot store the files of a worker of node %s; retrying",
            node.name,
            extra={"action": "node_files", "node": node.name, "attempt": attempt.attempt_id},
        )  # fmt: skip
        server_files.discard_archive(attempt.exit_path)
        attempt.received["files"], attempt.files_error = 0, None
        waits_until = self._loop.time() + _FULL_DISK_SECONDS
        while attempt.stop is None and self._loop.time() < waits_until:
            await asyncio.sleep(_CHECK_SECONDS)
        attempt.is_storing_files = False
        if node.link is not None:
            node.link.post(ResendFiles(attempt.attempt_id))

    async def _put_files(
        self,
        attempt: NodeAttempt,
        files: AttemptFiles,
        sent: ArchiveFigures | FilesNotReturned | None,
    ) -> None:
        if sent is None:
            raise UnusableFiles("the node did not send the files of the attempt")
        if isinstance(sent, FilesNotReturned):
            raise UnusableFiles(sent.error[:_MOST_REASON])
        if attempt.files_error:
            why = attempt.files_error.strerror or str(attempt.files_error)
            raise UnusableFiles(
                f"the server cannot store the files of the attempt: {why}"
            ) from attempt.files_error
        if attempt.received["files"] > MOST_BYTES:
            raise UnusableFiles(
                f"the worker's files have more than {MOST_BYTES} bytes; change the "
                "task so that it deletes files that are not needed"
            )
        await asyncio.to_thread(self._transfer.store_returned, files, attempt.exit_path, sent)

    def _end_attempt(
        self, node: ConnectedNode, attempt: NodeAttempt, exit: Exit, record: str
    ) -> None:
        del node.attempts[attempt.attempt_id], self._node_of[attempt.attempt_id]
        node.end_transfer(attempt.attempt_id)
        if exit.ended_by is not EndedBy.LOST and not (
            attempt.received["log"] or attempt.received["raw"]
        ):
            create_log(attempt)
        if attempt.log_is_lost:
            exit = replace(exit, log_lost=True)
        stored = store_end(attempt, exit, record)
        if attempt.files is not None:
            server_files.remove_transfer_files(attempt.exit_path)
        self._events.ended(attempt.attempt_id, stored)

    def handle_no_result(self, node: ConnectedNode, message: NoResult) -> None:
        self._late_end(node, message.attempt, "")

    def _late_end(self, node: ConnectedNode, attempt_id: str, record: str) -> None:
        if self._late.ended(node.name, attempt_id, record):
            node.is_catching_up = self._late.is_arriving(node.name)
            self._nodes.update_machine(node)

    def end_lost(self, node: ConnectedNode) -> None:
        """End the attempts of a lost node."""
        for attempt, exit in lost_attempts(node, self._late):
            self._end_attempt(node, attempt, exit, "")
