"""The launcher for several machines.

The local launcher starts the attempts on the server's machine. Nodes start all other attempts.
"""

import asyncio
import logging
import os
import secrets
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.core.errors import ConfigError, NotFound, Unavailable
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.machines import HERE, Machine
from orchestrator.core.ports.launcher import Launch, LauncherEvents
from orchestrator.core.ports.read_models import NodeState
from orchestrator.core.ports.worktree_transfer import FileChange, NodeWorktree, ServerWorktrees
from orchestrator.core.text.command_name import COMMAND
from orchestrator.launchers.cluster.connection.link import is_filled, tcp_socket, tls
from orchestrator.launchers.cluster.connection.messages import RequestedContainment, Welcome
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.node_registry import NodeRegistry
from orchestrator.launchers.cluster.connection.tunnel import Target
from orchestrator.launchers.cluster.file_transfer.server_files import ServerFiles
from orchestrator.launchers.cluster.node_links import NodeLinks
from orchestrator.launchers.exit_record import exit_record
from orchestrator.launchers.local.local_launcher import LocalLauncher
from orchestrator.security.allowed_environment import allowed_environment

if TYPE_CHECKING:
    from orchestrator.launchers.cluster.dask.dask_nodes import DaskNodes

logger = logging.getLogger(__name__)

#: Seconds for which ``open`` and ``close`` wait for the thread of the event loop.
_LOOP_SECONDS = 30.0
#: Maximum seconds for which ``close`` waits for stopped workers, after their grace time.
_CLOSE_SECONDS = 15.0
_CLOSE_CHECK_SECONDS = 0.02
#: Seconds between two checks whether the server stops, while a thread waits for a node.
_CHECK_SECONDS = 1.0
#: Seconds between two searches for the agents of this machine.
_AGENTS_SECONDS = 3.0
#: Name of the file by which a node checks that it sees the server's workspace.
MARK_NAME = ".cluster"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterSettings:
    #: Host and port to listen on.
    host: str
    port: int
    #: Directory with the certificates and the list of nodes.
    directory: Path
    slots_here: int
    labels_here: Mapping[str, str] = field(default_factory=dict)
    terms: NodeLeaseTerms
    workspace: Path
    #: Paths outside the workspace that a node must see, too.
    shared: Sequence[Path] = ()
    #: The server's paths that a node with its own file system replaces, by these names:
    #: ``project``, ``home`` (the product's folder), and ``python``.
    places: Mapping[str, Path] = field(default_factory=dict)
    #: Memory of each node that must stay unused, in bytes.
    least_memory_bytes: int
    #: Address of a Dask scheduler, on whose Dask workers nodes are started; empty: no Dask.
    scheduler: str = ""
    #: Minimum and maximum number of Dask workers; None: the server does not change their number.
    adapt: tuple[int, int] | None = None


_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class _NodeWorktree:
    """A worker's worktree on a node; implements ``core.ports.worktree_transfer.NodeWorktree``."""

    fetch: Callable[[], bool]
    change_files: Callable[[FileChange], str]


#: ``demand(machine, most)`` returns how many waiting workers could start if there were more
#: machines like ``machine``. The result is at most ``most``.
Demand = Callable[[Machine, int], int]


