"""A node of the cluster, as the server sees it, and its state for callers."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import field

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.machines import Machine
from orchestrator.core.ports.agent_availability import UnusableAgent
from orchestrator.core.ports.read_models import NodeState
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import plural
from orchestrator.launchers.cluster.connection.link import Link, Window
from orchestrator.launchers.cluster.connection.node_registry import NodeEntry
from orchestrator.launchers.cluster.node_attempt import NodeAttempt

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
    #: During this time, no worker starts on the node, because one of the late results may belong to
    #: this worker.
    is_catching_up: bool = False
    #: Time of the event loop at which all workers of the node have ended, if the node stays
    #: disconnected.
    fenced_at: float = 0.0
    heard_at: float | None = None
    #: Time of the event loop at which the connection is closed if no message arrives.
    silent_at: float = 0.0
    #: True if the node sends few heartbeats, because it has no workers.
    is_idle: bool = False
    #: True if the node does not share the server's file system.
    has_own_files: bool = False
    #: Commits of the project that the node has.
    known_commits: tuple[str, ...] = ()
    #: The attempt whose files are being sent to the node, with commits that the node lacks; empty:
    #: none.
    transferring: str = ""
    #: Set when the transfer of the attempt ``transferring`` has ended.
    transfer_ended: asyncio.Event = field(default_factory=asyncio.Event)
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

    def end_transfer(self, attempt_id: str, commits: Sequence[str] = ()) -> None:
        """Record that the server sends no more files of an attempt to the node. Idempotent.

        ``commits``: commits that the node now has.
        """
        self.known_commits = tuple(dict.fromkeys((*self.known_commits, *commits)))[-MOST_KNOWN:]
        if self.transferring == attempt_id:
            self.transferring = ""
            self.transfer_ended.set()


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
