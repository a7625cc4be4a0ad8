"""The daemon of a node: runs the workers that the server starts on this machine.

Exit records, locks, and logs of attempts are in a directory of this machine. If this process ends,
shims keep running, and a new process finds them by these files.
"""

import asyncio
import logging
import os
import secrets
import socket
import ssl
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator import __version__
from orchestrator.core.errors import (
    ContainmentUnavailable,
    OrchestratorError,
)
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import RAN_NOTHING, ExitCause
from orchestrator.core.outcome.shortage_errors import is_full_disk
from orchestrator.core.ports.attempt_files import AttemptFiles, NodeWorktrees
from orchestrator.core.ports.launcher import Launch
from orchestrator.core.text.command_name import COMMAND
from orchestrator.launchers.cluster.connection.code_fingerprint import code_fingerprint
from orchestrator.launchers.cluster.connection.link import (
    SERVER_NAME,
    WINDOW,
    Link,
    Window,
    is_filled,
    tls,
)
from orchestrator.launchers.cluster.connection.messages import (
    AddressesChanged,
    AddressesStored,
    AgentReport,
    AgentsFound,
    ArchiveFigures,
    AttemptStarted,
    AttemptWaiting,
    ChangeRequest,
    EndReport,
    EndStored,
    FilePositions,
    FilesNotReturned,
    FilesPiece,
    FilesReceived,
    Heartbeat,
    HeartbeatAnswer,
    HeartbeatsExpected,
    Hello,
    InvalidMessage,
    LateFile,
    Message,
    NodeLeaving,
    NodeUnfit,
    NoResult,
    OutputPiece,
    OutputReceived,
    Rejection,
    RequestedContainment,
    ResendFiles,
    ResultPiece,
    ServerMessage,
    SnapshotReceived,
    SnapshotRequest,
    StartAttempt,
    StopAttempt,
    TunnelData,
    Welcome,
    decode_answer_to_hello,
    decode_from_server,
)
from orchestrator.launchers.cluster.connection.server_addresses import (
    ServerAddresses,
    host_and_port,
)
from orchestrator.launchers.cluster.connection.tunnel import Tunnel
from orchestrator.launchers.cluster.file_transfer.archive import UnusableFiles, as_full_disk
from orchestrator.launchers.cluster.file_transfer.node_files import NodeFiles
from orchestrator.launchers.cluster.node.held_attempts import HeldAttempt, HeldAttempts
from orchestrator.launchers.cluster.node.node_lease import NodeLease
from orchestrator.launchers.cluster.node.worktree_requests import WorktreeRequests
from orchestrator.launchers.local.containment_settings import ContainmentPlan
from orchestrator.launchers.local.local_launcher import LocalLauncher
from orchestrator.launchers.local.shim_pool import IDLE_SECONDS
from orchestrator.launchers.process.lease_file import boot_time
from orchestrator.launchers.process.worker_process import never_started

logger = logging.getLogger(__name__)

#: Maximum seconds for which a worker's API call waits while the server is unreachable.
_HOLD_SECONDS = 110.0
_DIAL_SECONDS = 2.0
_WELCOME_SECONDS = 10.0
#: Seconds before the next try to connect: the normal pause, the pause after the first rejection,
#: and the longest pause. Each further rejection doubles the pause.
_PAUSE_SECONDS, _REJECTED_SECONDS, _LONGEST_SECONDS = 0.25, 5.0, 60.0
#: Seconds between two searches for agents.
_AGENTS_SECONDS = 5.0
#: Maximum seconds for which a stopping node waits until the server has confirmed the ends of the
#: node's workers.
_LEAVE_SECONDS = 15.0
#: If the disk is full when an ended worker's files are packed: maximum seconds to wait for space,
#: and seconds between two tries.
_FULL_DISK_SECONDS, _AGAIN_SECONDS = 60.0, 2.0
#: OpenSSL's names of the errors by which a peer rejects this machine's certificate. After the
#: handshake, every other TLS error means that the connection is broken.
_REJECTIONS = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_DECRYPT_ERROR",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
#: Ways in which an attempt ends without a result.
_NO_RESULT = (EndedBy.LOST, EndedBy.CANCEL, EndedBy.SPAWN_FAILED)


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeSettings:
    name: str
    #: Addresses of the server, HOST:PORT.
    addresses: Sequence[str]
    slots: int
    #: Directory on a local disk, with the certificates ``ca.pem``, ``node.pem``, ``node.key``.
    directory: Path
    #: True if this machine does not share the server's file system.
    own_files: bool
    #: The product's folder on this machine.
    home: Path