class ClusterLauncher:
    """The launcher for several machines; implements ``core.ports.launcher.Launcher``.

    A separate thread runs the event loop of the connections to nodes (``NodeLinks``). No node is
    accepted before the first call of ``listen``, because before this call, the server does not know
    which attempts may still run on nodes.
    """

    def __init__(
        self,
        local: LocalLauncher,
        settings: ClusterSettings,
        agents: Sequence[Mapping[str, Any]],
        unavailable_here: Callable[[], Mapping[str, str]],
        api: Target,
        worktrees: ServerWorktrees | None = None,
        demand: Demand = lambda machine, most: 0,
    ) -> None:
        """``agents``: descriptions of the agents. Nodes use them to find their installed agents.

        ``unavailable_here`` returns the agents that cannot work on this machine, each with the
        reason and the fix. ``api`` returns the address of the API. ``worktrees`` copies worktrees
        to nodes with their own file systems. ``demand(machine, most)`` returns how many waiting
        workers could start if there were more machines like ``machine``. The result is at most
        ``most``.
        """
        self._transfer = ServerFiles(worktrees)
        self._local, self._settings = local, settings
        self._registry = NodeRegistry(settings.directory)
        self._agents, self._api, self._demand = agents, api, demand
        self._find_unavailable, self._lacks_here = unavailable_here, dict[str, str]()
        self._events: LauncherEvents | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nodes", daemon=True)
        #: Attempts on nodes, until their ends are reported.
        self._remote: set[str] = set()
        self._longest_grace = 0.0
        #: Events that the listening thread has not reported yet.
        self._unreported_events: deque[Callable[[], None]] = deque()
        self._listening: socket.socket | None = None
        self._serves = False
        self._is_open = False
        self._links: NodeLinks | None = None
        self._welcome: Welcome | None = None
        self._dask: DaskNodes | None = None
        self._agent_search: asyncio.Task[None] | None = None

    @property
    def containment(self) -> str:
        return self._local.containment

    @property
    def limits_notice(self) -> str:
        return self._local.limits_notice

    @property
    def adopted(self) -> int:
        return self._local.adopted

    @property
    def machines(self) -> Sequence[Machine]:
        """The machines on which workers may start. The server's own machine is first."""
        own = self._settings
        here = Machine(
            name=HERE, slots=own.slots_here, labels=own.labels_here, lacks=self._lacks_here
        )
        return (here, *self._links.nodes.machines) if self._links else (here,)

    def _machine_named(self, name: str) -> Machine | None:
        return next((each for each in self.machines if each.name == name), None)

    @contextmanager
    def worktree(self, worker: str, *, waits: bool) -> Iterator[NodeWorktree | None]:
        """Yield access to a running worker's worktree on a node with its own file system.

        The worker's attempt cannot end before the ``with`` block ends. Yield None if the worker's
        files are on the server's machine. ``worker``: ``<root job>/<worker>``.

        If the attempt is ending, wait for its end. If the node is disconnected, wait until the node
        is connected or lost. If ``waits`` is False, raise Unavailable instead of waiting. Any
        thread may call, except the supervisor's thread.
        """
        worktrees = self._links.attempts.worktrees if self._links is not None else None
        attempt = self._in_loop(worktrees.hold(worker, waits=waits)) if worktrees else None
        if worktrees is None or attempt is None:
            yield None
            return
        try:
            yield _NodeWorktree(
                lambda: self._in_loop(worktrees.fetch(attempt, waits=waits)),
                lambda change: self._in_loop(worktrees.change_files(attempt, change)),
            )
        finally:
            with suppress(RuntimeError):  # The loop is already closed.
                self._loop.call_soon_threadsafe(worktrees.release, attempt)

    def copy_to_node(self, worker: str, path: str) -> None:
        """Copy a small file of a running worker to its node, if the node has its own file system.

        ``path`` must be in a directory that the node received before the attempt's start. The node
        gets the file again each time it reconnects. Therefore only pass files that may be copied
        several times. Does not block. Raise OSError if the file cannot be read.
        """
        self._call_soon("copy_to_node", worker, path, Path(path).read_bytes())

    def _in_loop(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Run a coroutine in the event loop's thread, and return its result.

        Raise Unavailable while the server stops.
        """
        stopping = "the server is stopping; retry later"
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise Unavailable(stopping) from error
        while True:
            try:
                return future.result(_CHECK_SECONDS)
            except CancelledError as error:
                raise Unavailable(stopping) from error
            except TimeoutError:
                if not future.done() and not self._is_open:
                    future.cancel()
                    raise Unavailable(stopping) from None

    def nodes(self) -> Sequence[NodeState]:
        return self._links.nodes.states() if self._links and self._is_open else ()

    def drain(self, name: str, drained: bool) -> NodeState:
        """Set whether workers may start on a node. Return the node's new state. Idempotent.

        ``drained``: True if no more workers may start. The change is stored. If no node has the
        name, raise NotFound with the known names. Raise Unavailable while the server starts or
        stops.
        """
        links = self._links
        if links is None or not self._serves or not self._is_open:
            raise Unavailable("the server is starting or stopping; retry later")
        self._registry.change(name, is_drained=drained)

        async def state() -> NodeState:
            links.nodes.read_registry()
            found = [each for each in links.nodes.states() if each.name == name]
            if not found:
                raise NotFound(f"node {name!r} was removed; list the nodes: {COMMAND} nodes")
            return found[0]

        return asyncio.run_coroutine_threadsafe(state(), self._loop).result(_LOOP_SECONDS)

    def open(self, events: LauncherEvents) -> None:
        """Start the event loop's thread and the local launcher.

        Raise ConfigError if the certificates or the listening address are unusable. Raise
        ContainmentUnavailable if the requested containment does not work. Raise OSError if the
        workspace is not writable.
        """
        settings = self._settings
        if settings.scheduler:
            from orchestrator.launchers.cluster.dask.dask_nodes import DaskNodes

            scaling = None
            if settings.adapt is not None:
                from orchestrator.launchers.cluster.dask.dask_scaling import DaskScaling

                scaling = DaskScaling(*settings.adapt, self._demand, self._machine_named)
            self._dask = DaskNodes(settings.scheduler, settings.directory, self.nodes, scaling)
        context, self._listening = self._tls_context(), self._bind()
        self._links = NodeLinks(
            loop=self._loop,
            terms=settings.terms,
            registry=self._registry,
            context=context,
            api=self._api,
            least_memory_bytes=settings.least_memory_bytes,
            events=self,
            transfer=self._transfer,
        )
        self._welcome = self._make_welcome()
        self._lacks_here = dict(self._find_unavailable())
        self._events = events
        self._local.open(events)
        # Read the list of nodes now. A job may be submitted before nodes are accepted, and may need
        # an agent that only a node has.
        self._links.nodes.read_registry()
        self._thread.start()
        self._is_open = True

    def _tls_context(self) -> ssl.SSLContext:
        directory = self._settings.directory
        try:
            return tls(directory, "server", is_server=True)
        except OSError as error:
            raise ConfigError(
                f"cluster.listen: no usable certificates in {directory} ({error}); "
                f"create them: {COMMAND} nodes init --address HOST:PORT"
            ) from error

    def _bind(self) -> socket.socket:
        # Connections are refused until ``_serve_nodes`` is called.
        host, port = self._settings.host, self._settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = tcp_socket(family)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
        except OSError as error:
            found.close()
            raise ConfigError(
                f"cluster.listen: cannot listen on {host}:{port}: {error.strerror or error}; "
                "set another address or port"
            ) from error
        return found

    def _make_welcome(self) -> Welcome:
        """Return the welcome message for a node without attempts."""
        workspace, mark = self._settings.workspace, secrets.token_hex(16)
        path = workspace / MARK_NAME
        with suppress(FileNotFoundError):
            mark = path.read_text(encoding="ascii")
        path.write_text(mark, encoding="ascii")
        containment = self._local.containment_settings
        requested = RequestedContainment(
            mode=containment.mode,
            strict=containment.strict,
            limits=containment.limits,
            sandbox=replace(containment.sandbox, needed=(), program=""),
        )
        return Welcome(
            terms=self._settings.terms,
            files={},
            late={},
            addresses=(),
            containment=requested,
            agents=tuple(self._agents),
            environment=allowed_environment(os.environ),
            workspace=str(workspace),
            # A node rejects empty directories, because a missing mount looks like an empty
            # directory.
            shared=tuple(str(path) for path in self._settings.shared if is_filled(path)),
            mark_name=MARK_NAME,
            mark=mark,
            places={
                name: tuple(dict.fromkeys((str(path), os.path.realpath(path))))
                for name, path in self._places.items()
            },
        )

    @property
    def _places(self) -> Mapping[str, Path]:
        return {"workspace": self._settings.workspace, **self._settings.places}

    def start(self, launch: Launch) -> None:
        if launch.node == HERE:
            if self._links is not None and self._links.expects_late_results:
                self._call_soon("replace", launch.log)
            self._local.start(launch)
            return
        self._longest_grace = max(self._longest_grace, launch.grace)
        self._remote.add(launch.attempt_id)
        self._call_soon("start", launch)

    def preload(self, launch: Launch) -> bool:
        # The server selects the machine for each start.
        return False

    def withdraw_launch(self, attempt_id: str) -> None:
        # Nothing is preloaded in a cluster.
        ...

    def stop(
        self,
        attempt_id: str,
        ended_by: str,
        stopped_by: str,
        cause: ExitCause = ExitCause.NONE,
    ) -> None:
        if attempt_id in self._remote:
            self._call_soon("stop", attempt_id, ended_by, stopped_by, cause)
        else:
            self._local.stop(attempt_id, ended_by, stopped_by, cause)

    def waiting(self, attempt_id: str, waiting: bool) -> None:
        if attempt_id in self._remote:
            self._call_soon("waiting", attempt_id, waiting)
        else:
            self._local.waiting(attempt_id, waiting)

    def adopt(
        self, attempt_id: str, exit_path: str, digest: str = "", *, node: str = "", log: str = ""
    ) -> bool:
        if node == HERE:
            return self._local.adopt(attempt_id, exit_path, digest)
        if exit_record.read_exit(exit_path, digest) is not None:
            return False
        self._remote.add(attempt_id)
        self._call_soon("expect", attempt_id, exit_path, digest, node, log)
        return True

    def expect_late(
        self,
        attempt_id: str,
        exit_path: str,
        digest: str,
        *,
        node: str,
        log: str,
        is_replaced: bool,
    ) -> None:
        self._call_soon("expect_late", attempt_id, exit_path, digest, node, log, is_replaced)

    def determine_end(self, attempt_id: str, exit_path: str, digest: str = "") -> Exit:
        return self._local.determine_end(attempt_id, exit_path, digest)

    def _call_soon(self, method: str, *arguments: object) -> None:
        """Call a method of ``NodeAttempts`` in the event loop's thread, without waiting."""
        attempts = self._links.attempts if self._links is not None else None
        with suppress(RuntimeError):  # The loop is already closed.
            self._loop.call_soon_threadsafe(partial(getattr(attempts, method), *arguments))

    def wake(self) -> None:
        self._local.wake()

    def listen(self, seconds: float | None) -> bool:
        if not self._is_open:
            return False
        self._serve_nodes()
        is_open = self._local.listen(0.0 if self._unreported_events else seconds)
        self._report_events()
        return is_open

    def gather(self, seconds: float) -> None:
        self._local.gather(seconds)

    def _serve_nodes(self) -> None:
        if not self._serves and self._links and self._welcome:
            self._serves = True
            serving = self._links.serve(self._listening, self._welcome)
            asyncio.run_coroutine_threadsafe(serving, self._loop).result(_LOOP_SECONDS)
            self._loop.call_soon_threadsafe(self._search_agents_here)
            if self._dask is not None:
                self._dask.open()

    def _search_agents_here(self) -> None:
        # Search in a thread, because a search may wait for a local service.
        def search() -> None:
            found = dict(self._find_unavailable())
            if found != self._lacks_here:
                self._lacks_here = found
                self.machines_changed()

        async def repeat() -> None:
            while True:
                await asyncio.sleep(_AGENTS_SECONDS)
                try:
                    await self._loop.run_in_executor(None, search)
                except Exception:
                    logger.exception(
                        "cannot search for the agents of this machine; retrying",
                        extra={"action": "agents_here"},
                    )

        self._agent_search = self._loop.create_task(repeat())

    def _report_events(self) -> None:
        while self._unreported_events:
            try:
                self._unreported_events.popleft()()
            except Exception:
                logger.exception(
                    "unexpected error in the launcher", extra={"action": "launcher_event"}
                )

    def close(self, stop: bool) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._dask is not None:
            self._dask.close()
        links = self._links
        if stop and links is not None:
            self._call_soon("stop_all", EndedBy.CANCEL, "shutdown", ExitCause.SHUTDOWN)
        self._local.close(stop)
        if stop and links is not None:
            give_up_at = time.monotonic() + _CLOSE_SECONDS + self._longest_grace
            while self._remote and time.monotonic() < give_up_at:
                time.sleep(_CLOSE_CHECK_SECONDS)
                self._report_events()
        if links is not None:
            closing = asyncio.run_coroutine_threadsafe(links.close(), self._loop)
            with suppress(TimeoutError):
                closing.result(_LOOP_SECONDS)
        self._loop.call_soon_threadsafe(self._stop_loop)
        self._thread.join(_LOOP_SECONDS)
        self._loop.close()
        if self._listening is not None:
            self._listening.close()
        self._report_events()

    def _stop_loop(self) -> None:
        if self._agent_search is not None:
            self._agent_search.cancel()
        # Stop the loop only after the cancellation has reached the task.
        self._loop.call_soon(self._loop.stop)

    # Events of the links, in the event loop's thread.

    def started(self, attempt_id: str, pid: int) -> None:
        if self._events is not None:
            self._queue_event(partial(self._events.started, attempt_id, pid))

    def ended(self, attempt_id: str, exit: Exit) -> None:
        self._queue_event(partial(self._report_end, attempt_id, exit))

    def machines_changed(self) -> None:
        self._local.wake()

    def _queue_event(self, report: Callable[[], None]) -> None:
        self._unreported_events.append(report)
        # Wake the listening thread only for the first report, because the thread then handles all
        # reports.
        if len(self._unreported_events) == 1:
            self._local.wake()

    def _report_end(self, attempt_id: str, exit: Exit) -> None:
        self._remote.discard(attempt_id)
        if self._events is not None:
            self._events.ended(attempt_id, exit)
