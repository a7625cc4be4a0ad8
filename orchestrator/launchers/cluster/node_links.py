"""The server's side of the connections (links) to all nodes, and the nodes' leases."""

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
from orchestrator.core.ports.agent_availability import UnusableAgent
from orchestrator.core.text.command_name import INSTALL_COMMAND
from orchestrator.launchers.cluster.connected_node import MOST_KNOWN, ConnectedNode
from orchestrator.launchers.cluster.connection.code_fingerprint import code_fingerprint
from orchestrator.launchers.cluster.connection.link import Link, Window
from orchestrator.launchers.cluster.connection.messages import (
    AddressesStored,
    AgentReport,
    AgentsFound,
    AttemptStarted,
    ChangeAnswer,
    EndReport,
    Fields,
    FilePositions,
    FilesReceived,
    Heartbeat,
    HeartbeatAnswer,
    Hello,
    InvalidMessage,
    NodeLeaving,
    NodeMessage,
    NodeUnfit,
    NoResult,
    OutputPiece,
    Rejection,
    Release,
    SnapshotAnswer,
    SnapshotPiece,
    TunnelData,
    Welcome,
    decode_from_node,
    decode_hello,
    decode_release,
)
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.node_registry import NodeRegistry
from orchestrator.launchers.cluster.connection.tunnel import Target, Tunnel
from orchestrator.launchers.cluster.file_transfer.server_files import ServerFiles
from orchestrator.launchers.cluster.lost_nodes import ExpectedLateResults, is_lost, longest_lease
from orchestrator.launchers.cluster.node_attempts import AttemptEvents, NodeAttempts
from orchestrator.launchers.cluster.node_table import NodeTable

logger = logging.getLogger(__name__)
_HELLO_SECONDS = 5.0
#: Connections that may wait to be accepted.
_BACKLOG = 1024
_HANDSHAKE_SECONDS = 5.0
#: Seconds between two checks of leases, connections, and the registry.
_TICK_SECONDS = 0.25
#: Seconds by which the clocks of server and node may differ before a warning is logged.
_MOST_SKEW_SECONDS = 1.0
#: Maximum characters of a text, and maximum number of steps, that a node reports about an agent.
_MOST_TEXT, _MOST_STEPS = 500, 5


class LinkEvents(AttemptEvents, Protocol):
    """Receives the events of nodes, in the event loop's thread."""

    def machines_changed(self) -> None: ...


