"""The daemon of a node: serves the connections to the server, and runs the server's workers.

Exit records, locks, and logs of attempts are in a directory of this machine. If this process ends,
shims keep running, and a new process finds the shims by these files.
"""

import asyncio
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator import __version__
from orchestrator.core.errors import ContainmentUnavailable
from orchestrator.core.ports.worktree_transfer import NodeWorktrees
from orchestrator.launchers.cluster.connection.code_fingerprint import code_fingerprint
from orchestrator.launchers.cluster.connection.link import Link, Window, is_filled
from orchestrator.launchers.cluster.connection.messages import (
    AddressesChanged,
    AddressesStored,
    AgentReport,
    AgentsFound,
    AttemptWaiting,
    ChangeRequest,
    EndStored,
    FilesPiece,
    FilesReceived,
    Heartbeat,
    HeartbeatAnswer,
    HeartbeatsExpected,
    Hello,
    InvalidMessage,
    LateFile,
    NodeLeaving,
    NodeUnfit,
    OutputReceived,
    Rejection,
    ResendFiles,
    ResultPiece,
    ServerMessage,
    SnapshotReceived,
    SnapshotRequest,
    StartAttempt,
    StopAttempt,
    TunnelData,
    Welcome,
    decode_from_server,
)
from orchestrator.launchers.cluster.connection.server_addresses import ServerAddresses
from orchestrator.launchers.cluster.connection.tunnel import Tunnel
from orchestrator.launchers.cluster.file_transfer.node_files import NodeFiles
from orchestrator.launchers.cluster.node.attempt_reports import AttemptReports
from orchestrator.launchers.cluster.node.held_attempts import HeldAttempts
from orchestrator.launchers.cluster.node.node_lease import NodeLease
from orchestrator.launchers.cluster.node.node_settings import NodeSettings
from orchestrator.launchers.cluster.node.running_attempts import RunningAttempts
from orchestrator.launchers.cluster.node.server_dialer import AnsweredHello, NoAnswer, ServerDialer
from orchestrator.launchers.cluster.node.worktree_requests import WorktreeRequests
from orchestrator.launchers.process.lease_file import boot_time

logger = logging.getLogger(__name__)

#: Maximum seconds for which a worker's API call waits while the server is unreachable.
_HOLD_SECONDS = 110.0
#: Seconds before the next try to connect: the normal pause, the pause after the first rejection,
#: and the longest pause. Each further rejection doubles the pause.
_PAUSE_SECONDS, _REJECTED_SECONDS, _LONGEST_SECONDS = 0.25, 5.0, 60.0
#: Seconds between two searches for agents.
_AGENTS_SECONDS = 5.0
#: Maximum seconds for which a stopping node waits until the server has confirmed the ends of the
#: node's workers.
_LEAVE_SECONDS = 15.0

#: Function that gets descriptions of agents. For each agent, it returns a mapping. ``name``: the
#: agent. ``reason``: why the agent cannot work; empty if the agent can work. ``fix``: the steps
#: that make the agent work. ``login``: a value that changes when the agent's login changes.
AgentSearch = Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]
#: Function that returns the available memory of this machine, and the free space on a directory's
#: disk, in bytes. None: unknown.
Space = Callable[[Path], tuple[int | None, int | None]]


