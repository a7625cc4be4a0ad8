"""The server's side of all nodes: connections (links), leases, and attempts."""

import asyncio
import logging
import os
import ssl
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from orchestrator import __version__
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.machines import Machine
from orchestrator.core.outcome.shortage_errors import is_full_disk
from orchestrator.core.ports.attempt_files import AttemptFiles
from orchestrator.core.ports.launcher import Launch
from orchestrator.core.ports.read_models import NodeState, UnusableAgent
from orchestrator.core.text.command_name import INSTALL_COMMAND
from orchestrator.launchers.cluster.connected_node import (
    MOST_KNOWN,
    ConnectedNode,
    NodeAttempt,
    append_piece,
    create_log,
    lost_end,
    machine_of,
    not_returned,
    not_sent,
    output_paths,
    size_of,
    start_message,
    state_of,
    store_end,
)
from orchestrator.launchers.cluster.connection.code_fingerprint import code_fingerprint
from orchestrator.launchers.cluster.connection.link import Link, Window
from orchestrator.launchers.cluster.connection.messages import (
    AddressesChanged,
    AddressesStored,
    AgentReport,
    AgentsFound,
    ArchiveFigures,
    AttemptStarted,
    AttemptWaiting,
    ChangeAnswer,
    EndReport,
    EndStored,
    Fields,
    FilePositions,
    FilesNotReturned,
    FilesReceived,
    Heartbeat,
    HeartbeatAnswer,
    HeartbeatsExpected,
    Hello,
    InvalidMessage,
    LateFile,
    NodeLeaving,
    NodeMessage,
    NodeUnfit,
    NoResult,
    OutputPiece,
    OutputReceived,
    Rejection,
    Release,
    ResendFiles,
    SnapshotAnswer,
    SnapshotPiece,
    SnapshotReceived,
    StopAttempt,
    TunnelData,
    Welcome,
    decode_from_node,
    decode_hello,
    decode_release,
)
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.node_registry import NodeEntry, NodeRegistry
from orchestrator.launchers.cluster.connection.tunnel import Target, Tunnel
from orchestrator.launchers.cluster.file_transfer import server_files
from orchestrator.launchers.cluster.file_transfer.archive import (
    MOST_BYTES,
    UnusableFiles,
    as_full_disk,
)
from orchestrator.launchers.cluster.file_transfer.server_files import ServerFiles
from orchestrator.launchers.cluster.lost_nodes import (
    GivenUpAttempt,
    LateEnds,
    is_lost,
    longest_lease,
    lost_attempts,
)
from orchestrator.launchers.cluster.worktree_exchange import WorktreeExchange
from orchestrator.launchers.exit_record import exit_record

logger = logging.getLogger(__name__)
_HELLO_SECONDS = 5.0
#: Connections that may wait to be accepted.
_BACKLOG = 1024
_HANDSHAKE_SECONDS = 5.0
#: Seconds between two checks of leases, connections, and the registry.
_TICK_SECONDS = 0.25
#: Maximum number of characters of a reason that a node sends.
_MOST_REASON = 500
#: Ways in which an attempt may end without files, because no worker ran.
_WITHOUT_FILES = (EndedBy.LOST, EndedBy.CANCEL, EndedBy.SPAWN_FAILED)
#: Seconds between two tries to store files on a full disk.
_FULL_DISK_SECONDS = 5.0
#: Seconds by which the clocks of server and node may differ before a warning is logged.
_MOST_SKEW_SECONDS = 1.0
#: Maximum characters of a text, and maximum number of steps, that a node reports about an agent.
_MOST_TEXT, _MOST_STEPS = 500, 5


class LinkReports(Protocol):
    """Receives the events of nodes, in the loop's thread."""

    def started(self, attempt_id: str, pid: int) -> None: ...

    def ended(self, attempt_id: str, exit: Exit) -> None: ...

    def machines_changed(self) -> None: ...