#: Function that returns facts about each given agent on this machine, as JSON. ``name``: the agent.
#: ``reason``: why the agent cannot work; empty if the agent can work. ``fix``: the steps that make
#: the agent work. ``login``: a value that changes when the agent's login changes.
Look = Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]
#: Function that returns the available memory of this machine, and the free space on a directory's
#: disk, in bytes. None: unknown.
Space = Callable[[Path], tuple[int | None, int | None]]


class NodeDaemon:
    """The serving process of a node. Only the event loop's thread may call."""

    def __init__(
        self,
        settings: NodeSettings,
        say: Callable[[str], None],
        look: Look,
        space: Space,
        worktrees: NodeWorktrees | None = None,
    ) -> None:
        """``say`` shows a line to the person who started the node.

        ``look`` searches for agents, in a separate thread. ``space`` reads the machine's memory and
        disk for each heartbeat. ``worktrees`` is required for a node with its own file system.
        Raise OSError.
        """
        self._settings, self._say, self._look, self._space = settings, say, look, space
        self._directory = settings.directory
        self._held = HeldAttempts(self._directory)
        self._files: NodeFiles | None = None
        if settings.own_files:
            self._files = NodeFiles(self._directory / "files", settings.home, worktrees)
        self._worktrees = WorktreeRequests(str(self._directory), self._held, self._files)
        self._code = code_fingerprint()
        self._working: set[asyncio.Task[None]] = set()
        #: True if ``_prune`` is due: when the daemon has started, and after each connection.
        self._may_prune = True
        self._lease = NodeLease(self._directory)
        self._addresses = ServerAddresses(self._directory, settings.addresses)
        #: Seconds to wait after the next rejection.
        self._next_pause = _REJECTED_SECONDS
        self._launcher: LocalLauncher | None = None
        self._idle_shims: asyncio.Task[None] | None = None
        self._link: Link | None = None
        #: The server's address on the present link.
        self._where = ""
        self._tunnel: Tunnel | None = None
        #: True if this node sends few heartbeats, because it has no workers.
        self._is_idle = False
        self._expected = asyncio.Event()
        self._grown: dict[str, None] = {}
        self._on_way = 0
        #: Limits the unconfirmed bytes of worktree states on the present connection.
        self._window = Window()
        self._something = asyncio.Event()
        self._linked = asyncio.Event()
        self._is_leaving = False
        self._leave_until = 0.0
        self._printed = ""
        self._api_port = 0
        #: Variables of the server's environment that are replaced by this machine's own values.
        self._foreign: Mapping[str, str] = {}
        #: Descriptions of the agents that the server knows.
        self._described: Sequence[Mapping[str, Any]] = ()

    async def run(self, api: Any) -> int:
        """Serve until ``leave`` is called, or until the server rejects the node's first connection.

        Return the exit code. ``api``: the socket for the workers' API calls.
        """
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._held.fileno(), self._files_grew)
        self._api_port = api.getsockname()[1]
        server = await asyncio.start_server(self._tunnel_call, sock=api)
        try:
            while not self._is_done:
                if self._may_prune:
                    self._may_prune = False
                    await self._prune()
                pause = await self._connect()
                if pause is None:
                    return 1
                await self._sleep(pause)
        finally:
            server.close()
            self._loop.remove_reader(self._held.fileno())
            if self._launcher is not None:
                self._loop.remove_reader(self._launcher.fileno())
                if self._idle_shims is not None:
                    self._idle_shims.cancel()
                self._launcher.close(stop=False)
        return 0

    async def _sleep(self, seconds: float) -> None:
        """Sleep for ``seconds``, but at most ``_REJECTED_SECONDS`` after a call of ``leave``."""
        ends = self._loop.time() + seconds
        while not self._is_done and (remaining := ends - self._loop.time()) > 0:
            await asyncio.sleep(min(remaining, _REJECTED_SECONDS))
            if self._is_leaving:
                return

    def _rejected_pause(self) -> float:
        pause = self._next_pause
        self._next_pause = min(2 * pause, _LONGEST_SECONDS)
        return pause

    async def _prune(self) -> None:
        """Remove old commits if no attempt is on this node."""
        if self._files is not None and not self._working and not self._present_attempts():
            try:
                await asyncio.to_thread(self._files.prune)
            except (OSError, OrchestratorError) as error:
                logger.warning(
                    "cannot remove old commits: %s", error, extra={"action": "node_prune"}
                )

    @property
    def _is_done(self) -> bool:
        return self._is_leaving and (not self._held or self._loop.time() > self._leave_until)

    def leave(self) -> None:
        """Stop all workers. Idempotent.

        After that, ``run`` returns when the server knows that all workers have ended, or after a
        timeout.
        """
        if self._is_leaving:
            return
        self._say("stopping: the workers of this node start again on other machines")
        self._is_leaving = True
        self._leave_until = self._loop.time() + _LEAVE_SECONDS
        if self._link is not None:
            self._link.post(NodeLeaving())
        for held in self._held.values():
            self._stop(held.id, EndedBy.CANCEL, "", ExitCause.LEASE_ENDED)
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

        Return the seconds to wait before connecting again; None if the node must end, because the
        server rejects it and no worker is running.
        """
        dialled, failures, refusals, insecure = boot_time(), list[str](), 0, 0
        for where in self._addresses.in_turn():
            try:
                link = await asyncio.wait_for(self._dial(where), _DIAL_SECONDS)
            except ConnectionRefusedError:
                refusals += 1
                failures.append(f"no server listens at {where}")
            except ssl.SSLError as error:
                insecure += 1
                failures.append(f"no secure connection to {where}: {error.reason or error}")
            except (OSError, TimeoutError) as error:
                failures.append(f"cannot reach {where}: {str(error) or 'timeout'}")
            else:
                sent = boot_time()
                welcome = await self._greet(link, where)
                if not isinstance(welcome, str):
                    if insecure:
                        self._say_once("; ".join(failures))
                    return await self._serve(link, where, welcome, sent)
                failures.append(welcome)
        if refusals == len(failures) and self._addresses.are_complete:
            self._lease.server_is_absent(dialled)
        self._say_once(f"{'; '.join(failures)}; retrying")
        return self._rejected_pause() if insecure == len(failures) else _PAUSE_SECONDS

    async def _dial(self, address: str) -> Link:
        """Return a connection to an address.

        Raise ConnectionRefusedError if all IP addresses of the host refuse the connection. Raise
        OSError after another failure.
        """
        context = tls(self._directory, "node", is_server=False)
        context.check_hostname = True
        errors: list[OSError] = []
        host, port = host_and_port(address)
        # asyncio itself does not distinguish a refusal by all IP addresses from other errors
        for *_, place in await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                _, link = await self._loop.create_connection(
                    Link, str(place[0]), port, ssl=context, server_hostname=SERVER_NAME
                )
                return link
            except OSError as error:
                errors.append(error)
        raise next(
            (each for each in errors if not isinstance(each, ConnectionRefusedError)), errors[0]
        )

    async def _greet(self, link: Link, where: str) -> Welcome | Rejection | str:
        """Send ``Hello``. Return the server's answer, or why there is no answer."""
        link.post(self._hello())
        try:
            answer = await asyncio.wait_for(link.receive(), _WELCOME_SECONDS)
            return decode_answer_to_hello(answer)
        except (OSError, TimeoutError) as error:
            link.abort()
            if isinstance(error, ssl.SSLError) and error.reason in _REJECTIONS:
                return Rejection(self._rejected_certificate(where))
            return f"{where} closed the connection; {self._rejected_certificate(where)}"
        except InvalidMessage as error:
            link.abort()
            return f"{where} sent an invalid message: {error}"

    async def _serve(
        self, link: Link, where: str, welcome: Welcome | Rejection, sent: float
    ) -> float | None:
        """Serve a connection until it breaks.

        ``where``: the server's address. ``welcome``: the server's first message. ``sent``:
        ``boot_time()`` just before ``hello`` was sent.

        Return the seconds to wait before the next connection; None if the node must end.
        """
        if isinstance(welcome, Rejection):
            link.abort()
            self._say_once(f"rejected: {welcome.why}")
            return self._rejected_pause() if self._present_attempts() else None
        why = self._why_unseen(welcome) or self._apply_settings(welcome)
        if why:
            link.post(NodeUnfit(why))
            with suppress(OSError):
                await link.drained()
            link.abort()
            self._say_once(f"this machine cannot be a node: {why}")
            return None
        self._take_addresses(link, where, welcome.addresses)
        self._next_pause = _REJECTED_SECONDS
        self._lease.connected(sent)
        self._say_once(f"connected to {where} as {self._settings.name}")
        self._where = where
        await self._serve_welcomed(link, welcome)
        return _PAUSE_SECONDS

    def _take_addresses(self, link: Link, where: str, addresses: tuple[str, ...]) -> None:
        if self._addresses.take(where, addresses):
            link.post(AddressesStored(addresses))

    def _rejected_certificate(self, where: str) -> str:
        name = self._settings.name
        return (
            f"the certificate of {name} may have expired, or {where} may belong to another "
            f"cluster; create a new certificate on the server: {COMMAND} nodes add {name}"
        )

    async def _serve_welcomed(self, link: Link, welcome: Welcome) -> None:
        self._link, self._tunnel, self._window = link, Tunnel(link), Window()
        self._is_idle = False
        self._grown.clear()
        self._on_way = 0
        self._reconcile(link, welcome.files, welcome.late)
        self._linked.set()
        self._may_prune = True
        tasks = [
            asyncio.ensure_future(each(link))
            for each in (self._send_heartbeats, self._send_output, self._report_agents)
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
            known=tuple(self._files.known) if self._files else (),
            slots=self._settings.slots,
            time=time.time(),
            attempts={held.id: held.bases for held in self._present_attempts()},
        )

    def _present_attempts(self) -> list[HeldAttempt]:
        if self._launcher is not None:
            return list(self._held.values())
        return self._held.stored()

    def _instance(self) -> str:
        path = self._directory / "instance"
        if not path.exists():
            path.write_text(secrets.token_hex(8), encoding="ascii")
        return path.read_text(encoding="ascii").strip()

    def _why_unseen(self, welcome: Welcome) -> str:
        """Return why this machine does not see the server's files; empty if it sees them."""
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
        if self._files is not None:
            self._files.connected(welcome.places, sys.executable)
        self._lease.take_terms(welcome.terms)
        self._foreign, self._described = welcome.environment, welcome.agents
        try:
            self._open_launcher(self._plan_here(welcome.plan))
        except ContainmentUnavailable as error:
            return error.message
        except OSError as error:
            return f"cannot start workers: {error}"
        return ""

    def _reconcile(
        self,
        link: Link,
        expected: Mapping[str, FilePositions],
        late: Mapping[str, FilePositions],
    ) -> None:
        """Send the output and the ends of the given attempts. Stop all other attempts.

        ``expected``: attempts that the server expects. ``late``: attempts that the server counted
        as lost, and whose results it still accepts. Both mappings have, for each attempt and output
        file, the position from which the file is sent.
        """
        for attempt_id, sizes in expected.items():
            held = self._held.get(attempt_id)
            if held is None:
                # The attempt never started on this node: its start was lost with the former
                # connection.
                why = f"node {self._settings.name} lost its connection before the worker started"
                lost = Exit(
                    ended_by=EndedBy.LOST,
                    cause=ExitCause.LEASE_ENDED,
                    error=why,
                    ended_at=time.time(),
                )
                self._post_end(attempt_id, lost, "")
                continue
            self._send_from(held, sizes)
        for attempt_id in [each for each in self._held if each not in expected]:
            held = self._held[attempt_id]
            if attempt_id in late and held.exit and held.exit.ended_by not in _NO_RESULT:
                self._send_from(held, late[attempt_id])
                continue
            if attempt_id in late:
                link.post(NoResult(attempt_id))
            self._drop(held)
        self._something.set()
        if self._files is not None:
            # Remove files of attempts that never started: the connection may have broken while the
            # files arrived.
            self._files.forget_others(self._held)
            self._in_background(self._sweep())

    def _send_from(self, held: HeldAttempt, sizes: FilePositions) -> None:
        held.sent.update(sizes)
        held.is_reported = False
        self._grown[held.id] = None

    def _send_again(self, attempt_id: str) -> None:
        held = self._held.get(attempt_id)
        if held is not None and held.is_reported:
            self._send_from(held, {"files": 0})
            self._something.set()

    def _drop(self, held: HeldAttempt) -> None:
        """Stop and forget an attempt that the server does not expect."""
        held.is_unwanted = True
        if held.exit is not None:
            self._forget(held.id)
        else:
            self._stop(held.id, EndedBy.CANCEL, "", ExitCause.LEASE_ENDED)

    def _stop(self, attempt_id: str, ended_by: str, stopped_by: str, cause: ExitCause) -> None:
        held = self._held.get(attempt_id)
        if held is not None and held.is_preparing:
            ended = Exit(ended_by=EndedBy(ended_by), stopped_by=stopped_by, cause=cause)
            held.stopped = held.stopped or ended
        elif self._launcher is not None:
            self._launcher.stop(attempt_id, ended_by, stopped_by, cause)

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
                found = await self._loop.run_in_executor(None, self._look, self._described)
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
        assert self._launcher is not None
        match message:
            case TunnelData():
                if self._tunnel is not None:
                    self._tunnel.take(message)
            case HeartbeatAnswer():
                self._is_idle = message.idle
                self._lease.heartbeat_answered(message.n)
            case HeartbeatsExpected():
                self._is_idle = False
                self._expected.set()
            case StartAttempt():
                self._start(message)
            case FilesPiece():
                self._receive_files(link, message)
            case StopAttempt():
                how = message.ended_by, message.stopped_by, message.cause
                self._stop(message.attempt, *how)
            case AttemptWaiting():
                self._launcher.waiting(message.attempt, message.on)
            case OutputReceived():
                self._on_way -= message.bytes
                self._something.set()
            case EndStored():
                self._forget(message.attempt)
            case SnapshotRequest():
                self._in_background(self._worktrees.send_snapshot(link, self._window, message))
            case ResultPiece():
                self._worktrees.receive_result(link, message)
            case ChangeRequest():
                self._in_background(self._worktrees.bring(link, message))
            case LateFile():
                self._in_background(self._worktrees.store_file(message))
            case SnapshotReceived():
                self._window.confirm(message.bytes)
            case ResendFiles():
                self._send_again(message.attempt)
            case AddressesChanged():
                self._take_addresses(link, self._where, message.addresses)

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

    # Attempts

    def _open_launcher(self, plan: ContainmentPlan) -> None:
        if self._launcher is not None:
            return
        launcher = LocalLauncher(plan)
        launcher.open(self)
        self._launcher = launcher
        # Listen in this thread, because passing an event to another thread would take longer than
        # handling it.
        self._loop.add_reader(launcher.fileno(), launcher.listen, 0.0)
        self._idle_shims = asyncio.ensure_future(self._end_idle_shims(launcher))
        for held in self._held.hold_stored():
            if self._files is not None:
                self._files.adopt(held.id)
            if not launcher.adopt(held.id, held.exit_path, held.digest):
                self._note_end(held.id, launcher.settle(held.id, held.exit_path, held.digest))

    async def _end_idle_shims(self, launcher: LocalLauncher) -> None:
        while launcher.listen(0.0):
            await asyncio.sleep(IDLE_SECONDS)

    def _plan_here(self, asked: RequestedContainment) -> ContainmentPlan:
        """Return the requested containment of workers, with the paths of this machine."""
        plan = ContainmentPlan(
            mode=asked.mode, limits=asked.limits, strict=asked.strict, sandbox=asked.sandbox
        )
        if self._files is None:
            return plan
        sandbox, places = plan.sandbox, self._files.paths("")
        return replace(
            plan,
            sandbox=replace(
                sandbox,
                hide=tuple(map(places.text, sandbox.hide)),
                writable=tuple(map(places.text, sandbox.writable)),
                visible=(str(self._settings.home), *self._files.shown),
            ),
        )

    def started(self, attempt_id: str, pid: int) -> None:
        self._post(AttemptStarted(attempt_id, pid))

    def begun(self, attempt_id: str, at: float) -> None:
        # Nothing is preloaded on a node.
        ...

    def returned(self, attempt_id: str) -> None:
        # Nothing is preloaded on a node.
        ...

    def ended(self, attempt_id: str, exit: Exit) -> None:
        self._note_end(attempt_id, exit)

    def _post(self, message: Message) -> None:
        if self._link is not None:
            self._link.post(message)

    def _receive_files(self, link: Link, piece: FilesPiece) -> None:
        if self._files is not None:
            self._files.receive(piece.attempt, piece.at, piece.data)
        link.post(FilesReceived(len(piece.data)))

    def _start(self, message: StartAttempt) -> None:
        launch = replace(message.launch, env=self._environment(message.launch.env))
        try:
            held = self._held.hold(launch.attempt_id)
            held.digest, held.bases = launch.proof.digest, message.bases
            if message.files is not None:
                held.files = message.files
                held.sent["files"] = 0
            held.make_scratch(launch.env)
            held.save()
        except OSError as error:
            self._not_started(launch.attempt_id, error)
            return
        if held.files is None or self._files is None:
            self._launch(held, launch)
            return
        held.is_preparing = True
        self._in_background(self._prepare(held, held.files, message.sent, launch))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _prepare(
        self,
        held: HeldAttempt,
        files: AttemptFiles,
        sent: ArchiveFigures | None,
        launch: Launch,
    ) -> None:
        assert self._files is not None
        try:
            if sent is None:
                raise UnusableFiles("the server did not send the files of the attempt")
            async with held.turn:
                await asyncio.to_thread(self._files.unpack, held.id, files, sent)
        except (OSError, OrchestratorError) as error:
            self._not_started(held.id, as_full_disk(error, str(self._directory)))
            return
        held.is_preparing = False
        if held.stopped is not None:
            self._finish(held, held.stopped)
            return
        paths = self._files.paths(held.id)
        launch = replace(
            launch,
            argv=tuple(map(paths.text, launch.argv)),
            cwd=paths.text(launch.cwd),
            env={name: paths.text(value) for name, value in launch.env.items()},
            stdin=launch.stdin and paths.text(launch.stdin),
        )
        self._launch(held, launch)

    def _not_started(self, attempt_id: str, error: OSError | OrchestratorError) -> None:
        if isinstance(error, OSError):
            ended_by, cause, why = never_started(error)
        else:
            ended_by, cause, why = "spawn_failed", ExitCause.NONE, str(error)
        self._forget(attempt_id)
        self._post_end(attempt_id, Exit(ended_by=EndedBy(ended_by), cause=cause, error=why), "")

    def _launch(self, held: HeldAttempt, launch: Launch) -> None:
        assert self._launcher is not None
        launch = replace(
            launch,
            log=held.log,
            exit_path=held.exit_path,
            lease_lock="",
            lease_seconds=0.0,
            lease_file=self._lease.path,
        )
        self._launcher.start(launch)

    def _environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return a worker's environment. This machine's values replace the server's values."""
        env = dict(given)
        for name, foreign in self._foreign.items():
            if name == "PATH":
                continue
            if env.get(name) == foreign:
                del env[name]
                if name in os.environ:
                    env[name] = os.environ[name]
        # Replace only the end of the search path, which has the server's directories. The path
        # begins with directories of the workspace and the project.
        path, foreign = env.get("PATH", ""), self._foreign.get("PATH", "")
        if foreign and path.endswith(foreign):
            env["PATH"] = path.removesuffix(foreign) + os.environ.get("PATH", os.defpath)
        env["ORCHESTRATOR_API_URL"] = f"http://127.0.0.1:{self._api_port}"
        env["ORCHESTRATOR_NODE"] = self._settings.name
        return env

    def _note_end(self, attempt_id: str, exit: Exit) -> None:
        held = self._held.get(attempt_id)
        if held is None:
            return
        held.has_ended = True
        ran = exit.cause not in RAN_NOTHING and not held.is_unwanted
        if ran and held.files is not None and self._files is not None:
            self._in_background(self._pack_files(held, held.files, exit))
        else:
            self._finish(held, exit)

    async def _pack_files(self, held: HeldAttempt, files: AttemptFiles, exit: Exit) -> None:
        """Pack an ended attempt's files into an archive. Call this before the end is reported."""
        assert self._files is not None
        ends = self._loop.time() + _FULL_DISK_SECONDS
        while held.returned is None:
            try:
                async with held.turn:
                    figures = await asyncio.to_thread(
                        self._files.pack, held.id, files, held.archive
                    )
                held.returned = figures
            except (OSError, OrchestratorError) as error:
                is_full = is_full_disk(as_full_disk(error, str(self._directory)))
                if is_full and self._loop.time() < ends and not held.is_unwanted:
                    # Other workers of this node may end, and free the space that the archive needs.
                    await asyncio.sleep(_AGAIN_SECONDS)
                else:
                    held.returned = FilesNotReturned(str(error))
        self._finish(held, exit)

    def _finish(self, held: HeldAttempt, exit: Exit) -> None:
        held.exit = exit
        if held.is_unwanted:
            self._forget(held.id)
            return
        self._grown[held.id] = None
        self._something.set()

    def _forget(self, attempt_id: str) -> None:
        self._held.forget(attempt_id)
        if self._files is not None:
            # The attempt may also have been stopped while its files arrived, before its start.
            self._files.forget(attempt_id)
            self._in_background(self._sweep())
        self._end_if_done()

    async def _sweep(self) -> None:
        assert self._files is not None
        await asyncio.to_thread(self._files.sweep)

    # Logs and ends

    def _files_grew(self) -> None:
        for held in self._held.grown():
            self._grown[held.id] = None
            self._something.set()

    async def _send_output(self, link: Link) -> None:
        try:
            while True:
                await self._something.wait()
                self._something.clear()
                for attempt_id in list(self._grown):
                    if self._on_way < WINDOW:
                        self._send_piece(link, attempt_id)
                await link.drained()
        except OSError:
            link.abort()

    def _send_piece(self, link: Link, attempt_id: str) -> None:
        """Send the next piece of an attempt's files, or the attempt's end if no piece remains."""
        held = self._held.get(attempt_id)
        if held is None or held.is_reported or held.is_unwanted:
            self._grown.pop(attempt_id, None)
            return
        # Read this before the files. If the attempt has ended by now, its files are complete.
        ended = held.exit
        for file in held.sent:
            data = held.next_piece(file)
            if data:
                link.post(OutputPiece(held.id, file, held.sent[file], data))
                held.sent[file] += len(data)
                self._on_way += len(data)
                self._something.set()
                return
        self._grown.pop(attempt_id, None)
        if ended is not None:
            held.is_reported = True
            self._post_end(held.id, ended, held.record(), held.returned)

    def _post_end(
        self,
        attempt_id: str,
        exit: Exit,
        record: str,
        files: ArchiveFigures | FilesNotReturned | None = None,
    ) -> None:
        self._post(EndReport(attempt_id, exit, record, files))


def _agent_report(found: Mapping[str, Any]) -> AgentReport:
    return AgentReport(found["name"], found["reason"], tuple(found["fix"]), found["login"])