class NodeDaemon:
    """The serving process of a node. Only the event loop's thread may call."""

    def __init__(
        self,
        settings: NodeSettings,
        say: Callable[[str], None],
        find_agents: AgentSearch,
        space: Space,
        worktrees: NodeWorktrees | None = None,
    ) -> None:
        """``say`` shows a line to the person who started the node.

        ``find_agents`` searches for agents, in a separate thread. ``space`` reads the machine's
        memory and disk for each heartbeat. ``worktrees`` is required for a node with its own file
        system. Raise OSError if the state directory cannot be used.
        """
        self._settings, self._say, self._space = settings, say, space
        self._find_agents = find_agents
        self._directory = settings.directory
        self._held = HeldAttempts(self._directory)
        self._files: NodeFiles | None = None
        if settings.own_files:
            self._files = NodeFiles(self._directory / "files", settings.home, worktrees)
        self._worktrees = WorktreeRequests(str(self._directory), self._held, self._files)
        self._lease = NodeLease(self._directory)
        self._reports = AttemptReports(self._held)
        self._attempts = RunningAttempts(
            settings, self._held, self._files, self._reports, self._lease.path, self._end_if_done
        )
        self._code = code_fingerprint()
        #: True if ``prune`` is due: when the daemon has started, and after each connection.
        self._may_prune = True
        self._addresses = ServerAddresses(self._directory, settings.addresses)
        self._dialer = ServerDialer(settings)
        #: Seconds to wait after the next rejection.
        self._next_pause = _REJECTED_SECONDS
        self._link: Link | None = None
        #: The server's address on the current link.
        self._server_address = ""
        self._tunnel: Tunnel | None = None
        #: True if this node sends few heartbeats, because it has no workers.
        self._is_idle = False
        self._expected = asyncio.Event()
        #: Limits the unconfirmed bytes of worktree states on the current connection.
        self._window = Window()
        self._linked = asyncio.Event()
        self._is_leaving = False
        self._leave_until = 0.0
        self._printed = ""
        self._api_port = 0
        #: The server's descriptions of its agents.
        self._agent_descriptions: Sequence[Mapping[str, Any]] = ()

    async def run(self, api: Any) -> int:
        """Serve until the node has left (see ``leave``), or until the node cannot be used.

        The node cannot be used if the server rejects it while it has no attempts, or if this
        machine cannot run workers. Return the exit code. ``api``: the socket for the workers' API
        calls.
        """
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._held.fileno(), self._reports.send_grown)
        self._api_port = api.getsockname()[1]
        server = await asyncio.start_server(self._tunnel_call, sock=api)
        try:
            while not self._is_done:
                if self._may_prune:
                    self._may_prune = False
                    await self._attempts.prune()
                pause = await self._connect()
                if pause is None:
                    return 1
                await self._sleep(pause)
        finally:
            server.close()
            self._loop.remove_reader(self._held.fileno())
            self._attempts.close()
        return 0

    async def _sleep(self, seconds: float) -> None:
        """Sleep for ``seconds``. After a call of ``leave``, return within ``_REJECTED_SECONDS``."""
        ends = self._loop.time() + seconds
        while not self._is_done and (remaining := ends - self._loop.time()) > 0:
            await asyncio.sleep(min(remaining, _REJECTED_SECONDS))
            if self._is_leaving:
                return

    def _rejected_pause(self) -> float:
        pause = self._next_pause
        self._next_pause = min(2 * pause, _LONGEST_SECONDS)
        return pause

    @property
    def _is_done(self) -> bool:
        return self._is_leaving and (not self._held or self._loop.time() > self._leave_until)

    def leave(self) -> None:
        """Stop all workers. Idempotent.

        After that, ``run`` returns when the server has confirmed the ends of all workers, or after
        ``_LEAVE_SECONDS``.
        """
        if self._is_leaving:
            return
        self._say("stopping: the workers of this node start again on other machines")
        self._is_leaving = True
        self._leave_until = self._loop.time() + _LEAVE_SECONDS
        if self._link is not None:
            self._link.post(NodeLeaving())
        self._attempts.stop_all()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._is_done and self._link is not None:
            self._link.abort()

    def _say_once(self, line: str) -> None:
        if line != self._printed:
            self._printed = line
            self._say(line)

    # Connections

    async def _connect(self) -> float | None:
        """Connect to the first address that answers, and serve until the connection breaks.

        Return the seconds to wait before the next connection; None if the node must end (see
        ``run``).
        """
        dialled = boot_time()
        result = await self._dialer.dial(self._addresses.in_turn(), self._hello)
        if isinstance(result, NoAnswer):
            if result.is_refused and self._addresses.are_complete:
                self._lease.server_is_absent(dialled)
            self._say_once(f"{result.why}; retrying")
            return self._rejected_pause() if result.is_insecure else _PAUSE_SECONDS
        if result.warning:
            self._say_once(result.warning)
        return await self._serve(result)

    async def _serve(self, answered: AnsweredHello) -> float | None:
        """Serve a connection until it breaks.

        Return the seconds to wait before the next connection; None if the node must end.
        """
        link, where, welcome = answered.link, answered.address, answered.answer
        if isinstance(welcome, Rejection):
            link.abort()
            self._say_once(f"rejected: {welcome.why}")
            return self._rejected_pause() if self._attempts.held_attempts() else None
        why = self._why_unseen(welcome) or self._apply_settings(welcome)
        if why:
            link.post(NodeUnfit(why))
            with suppress(OSError):
                await link.drained()
            link.abort()
            self._say_once(f"this machine cannot be a node: {why}")
            return None
        self._store_addresses(link, where, welcome.addresses)
        self._next_pause = _REJECTED_SECONDS
        self._lease.connected(answered.sent)
        self._say_once(f"connected to {where} as {self._settings.name}")
        self._server_address = where
        await self._serve_welcomed(link, welcome)
        return _PAUSE_SECONDS

    def _store_addresses(self, link: Link, where: str, addresses: tuple[str, ...]) -> None:
        if self._addresses.store(where, addresses):
            link.post(AddressesStored(addresses))

    async def _serve_welcomed(self, link: Link, welcome: Welcome) -> None:
        self._link, self._tunnel, self._window = link, Tunnel(link), Window()
        self._is_idle = False
        self._reports.connected(link)
        self._attempts.reconcile(welcome.files, welcome.late)
        self._linked.set()
        self._may_prune = True
        tasks = [
            asyncio.ensure_future(each(link))
            for each in (
                self._send_heartbeats,
                self._reports.send_until_closed,
                self._report_agents,
            )
        ]
        try:
            while not self._is_done:
                message = decode_from_server(await link.receive())
                if message is not None:
                    self._handle(link, message)
        except OSError:
            pass
        except InvalidMessage as error:
            logger.warning(
                "the server sent an invalid message: %s", error, extra={"action": "node_message"}
            )
        finally:
            for task in tasks:
                task.cancel()
            self._tunnel.close()
            self._window.close()
            link.abort()
            self._link, self._tunnel = None, None
            self._reports.disconnected()
            self._linked.clear()

    def _hello(self) -> Hello:
        return Hello(
            name=self._settings.name,
            instance=self._instance(),
            version=__version__,
            code=self._code,
            python=sys.version_info[:2],
            uid=os.getuid(),
            own_files=self._settings.own_files,
            known=tuple(self._files.known_commits) if self._files else (),
            slots=self._settings.slots,
            time=time.time(),
            attempts={held.id: held.bases for held in self._attempts.held_attempts()},
        )

    def _instance(self) -> str:
        path = self._directory / "instance"
        if not path.exists():
            path.write_text(secrets.token_hex(8), encoding="ascii")
        return path.read_text(encoding="ascii").strip()

    def _why_unseen(self, welcome: Welcome) -> str:
        """Return why this machine does not see the server's files; empty if it sees the files."""
        if self._files is not None:
            return ""
        workspace = Path(welcome.workspace)
        try:
            seen = (workspace / welcome.mark_name).read_text(encoding="ascii")
        except OSError as error:
            return (
                f"cannot read {workspace} ({error.strerror}); mount the server's workspace at this "
                "path"
            )
        if seen != welcome.mark:
            return (
                f"the directory {workspace} of this machine is not the server's workspace; mount "
                "the server's workspace at this path"
            )
        unseen = [path for path in welcome.shared if not is_filled(Path(path))]
        if unseen:
            return (
                "paths that workers use are missing or empty on this machine: "
                f"{', '.join(unseen)}; share each path with the server's machine, or join with "
                "--own-files"
            )
        return ""

    def _apply_settings(self, welcome: Welcome) -> str:
        """Apply the server's settings.

        Return why this machine cannot start workers; empty if it can start workers.
        """
        self._lease.use_terms(welcome.terms)
        self._agent_descriptions = welcome.agents
        try:
            self._attempts.open(welcome, self._api_port)
        except ContainmentUnavailable as error:
            return error.message
        except OSError as error:
            return f"cannot start workers: {error}"
        return ""

    async def _send_heartbeats(self, link: Link) -> None:
        """Send heartbeats. Close the connection if the server does not answer in time."""
        terms, number = self._lease.terms, 0

        def check(sent: float) -> None:
            if link.heard_at < sent:
                link.abort()

        while True:
            self._expected.clear()
            number += 1
            self._lease.record_heartbeat(number)
            memory, disk = self._space(self._directory)
            link.post(Heartbeat(number, memory, disk))
            self._loop.call_later(terms.notice, check, self._loop.time())
            with suppress(TimeoutError):
                pause = terms.idle_beat if self._is_idle else terms.beat
                await asyncio.wait_for(self._expected.wait(), pause)

    async def _report_agents(self, link: Link) -> None:
        reported: Sequence[Mapping[str, Any]] | None = None
        while True:
            # Search in a thread, because a search may wait for a service of this machine.
            try:
                found = await self._loop.run_in_executor(
                    None, self._find_agents, self._agent_descriptions
                )
            except Exception:
                logger.exception(
                    "cannot search for the agents of this machine; retrying",
                    extra={"action": "node_agents"},
                )
                found = reported or []
            if found != reported:
                reported = found
                link.post(AgentsFound(tuple(_agent_report(each) for each in found)))
            await asyncio.sleep(_AGENTS_SECONDS)

    def _handle(self, link: Link, message: ServerMessage) -> None:
        match message:
            case TunnelData():
                if self._tunnel is not None:
                    self._tunnel.handle(message)
            case HeartbeatAnswer():
                self._is_idle = message.idle
                self._lease.heartbeat_answered(message.n)
            case HeartbeatsExpected():
                self._is_idle = False
                self._expected.set()
            case StartAttempt():
                self._attempts.start(message)
            case FilesPiece():
                self._attempts.receive_files(message)
                link.post(FilesReceived(len(message.data)))
            case StopAttempt():
                how = message.ended_by, message.stopped_by, message.cause
                self._attempts.stop(message.attempt, *how)
            case AttemptWaiting():
                self._attempts.waiting(message.attempt, message.on)
            case OutputReceived():
                self._reports.confirm(message.bytes)
            case EndStored():
                self._attempts.forget(message.attempt)
            case SnapshotRequest():
                self._attempts.run_in_background(
                    self._worktrees.send_snapshot(link, self._window, message)
                )
            case ResultPiece():
                self._worktrees.receive_result(link, message)
            case ChangeRequest():
                self._attempts.run_in_background(self._worktrees.change_files(link, message))
            case LateFile():
                self._attempts.run_in_background(self._worktrees.store_file(message))
            case SnapshotReceived():
                self._window.confirm(message.bytes)
            case ResendFiles():
                self._reports.send_files_again(message.attempt)
            case AddressesChanged():
                self._store_addresses(link, self._server_address, message.addresses)

    async def _tunnel_call(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await asyncio.wait_for(self._linked.wait(), _HOLD_SECONDS)
        except TimeoutError:
            writer.close()
            return
        if self._tunnel is None:
            writer.close()
        else:
            await self._tunnel.accepted(reader, writer)


def _agent_report(fields: Mapping[str, Any]) -> AgentReport:
    return AgentReport(fields["name"], fields["reason"], tuple(fields["fix"]), fields["login"])
