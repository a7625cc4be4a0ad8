"""A node of the cluster as the server sees it: its connection, its attempts, its latest reports.

``machine_of`` is the view of placement. ``state_of`` is the view of people.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import field

from orchestrator.core.dataclass import dataclass
from orchestrator.core.ports.read_models import NodeState, UnusableAgent
from orchestrator.core.scheduler.placement import Machine
from orchestrator.core.text.command_name import COMMAND
from orchestrator.launchers.cluster.link import Link, Window
from orchestrator.launchers.cluster.node_attempt import NodeAttempt
from orchestrator.launchers.cluster.registry import NodeEntry

#: Maximum number of a node's commits that the server remembers.
MOST_KNOWN = 64


@dataclass(slots=True)
class ConnectedNode:
    name: str
    slots: int = 0
    flights: dict[str, NodeAttempt] = field(default_factory=dict)
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
    #: True while the node sends late ends. No worker starts here during this time, because one of
    #: the late ends may already be its result.
    is_catching_up: bool = False
    #: Loop time after which none of the node's workers is alive, unless the node is connected.
    fenced_at: float = 0.0
    heard_at: float | None = None
    #: Loop time after which the connection is closed, unless a message arrives before.
    silent_at: float = 0.0
    #: True if the node sends few beats, because it has no workers.
    is_idle: bool = False
    #: True if the node does not share the server's file system.
    has_own_files: bool = False
    #: Commits of the project that the node has.
    known: tuple[str, ...] = ()
    #: The attempt whose files are being sent; empty: none. With them, the node gets further
    #: commits. The event is set at the end of the transfer.
    bringing: str = ""
    brought: asyncio.Event = field(default_factory=asyncio.Event)
    #: The unconfirmed bytes on the present connection.
    window: Window = field(default_factory=Window)
    address: str = ""
    version: str = ""
    skew: float = 0.0
    trouble: str = ""
    forgotten: int = 0

    @property
    def takes_workers(self) -> bool:
        connected = self.link is not None and self.agents is not None
        stops = self.is_drained or self.is_leaving or self.is_catching_up
        return connected and not stops

    @property
    def running(self) -> int:
        return sum(not each.is_waiting for each in self.flights.values())

    def end_bringing(self, attempt_id: str, commits: Sequence[str] = ()) -> None:
        """Record that the transfer of an attempt's files has ended. Idempotent.

        ``commits``: commits that the node now has.
        """
        self.known = tuple(dict.fromkeys((*self.known, *commits)))[-MOST_KNOWN:]
        if self.bringing == attempt_id:
            self.bringing = ""
            self.brought.set()


def machine_of(node: ConnectedNode, entry: NodeEntry, least_memory: int) -> Machine:
    """Return a node as placement sees it. ``least_memory``: bytes that no worker may use."""
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
    """Return a node as people see it.

    ``entry``: None for a removed node. ``fenced_after``: seconds from the latest answer to a node
    until its workers have ended.
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
        waiting=len(node.flights) - node.running,
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
    if node.link is None and node.flights:
        seconds = max(0.0, node.fenced_at - now)
        workers = f"{len(node.flights)} workers" if len(node.flights) != 1 else "1 worker"
        if seconds > fenced_after:
            return (
                f"{workers} may still run, because the node does not know this server's "
                f"address; if the machine is switched off: {COMMAND} nodes forget {node.name}"
            )
        return f"{workers} start again elsewhere in {seconds:.0f} s"
    if not node.trouble and entry is not None and entry.is_released:
        return "the node's Dask worker has ended, or is no longer needed"
    return node.trouble


def _agents_of(node: ConnectedNode, entry: NodeEntry | None) -> frozenset[str]:
    """Return the agents in the node's latest report, which an earlier server may have received."""
    if node.agents is not None:
        return node.agents
    return frozenset(entry.agents) if entry else frozenset()