class NodeLinks:
    """The links to all nodes, with the nodes' leases and attempts.

    Only the loop's thread may call, but any thread may read ``machines`` and call ``states``.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        terms: NodeLeaseTerms,
        registry: NodeRegistry,
        context: ssl.SSLContext,
        api: Target,
        least_memory_bytes: int,
        reports: LinkReports,
        exchange: ServerFiles,
    ) -> None:
        self._loop, self._code = loop, code_fingerprint()
        self._terms, self._registry, self._context = terms, registry, context
        self._api, self._reports = api, reports
        self._least_memory = least_memory_bytes
        self._exchange = exchange
        self._nodes: dict[str, ConnectedNode] = {}
        #: The node of each attempt.
        self._where: dict[str, ConnectedNode] = {}
        #: Copies of worktrees between the server and nodes with their own file systems.
        self.worktrees = WorktreeExchange(self._where)
        self._late = LateEnds()
        #: Why each node was rejected most recently, until it is accepted.
        self._rejected: dict[str, str] = {}
        #: Nodes with reported agents that are not yet written to the list of nodes.
        self._unsaved: set[str] = set()
        self._stamp: tuple[int, int] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        #: The machines of the nodes, as placement sees them.
        self._machines: dict[str, Machine] = {}
        self._entries: Mapping[str, NodeEntry] = {}
        #: The addresses at which nodes may reach a server.
        self._addresses: Sequence[str] = ()

    @property
    def machines(self) -> Sequence[Machine]:
        return tuple(self._machines.copy().values())

    @property
    def expects_late_ends(self) -> bool:
        return not self._late.is_empty

    async def serve(self, listening: Any, welcome: Welcome) -> None:
        """Accept nodes. Call this only when all attempts that may still run on nodes are known.

        ``listening``: a bound socket, which has refused connections so far. Each node must connect
        before its lease ends. Otherwise, the node's attempts from an earlier server count as lost.
        """
        self._welcome = welcome
        self.read_registry()
        for node in self._nodes.values():
            entry = self._entries.get(node.name)
            remaining = longest_lease(self._terms, entry, self._addresses)
            node.fenced_at = self._loop.time() + remaining
        self._server = await self._loop.create_server(
            lambda: Link(self._accept),
            sock=listening,
            ssl=self._context,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            # After a restart of the server, all nodes connect at the same time.
            backlog=_BACKLOG,
        )
        self._ticking = asyncio.ensure_future(self._check_regularly())

    async def close(self) -> None:
        """Close all links. Attempts continue."""
        if self._server is not None:
            self._server.close()
        for node in self._nodes.values():
            if node.link is not None:
                node.link.abort()
        tasks = [*self._tasks, *filter(None, [self._ticking])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Attempts

    def start(self, launch: Launch) -> None:
        node = self._node(launch.node)
        attempt = NodeAttempt(
            launch.attempt_id,
            launch.exit_path,
            launch.proof.digest,
            output_paths(launch.log),
            bases={file: size_of(path) for file, path in output_paths(launch.log).items()},
        )
        node.attempts[launch.attempt_id] = attempt
        self._where[launch.attempt_id] = node
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
        self._expect_beats(node)
        if not node.has_own_files:
            node.link.post(start_message(launch, attempt))
        elif launch.files is None:
            why = f"node {node.name} does not share the server's files"
            self._end_attempt(node, attempt, Exit(ended_by=EndedBy.SPAWN_FAILED, error=why), "")
        else:
            attempt.set_own_files(launch.files, self._exchange)
            attempt.is_sending = True
            self._spawn(self._start_with_files(node, node.link, attempt, launch))

    def _expect_beats(self, node: ConnectedNode) -> None:
        # An idle node sends few heartbeats, and a broken connection would be noticed late. Request
        # more heartbeats.
        if node.is_idle and node.link is not None:
            node.is_idle = False
            node.silent_at = self._loop.time() + self._terms.notice
            node.link.post(HeartbeatsExpected())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error(
                "unexpected error in the communication with a node", exc_info=task.exception()
            )

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
        while worktree and worktree.commit not in node.known:
            if not node.bringing:
                node.bringing = attempt.attempt_id
                break
            # Wait for the other attempt, whose files may bring the same commits to the node.
            node.brought.clear()
            await node.brought.wait()
            if node.link is not link or not is_wanted():
                return
        try:
            done = await self._exchange.send(
                link, node.window, attempt.attempt_id, launch.files, attempt.exit_path, node.known,
                is_wanted,
            )  # fmt: skip
        except ConnectionError:
            return
        except (OSError, OrchestratorError) as error:
            link.post(EndStored(attempt.attempt_id))
            if is_wanted():
                self._end_attempt(node, attempt, not_sent(node.name, error), "")
            return
        if done is None or node.link is not link or not is_wanted():
            link.post(EndStored(attempt.attempt_id))
            return
        sent, attempt.brings = done[0], tuple(done[1])
        attempt.is_sending = False
        link.post(start_message(launch, attempt, sent))
        self._post_late_files(node, attempt)

    def expect(self, attempt_id: str, exit_path: str, digest: str, name: str, log: str) -> None:
        """Accept the end of an attempt that an earlier server started on the node ``name``."""
        node = self._node(name)
        attempt = NodeAttempt(attempt_id, exit_path, digest, output_paths(log), bases=None)
        files = server_files.stored_files(exit_path)
        if files is not None:
            attempt.set_own_files(files, self._exchange)
        node.attempts[attempt_id] = attempt
        self._where[attempt_id] = node

    def expect_late(
        self, attempt_id: str, exit_path: str, digest: str, name: str, log: str, is_replaced: bool
    ) -> None:
        """Accept the late result of an attempt that an earlier server counted as lost.

        ``name``: the node. ``is_replaced``: True if a newer attempt of the worker has started.
        """
        paths = output_paths(log)
        late = GivenUpAttempt(attempt_id, exit_path, digest, paths, is_replaced=is_replaced)
        self._late.give_up(name, late)

    def copy_to_node(self, worker: str, path: str, content: bytes) -> None:
        """Send a file to the node of a running worker, now and after each new connection.

        Does nothing if the node shares the server's files.
        """
        attempt = self.worktrees.of_worker(worker)
        if attempt is None or attempt.files is None:
            return
        attempt.late_files[path] = LateFile(attempt.attempt_id, path, content)
        self._post_late_files(self._where[attempt.attempt_id], attempt)

    def _post_late_files(self, node: ConnectedNode, attempt: NodeAttempt) -> None:
        if node.link is not None and not attempt.is_sending:
            for message in attempt.late_files.values():
                node.link.post(message)

    def replace(self, log: str) -> None:
        self._late.replace(log)

    def stop(self, attempt_id: str, ended_by: str, stopped_by: str, cause: ExitCause) -> None:
        node = self._where.get(attempt_id)
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
        for attempt_id in list(self._where):
            self.stop(attempt_id, ended_by, stopped_by, cause)

    def waiting(self, attempt_id: str, waiting: bool) -> None:
        node = self._where.get(attempt_id)
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

    # Links

    def _accept(self, link: Link) -> None:
        self._spawn(self._accepted(link))

    async def _accepted(self, link: Link) -> None:
        name, serial = link.peer()
        try:
            message = await asyncio.wait_for(link.receive(), _HELLO_SECONDS)
            hello = self._accepted_hello(name, serial, message)
            if isinstance(hello, Rejection):
                self._note_rejection(name, hello.why)
                link.post(hello)
                await link.drained()
                return
            await self._serve_node(link, self._node(name), hello)
        except (OSError, TimeoutError):
            pass
        except InvalidMessage as error:
            logger.warning(
                "node %s sent an invalid message: %s", name, error,
                extra={"action": "node_message", "node": name},
            )  # fmt: skip
        finally:
            # Send posted messages, such as a rejection, and then close the connection.
            link.close()

    def _accepted_hello(self, name: str, serial: str, message: Fields) -> Hello | Rejection:
        """Return a node's first message, or the rejection of the node. Raise InvalidMessage."""
        # A node of another release may have another ``hello``.
        why = self._why_outdated(name, decode_release(message))
        if why:
            return Rejection(why)
        hello = decode_hello(message)
        why = self._why_rejected(name, serial, hello)
        return Rejection(why) if why else hello

    def _why_outdated(self, name: str, release: Release) -> str:
        theirs, here = release.python, sys.version_info[:2]
        if release.version != __version__ or theirs != here:
            return (
                f"{name} has version {release.version} with Python {theirs[0]}.{theirs[1]}; the "
                f"server has version {__version__} with Python {here[0]}.{here[1]}; update {name}: "
                f"{INSTALL_COMMAND}"
            )
        if release.code != self._code:
            return (
                f"{name} runs other code than the server, although both have version "
                f"{__version__}; copy the server's folder to {name}, and start {name} again; if "
                f"{name} uses the server's folder, only start {name} again"
            )
        return ""

    def _why_rejected(self, name: str, serial: str, hello: Hello) -> str:
        if hello.uid != os.getuid() and not hello.own_files:
            return (
                f"{name} runs as user id {hello.uid}, the server as {os.getuid()}; both write "
                "to the same workspace; start the node as the server's user"
            )
        try:
            return self._registry.why_rejected(name, serial, hello.instance)
        except (OSError, OrchestratorError) as error:
            return f"cannot read the list of nodes: {error}"

    def _note_rejection(self, name: str, why: str) -> None:
        # Log each cause once, because a node with old attempts retries.
        if self._rejected.get(name) != why:
            self._rejected[name] = why
            logger.warning(
                "node rejected: %s", why, extra={"action": "node_rejected", "node": name}
            )
        if name not in self._nodes:
            # The user may have added the node after the last read of the list.
            self.read_registry()
        if name in self._nodes and self._nodes[name].link is None:
            self._nodes[name].trouble = why

    async def _serve_node(self, link: Link, node: ConnectedNode, hello: Hello) -> None:
        """Serve an accepted connection until it ends, or until the node opens a new connection."""
        window = self._connect(node, link, hello)
        tunnel = Tunnel(link, self._api)
        try:
            link.post(self._welcome_for(node, hello.attempts))
            for attempt in list(node.attempts.values()):
                self._post_stop(node, attempt)
                self._post_late_files(node, attempt)
                if attempt.is_waiting:
                    self._post_waiting(node, attempt)
            logger.info("node connected", extra={"action": "node_connected", "node": node.name})
            while node.link is link:
                message = decode_from_node(await link.receive())
                node.heard_at = self._loop.time()
                node.silent_at = max(node.silent_at, node.heard_at + self._terms.notice)
                if isinstance(message, TunnelData):
                    tunnel.take(message)
                elif message is not None:
                    self._handle(node, link, message)
        finally:
            tunnel.close()
            window.close()
            link.abort()
            if node.link is link:
                self._disconnected(node)

    def _connect(self, node: ConnectedNode, link: Link, hello: Hello) -> Window:
        """Record the node's new connection, and the facts in the node's first message ``hello``.

        Return the object that limits the unconfirmed bytes of this connection.
        """
        if node.link is not None:
            # The node has opened a new connection, and no longer reads the former one.
            node.link.abort()
        node.link, node.agents, node.trouble, node.is_leaving = link, None, "", False
        self._rejected.pop(node.name, None)
        entry = self._entries.get(node.name)
        node.slots = hello.slots if entry is None or entry.slots is None else entry.slots
        node.has_own_files = hello.own_files
        node.known = hello.known[:MOST_KNOWN]
        node.end_bringing(node.bringing)
        node.window = Window()
        node.address, node.version = link.address(), hello.version
        node.skew = hello.time - time.time()
        if abs(node.skew) > _MOST_SKEW_SECONDS:
            logger.warning(
                "the clock of node %s is %.1f s off the server's clock; synchronize both clocks",
                node.name,
                node.skew,
                extra={"action": "node_clock", "node": node.name},
            )
        node.heard_at = self._loop.time()
        node.is_idle, node.silent_at = False, node.heard_at + self._terms.notice
        self._grant(node)
        return node.window

    def _disconnected(self, node: ConnectedNode) -> None:
        for attempt in node.attempts.values():
            if attempt.worktree is not None:
                attempt.worktree.disconnected()
        node.link = None
        self._late.disconnected(node.name)
        logger.warning("node disconnected", extra={"action": "node_lost", "node": node.name})
        self._update_machine(node)

    def _welcome_for(self, node: ConnectedNode, known: Mapping[str, FilePositions]) -> Welcome:
        for attempt in node.attempts.values():
            bases = known.get(attempt.attempt_id)
            if attempt.bases is None and bases is not None:
                attempt.bases = {file: bases.get(file, 0) for file in attempt.paths}
                for file, path in attempt.paths.items():
                    attempt.had[file] = max(0, size_of(path) - attempt.bases[file])
        files = {each.attempt_id: each.had for each in node.attempts.values()}
        self._late.disconnected(node.name)
        # The files of a lost attempt are incomplete on the server, and do not count.
        if node.has_own_files:
            self._late.forget(node.name)
        late = self._late.connected(node.name, known)
        node.is_catching_up = bool(late)
        return replace(self._welcome, files=files, late=late, addresses=tuple(self._addresses))

    def _grant(self, node: ConnectedNode) -> None:
        """Record that the server's next answer to the node extends the node's lease.

        ``node.fenced_at`` becomes the latest time at which the node's workers can still run if no
        further answer follows. Call this before the server sends the answer. Otherwise, the node
        could already have a longer lease than the server has recorded.
        """
        node.fenced_at = self._loop.time() + self._terms.fenced_after

    def _handle(self, node: ConnectedNode, link: Link, message: NodeMessage) -> None:
        match message:
            case Heartbeat():
                self._take_heartbeat(node, link, message)
            case AgentsFound():
                self._take_agents(node, message.agents)
            case NodeUnfit():
                node.trouble = f"{node.name}: {message.why}"
                logger.warning(
                    "node rejected: %s", node.trouble,
                    extra={"action": "node_rejected", "node": node.name},
                )  # fmt: skip
            case NodeLeaving():
                node.is_leaving = True
                self._update_machine(node)
            case AttemptStarted():
                attempt = node.attempts.get(message.attempt)
                if attempt is not None:
                    node.end_bringing(attempt.attempt_id, attempt.brings)
                    self._reports.started(attempt.attempt_id, message.pid)
            case OutputPiece():
                self._take_output(node, link, message)
            case EndReport():
                self._take_end(node, link, message)
            case FilesReceived():
                node.window.confirm(message.bytes)
            case SnapshotPiece() | SnapshotAnswer() | ChangeAnswer():
                self._take_commits(node, link, message)
            case AddressesStored():
                if message.addresses == tuple(self._addresses):
                    node.addresses = message.addresses
                    self._unsaved.add(node.name)
            case NoResult():
                self._late_end(node, message.attempt, "")

    def _take_heartbeat(self, node: ConnectedNode, link: Link, message: Heartbeat) -> None:
        self._grant(node)
        node.is_idle = not node.attempts
        if node.is_idle:
            node.silent_at = self._loop.time() + self._terms.idle_beat + self._terms.notice
        link.post(HeartbeatAnswer(message.n, node.is_idle))
        node.memory_bytes, node.disk_bytes = message.memory, message.disk
        self._update_machine(node)

    def _take_output(self, node: ConnectedNode, link: Link, piece: OutputPiece) -> None:
        attempt = node.attempts.get(piece.attempt)
        if attempt is not None and piece.file in attempt.paths:
            append_piece(attempt, piece.file, piece.at, piece.data)
        else:
            self._late.append(node.name, piece.attempt, piece.file, piece.at, piece.data)
        link.post(OutputReceived(len(piece.data)))

    def _take_commits(
        self,
        node: ConnectedNode,
        link: Link,
        message: SnapshotPiece | SnapshotAnswer | ChangeAnswer,
    ) -> None:
        attempt = node.attempts.get(message.attempt)
        if attempt is not None and attempt.worktree is not None:
            attempt.worktree.take(message)
        if isinstance(message, SnapshotPiece):
            link.post(SnapshotReceived(len(message.data)))

    def _take_agents(self, node: ConnectedNode, reports: Sequence[AgentReport]) -> None:
        known = {each["name"] for each in self._welcome.agents}
        found = [each for each in reports if each.name in known]
        node.unusable = tuple(
            UnusableAgent(
                each.name,
                each.reason[:_MOST_TEXT],
                tuple(step[:_MOST_TEXT] for step in each.fix[:_MOST_STEPS]),
            )
            for each in found
            if each.reason
        )
        self._unsaved.add(node.name)
        node.logins = {each.name: each.login for each in found if each.login}
        node.lacks = {each.name: each.hindrance for each in node.unusable}
        node.agents = frozenset(each.name for each in found) - node.lacks.keys()
        self._update_machine(node)
        # Try to place waiting workers now, because one of them may need an agent of this node.
        self._reports.machines_changed()

    # Ends

    def _take_end(self, node: ConnectedNode, link: Link, report: EndReport) -> None:
        attempt = node.attempts.get(report.attempt)
        if attempt is not None and attempt.files is not None:
            attempt.is_ending = True
            self._spawn(self._take_files(node, attempt, report))
            return
        if attempt is not None:
            self._end_attempt(node, attempt, report.exit, report.record)
        else:
            self._late_end(node, report.attempt, report.record)
        link.post(EndStored(report.attempt))

    async def _take_files(
        self, node: ConnectedNode, attempt: NodeAttempt, report: EndReport
    ) -> None:
        if attempt.is_taking or attempt.files is None:
            return
        attempt.is_taking = True
        exit, record = report.exit, report.record
        try:
            if report.files is not None or exit.ended_by not in _WITHOUT_FILES:
                async with attempt.turn:
                    await self._put_files(attempt, attempt.files, report.files)
        except (OSError, LookupError, TypeError, ValueError, OrchestratorError) as error:
            directory = os.path.dirname(attempt.exit_path)
            if attempt.stop is None and is_full_disk(as_full_disk(error, directory)):
                self._spawn(self._take_files_later(node, attempt))
                return
            logger.warning(
                "the files of a worker of node %s were lost: %s", node.name, error,
                extra={"action": "node_files", "node": node.name, "attempt": attempt.attempt_id},
            )  # fmt: skip
            exit, record = not_returned(node.name, exit, error), ""
        self._end_attempt(node, attempt, exit, record)
        if node.link is not None:
            node.link.post(EndStored(attempt.attempt_id))

    async def _take_files_later(self, node: ConnectedNode, attempt: NodeAttempt) -> None:
        """Let the node send an attempt's files again after a pause, because the disk was full.

        If the attempt is stopped during the pause, the pause ends at once.
        """
        logger.warning(
            "the server's disk is full: cannot store the files of a worker of node %s; retrying",
            node.name,
            extra={"action": "node_files", "node": node.name, "attempt": attempt.attempt_id},
        )  # fmt: skip
        server_files.discard_archive(attempt.exit_path)
        attempt.had["files"], attempt.files_error = 0, None
        waits_until = self._loop.time() + _FULL_DISK_SECONDS
        while attempt.stop is None and self._loop.time() < waits_until:
            await asyncio.sleep(_TICK_SECONDS)
        attempt.is_taking = False
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
        if attempt.had["files"] > MOST_BYTES:
            raise UnusableFiles(
                f"the worker's files have more than {MOST_BYTES} bytes; change the "
                "task so that it deletes files that are not needed"
            )
        await asyncio.to_thread(self._exchange.take, files, attempt.exit_path, sent)

    def _end_attempt(
        self, node: ConnectedNode, attempt: NodeAttempt, exit: Exit, record: str
    ) -> None:
        del node.attempts[attempt.attempt_id], self._where[attempt.attempt_id]
        node.end_bringing(attempt.attempt_id)
        if exit.ended_by is not EndedBy.LOST and not (attempt.had["log"] or attempt.had["raw"]):
            create_log(attempt)
        if attempt.log_is_lost:
            exit = replace(exit, log_lost=True)
        stored = store_end(attempt, exit, record)
        if attempt.files is not None:
            server_files.remove_transfer_files(attempt.exit_path)
        self._reports.ended(attempt.attempt_id, stored)

    def _late_end(self, node: ConnectedNode, attempt_id: str, record: str) -> None:
        if self._late.ended(node.name, attempt_id, record):
            node.is_catching_up = self._late.is_arriving(node.name)
            self._update_machine(node)

    async def _check_regularly(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                self._check()
            except Exception:
                logger.exception("cannot check the nodes; retrying", extra={"action": "node_check"})

    def _check(self) -> None:
        now = self._loop.time()
        if self._registry.stamp != self._stamp:
            self.read_registry()
        self._store_reports()
        for node in self._nodes.values():
            if node.link is not None:
                if now > node.silent_at:
                    node.link.abort()
            elif is_lost(node, now):
                for attempt, exit in lost_attempts(node, self._late):
                    self._end_attempt(node, attempt, exit, "")

    def _store_reports(self) -> None:
        reported = self._unsaved & self._entries.keys()
        self._unsaved -= reported
        changes: dict[str, Mapping[str, Sequence[str]]] = {}
        for name in reported:
            node, entry = self._nodes[name], self._entries[name]
            agents = entry.agents if node.agents is None else tuple(sorted(node.agents))
            addresses = node.addresses or entry.addresses
            if (agents, addresses) != (entry.agents, entry.addresses):
                changes[name] = {"agents": agents, "addresses": addresses}
        if changes:
            self._registry.store_reports(changes)
            self.read_registry()

    def read_registry(self) -> None:
        self._stamp = self._registry.stamp
        try:
            entries, addresses = self._registry.entries(), self._registry.addresses
        except (OSError, OrchestratorError) as error:
            logger.warning("cannot read the list of nodes: %s", error)
            return
        if addresses != self._addresses:
            self._addresses = addresses
            for node in self._nodes.values():
                if node.link is not None:
                    node.link.post(AddressesChanged(tuple(addresses)))
        first, self._entries = not self._entries, entries
        for name in entries:
            self._node(name)
        for node in self._nodes.values():
            entry = entries.get(node.name)
            node.is_drained = entry is None or entry.is_drained or entry.is_released
            if entry is None:
                self._late.forget(node.name)
                if node.link is not None:
                    node.link.abort()
                continue
            if entry.slots is not None:
                node.slots = entry.slots
            if entry.forgotten > node.forgotten and not first and node.link is None:
                node.fenced_at = 0.0
            node.forgotten = entry.forgotten
        for node in self._nodes.values():
            self._update_machine(node)

    def _node(self, name: str) -> ConnectedNode:
        return self._nodes.setdefault(name, ConnectedNode(name))

    # Facts for other threads

    def _update_machine(self, node: ConnectedNode) -> None:
        # This is called for each heartbeat, so an unchanged node must cost almost nothing.
        former = self._machines.get(node.name)
        entry = self._entries.get(node.name)
        machine = None if entry is None else machine_of(node, entry, self._least_memory)
        if machine == former:
            return
        if machine is None:
            del self._machines[node.name]
        else:
            self._machines[node.name] = machine
        if _room(machine) != _room(former):
            self._reports.machines_changed()

    def states(self) -> list[NodeState]:
        """Return the states of all nodes, sorted by name.

        Removed nodes with workers are included.
        """
        nodes = sorted(self._nodes.copy().values(), key=lambda node: node.name)
        now, fenced_after = self._loop.time(), self._terms.fenced_after
        return [
            state_of(each, self._entries.get(each.name), now, fenced_after)
            for each in nodes
            if each.name in self._entries or each.attempts
        ]


def _room(machine: Machine | None) -> tuple[int, bool] | None:
    """Return a machine's slots, and True if it accepts workers; None if ``machine`` is None."""
    return None if machine is None else (machine.slots, machine.takes_workers)
