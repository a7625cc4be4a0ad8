"""The nodes of the server: their entries in the registry, and their machines."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.model.machines import Machine
from orchestrator.core.ports.read_models import NodeState
from orchestrator.launchers.cluster.connected_node import ConnectedNode, machine_of, state_of
from orchestrator.launchers.cluster.connection.messages import AddressesChanged
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.node_registry import NodeEntry, NodeRegistry
from orchestrator.launchers.cluster.lost_nodes import ExpectedLateResults

logger = logging.getLogger(__name__)


class NodeTable:
    """All nodes of the registry, and removed nodes that still have attempts.

    Only the event loop's thread may call, but any thread may read ``machines`` and call ``states``.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        terms: NodeLeaseTerms,
        registry: NodeRegistry,
        least_memory_bytes: int,
        late: ExpectedLateResults,
        machines_changed: Callable[[], None],
    ) -> None:
        """``least_memory_bytes``: bytes of each node's memory that must stay unused.

        ``machines_changed`` is called when more or fewer workers can start on a node.
        """
        self._loop, self._terms, self._registry = loop, terms, registry
        self._least_memory, self._late = least_memory_bytes, late
        self._machines_changed = machines_changed
        self._nodes: dict[str, ConnectedNode] = {}
        #: Nodes with reports that are not yet written to the registry.
        self._unsaved: set[str] = set()
        self._stamp: tuple[int, int] | None = None
        #: The machines of the nodes, by name of the node.
        self._machines: dict[str, Machine] = {}
        self.entries: Mapping[str, NodeEntry] = {}
        #: The addresses at which nodes may reach a server.
        self.addresses: Sequence[str] = ()

    def __iter__(self) -> Iterator[ConnectedNode]:
        return iter(self._nodes.values())

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def __getitem__(self, name: str) -> ConnectedNode:
        """Return a node. Add the node if it is unknown."""
        return self._nodes.setdefault(name, ConnectedNode(name))

    # The registry

    def store_later(self, node: ConnectedNode) -> None:
        """Write the node's agents and addresses to the registry at the next ``check``."""
        self._unsaved.add(node.name)

    def check(self) -> None:
        """Read the registry if it has changed, and write new reports of nodes to it."""
        if self._registry.stamp != self._stamp:
            self.read_registry()
        self._store_reports()

    def _store_reports(self) -> None:
        reported = self._unsaved & self.entries.keys()
        self._unsaved -= reported
        changes: dict[str, Mapping[str, Sequence[str]]] = {}
        for name in reported:
            node, entry = self._nodes[name], self.entries[name]
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
        if addresses != self.addresses:
            self.addresses = addresses
            for node in self._nodes.values():
                if node.link is not None:
                    node.link.post(AddressesChanged(tuple(addresses)))
        first, self.entries = not self.entries, entries
        for name in entries:
            self._nodes.setdefault(name, ConnectedNode(name))
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
            self.update_machine(node)

    # Machines and states

    @property
    def machines(self) -> Sequence[Machine]:
        return tuple(self._machines.copy().values())

    def update_machine(self, node: ConnectedNode) -> None:
        """Update the machine of a node whose fields have changed."""
        # This is called for each heartbeat, so an unchanged node must cost almost nothing.
        former = self._machines.get(node.name)
        entry = self.entries.get(node.name)
        machine = None if entry is None else machine_of(node, entry, self._least_memory)
        if machine == former:
            return
        if machine is None:
            del self._machines[node.name]
        else:
            self._machines[node.name] = machine
        if _capacity(machine) != _capacity(former):
            self._machines_changed()

    def states(self) -> list[NodeState]:
        """Return the states of all nodes, sorted by name.

        Removed nodes with workers are included.
        """
        nodes = sorted(self._nodes.copy().values(), key=lambda node: node.name)
        now, fenced_after = self._loop.time(), self._terms.fenced_after
        return [
            state_of(each, self.entries.get(each.name), now, fenced_after)
            for each in nodes
            if each.name in self.entries or each.attempts
        ]


def _capacity(machine: Machine | None) -> tuple[int, bool] | None:
    """Return a machine's slots, and True if it accepts workers; None if ``machine`` is None."""
    return None if machine is None else (machine.slots, machine.takes_workers)