class NodeLinks:
    """The links to all nodes, and the nodes' leases. Only the event loop's thread may call."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        terms: NodeLeaseTerms,
        registry: NodeRegistry,
        context: ssl.SSLContext,
        api: Target,
        least_memory_bytes: int,
        events: LinkEvents,
        transfer: ServerFiles,
    ) -> None:
        self._loop, self._code = loop, code_fingerprint()
        self._terms, self._registry, self._context = terms, registry, context
        self._api, self._events = api, events
        self._late = ExpectedLateResults()
        self.nodes = NodeTable(
            loop=loop,
            terms=terms,
            registry=registry,
            least_memory_bytes=least_memory_bytes,
            late=self._late,
            machines_changed=events.machines_changed,
        )
        self.attempts = NodeAttempts(
            loop=loop,
            terms=terms,
            nodes=self.nodes,
            late=self._late,
            transfer=transfer,
            events=events,
            spawn=self._spawn,
        )
        #: Reason of each node's latest rejection, until the node is accepted.
        self._rejected: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None

    @property
    def expects_late_results(self) -> bool:
        return not self._late.is_empty

    async def serve(self, listening: Any, welcome: Welcome) -> None:
        """Accept nodes. Call this only after all attempts that may still run on nodes were added.

        ``listening``: a bound socket, which has refused connections so far. Each node must connect
        before its lease ends. Otherwise, the node's attempts from an earlier server count as lost.
        """
        self._welcome = welcome
        self.nodes.read_registry()
        for node in self.nodes:
            entry = self.nodes.entries.get(node.name)
            remaining = longest_lease(self._terms, entry, self.nodes.addresses)
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
        for node in self.nodes:
            if node.link is not None:
                node.link.abort()
        tasks = [*self._tasks, *filter(None, [self._ticking])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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

    # Accepting nodes

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
            await self._serve_node(link, self.nodes[name], hello)
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
        """Return a node's first message, or the rejection of the node.

        Raise InvalidMessage if a field of the message is missing or has a wrong type.
        """
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
        # Log each reason once, because a rejected node that has attempts retries.
        if self._rejected.get(name) != why:
            self._rejected[name] = why
            logger.warning(
                "node rejected: %s", why, extra={"action": "node_rejected", "node": name}
            )
        if name not in self.nodes:
            # The user may have added the node after the last read of the list.
            self.nodes.read_registry()
        if name in self.nodes and self.nodes[name].link is None:
            self.nodes[name].trouble = why

    async def _serve_node(self, link: Link, node: ConnectedNode, hello: Hello) -> None:
        """Serve an accepted connection until it ends, or until the node opens a new connection."""
        window = self._connect(node, link, hello)
        tunnel = Tunnel(link, self._api)
        try:
            link.post(self._welcome_for(node, hello.attempts))
            self.attempts.connected(node)
            logger.info("node connected", extra={"action": "node_connected", "node": node.name})
            while node.link is link:
                message = decode_from_node(await link.receive())
                node.heard_at = self._loop.time()
                node.silent_at = max(node.silent_at, node.heard_at + self._terms.notice)
                if isinstance(message, TunnelData):
                    tunnel.handle(message)
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
            # The node has opened a new connection, and no longer reads the former connection.
            node.link.abort()
        node.link, node.agents, node.trouble, node.is_leaving = link, None, "", False
        self._rejected.pop(node.name, None)
        entry = self.nodes.entries.get(node.name)
        node.slots = hello.slots if entry is None or entry.slots is None else entry.slots
        node.has_own_files = hello.own_files
        node.known_commits = hello.known[:MOST_KNOWN]
        node.end_transfer(node.transferring)
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
        node.link = None
        self.attempts.disconnected(node)
        logger.warning("node disconnected", extra={"action": "node_lost", "node": node.name})
        self.nodes.update_machine(node)

    def _welcome_for(self, node: ConnectedNode, known: Mapping[str, FilePositions]) -> Welcome:
        files, late = self.attempts.welcome_positions(node, known)
        return replace(self._welcome, files=files, late=late, addresses=tuple(self.nodes.addresses))

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
                self._handle_heartbeat(node, link, message)
            case AgentsFound():
                self._handle_agents(node, message.agents)
            case NodeUnfit():
                node.trouble = f"{node.name}: {message.why}"
                logger.warning(
                    "node rejected: %s", node.trouble,
                    extra={"action": "node_rejected", "node": node.name},
                )  # fmt: skip
            case NodeLeaving():
                node.is_leaving = True
                self.nodes.update_machine(node)
            case AttemptStarted():
                self.attempts.handle_start(node, message)
            case OutputPiece():
                self.attempts.handle_output(node, link, message)
            case EndReport():
                self.attempts.handle_end(node, link, message)
            case FilesReceived():
                node.window.confirm(message.bytes)
            case SnapshotPiece() | SnapshotAnswer() | ChangeAnswer():
                self.attempts.handle_commits(node, link, message)
            case AddressesStored():
                if message.addresses == tuple(self.nodes.addresses):
                    node.addresses = message.addresses
                    self.nodes.store_later(node)
            case NoResult():
                self.attempts.handle_no_result(node, message)

    def _handle_heartbeat(self, node: ConnectedNode, link: Link, message: Heartbeat) -> None:
        self._grant(node)
        node.is_idle = not node.attempts
        if node.is_idle:
            node.silent_at = self._loop.time() + self._terms.idle_beat + self._terms.notice
        link.post(HeartbeatAnswer(message.n, node.is_idle))
        node.memory_bytes, node.disk_bytes = message.memory, message.disk
        self.nodes.update_machine(node)

    def _handle_agents(self, node: ConnectedNode, reports: Sequence[AgentReport]) -> None:
        names = {each["name"] for each in self._welcome.agents}
        known_reports = [each for each in reports if each.name in names]
        node.unusable = tuple(
            UnusableAgent(
                each.name,
                each.reason[:_MOST_TEXT],
                tuple(step[:_MOST_TEXT] for step in each.fix[:_MOST_STEPS]),
            )
            for each in known_reports
            if each.reason
        )
        self.nodes.store_later(node)
        node.logins = {each.name: each.login for each in known_reports if each.login}
        node.lacks = {each.name: each.hindrance for each in node.unusable}
        node.agents = frozenset(each.name for each in known_reports) - node.lacks.keys()
        self.nodes.update_machine(node)
        # Try to start waiting workers now, because one of them may need an agent of this node.
        self._events.machines_changed()

    async def _check_regularly(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                self._check()
            except Exception:
                logger.exception("cannot check the nodes; retrying", extra={"action": "node_check"})

    def _check(self) -> None:
        now = self._loop.time()
        self.nodes.check()
        for node in self.nodes:
            if node.link is not None:
                if now > node.silent_at:
                    node.link.abort()
            elif is_lost(node, now):
                self.attempts.end_lost(node)
