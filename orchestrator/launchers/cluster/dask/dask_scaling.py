"""Computes how many Dask workers a Dask cluster should have.

A *Dask worker* is a process of Dask on one machine. A *worker* is a run of an agent. The more
workers wait for a machine, the more Dask workers are requested.

Only the program that created a Dask cluster can start and end its machines. After
``cluster.adapt()``, that program asks Dask's scheduler how many Dask workers there should be, and
which may be closed. ``SchedulerScaling`` runs in the scheduler, and answers with the figures that
this server has sent. Without recent figures, all Dask workers stay.
"""

import asyncio
import logging
import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import cloudpickle
from distributed import SchedulerPlugin

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.model.machines import Machine
from orchestrator.core.ports.read_models import NodeState
from orchestrator.launchers.cluster.connection.node_registry import NodeRegistry

logger = logging.getLogger(__name__)

#: Seconds between two messages with figures to the scheduler, and seconds until figures expire.
_FIGURES_SECONDS, _VALID_SECONDS = 1.0, 15.0
#: Nodes are released only if there have been more nodes than needed for this many seconds.
_SURPLUS_SECONDS = 3.0
#: The machine of a released node may be closed after this many seconds without a worker. A worker
#: that was assigned to the node before the release starts within this time.
_IDLE_SECONDS = 2.0
#: If no program asks the scheduler for the number of Dask workers for this many seconds, a warning
#: is logged.
_SILENT_SECONDS = 30.0
#: States of nodes that get no workers.
_BLOCKED = ("rejected", "unreachable")


class SchedulerScaling(SchedulerPlugin):
    """Runs in Dask's scheduler, and answers ``cluster.adapt()``.

    The answers are orchestrator's figures: the number of Dask workers that it needs, and the Dask
    workers that may be closed.

    The object is sent to the scheduler with its code, because this product is not installed there.
    Therefore each method uses only the standard library, and contains its own imports.
    """

    name = "orchestrator-scaling"

    def __init__(self, seconds: float) -> None:
        """``seconds``: how long the server's figures are valid."""
        self._seconds = seconds
        self._until = 0.0
        self._wanted = 0
        self._closable: frozenset[str] = frozenset()
        #: Time of the latest call of ``adaptive_target`` (monotonic); None: it was never called.
        self._asked_at: float | None = None

    async def start(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        # The original method computes the Dask workers for Dask's own tasks. Get this method from
        # the class, because an earlier connection may have replaced the method of the object.
        self._for_tasks = type(scheduler).adaptive_target.__get__(scheduler)
        scheduler.adaptive_target = self.adaptive_target
        scheduler.handlers["adaptive_target"] = self.adaptive_target
        scheduler.handlers["orchestrator_workers"] = self.store_figures

    def store_figures(self, wanted: int, closable: Sequence[str]) -> float | None:
        """Store the wanted number of Dask workers.

        ``closable``: the addresses of the Dask workers that may be closed. Return the seconds since
        a program last asked for the wanted number; None if no program has asked.
        """
        import time

        now = time.monotonic()
        self._until = now + self._seconds
        self._wanted, self._closable = wanted, frozenset(closable)
        return None if self._asked_at is None else now - self._asked_at

    @property
    def _is_fresh(self) -> bool:
        import time

        return time.monotonic() < self._until

    def adaptive_target(self, target_duration: Any = None) -> int:
        import time

        self._asked_at = time.monotonic()
        workers = self._scheduler.workers
        if not self._is_fresh:
            return len(workers)
        staying = len(workers.keys() - self._closable)
        return max(self._wanted, staying, int(self._for_tasks(target_duration)))

    def valid_workers_downscaling(self, scheduler: Any, workers: list[Any]) -> list[Any]:
        if not self._is_fresh:
            return []
        return [each for each in workers if each.address in self._closable]


class DaskScaling:
    """Computes the wanted number of Dask workers, and releases nodes that are not needed.

    A released node gets no more workers, so that Dask can close its machine.
    """

    def __init__(
        self,
        minimum: int,
        maximum: int,
        demand: Callable[[Machine, int], int],
        machine: Callable[[str], Machine | None],
    ) -> None:
        """``minimum`` and ``maximum`` limit the number of Dask workers.

        ``machine`` returns the machine of the node with the given name; None: unknown.
        ``demand(machine, most)`` returns how many waiting workers could start if there were more
        machines like ``machine``. The result is at most ``most``.
        """
        self._minimum, self._maximum = minimum, maximum
        self._demand, self._machine = demand, machine
        #: The machine of a node of Dask, as an example of the machines that Dask would add. Before
        #: the first node: a machine with all agents.
        self._example_machine = Machine(name="dask", slots=1)
        #: Average number of slots per Dask worker; None: there was no Dask worker yet.
        self._slots: float | None = None
        self._waiting = 0
        self._next_at = 0.0
        self._surplus_since: float | None = None
        #: Time since which each released node has had no worker.
        self._idle_since: dict[str, float] = {}
        self._is_installed = False
        #: Time since which Dask workers are missing, but no program asks for the wanted number.
        #: None if no Dask worker is missing, or if a program asks.
        self._short_since: float | None = None
        self._is_warned = False

    async def install(self, client: Any) -> None:
        """Send ``SchedulerScaling`` to the scheduler. Idempotent.

        If the scheduler rejects the object, log a warning. The number of Dask workers then stays
        unchanged.
        """
        self._is_installed = False
        own = sys.modules[__name__]
        cloudpickle.register_pickle_by_value(own)
        try:
            plugin = cloudpickle.dumps(SchedulerScaling(_VALID_SECONDS))
            await client.scheduler.register_scheduler_plugin(
                plugin=plugin, name=SchedulerScaling.name, idempotent=False
            )
        except Exception as error:
            logger.warning(
                "the number of Dask workers stays unchanged, because Dask's scheduler rejects the "
                "scaling plugin: %s",
                error,
            )
            return
        finally:
            cloudpickle.unregister_pickle_by_value(own)
        self._is_installed = True

    async def scale(
        self,
        client: Any,
        registry: NodeRegistry,
        states: Sequence[NodeState],
        nodes: Mapping[str, str],
        workers: Mapping[str, Any],
    ) -> None:
        """Send new figures to Dask's scheduler. Release nodes, or use released nodes again.

        Call this about once a second, because the scheduler ignores figures older than 15 s.
        ``nodes``: the name of the node on each Dask worker. ``workers``: Dask's data about each
        Dask worker. The keys of both mappings are the addresses of Dask workers.
        """
        now = asyncio.get_running_loop().time()
        if not self._is_installed or now < self._next_at:
            return
        self._next_at = now + _FIGURES_SECONDS
        by_name = {each.name: each for each in states}
        found = {name: by_name[name] for name in nodes.values() if name in by_name}
        threads = [int(each["nthreads"]) for each in workers.values()]
        if threads:
            self._slots = max(1.0, sum(threads) / len(threads))
        waiting = await self._long_waiting(self._slots or 1.0)
        running = sum(each.running for each in found.values())
        # Request only one Dask worker at first, because its number of slots is still unknown.
        needed = math.ceil((running + waiting) / self._slots) if self._slots else min(1, waiting)
        # Request one more Dask worker for each node that gets no workers, because the wanted number
        # includes the Dask worker of this node.
        blocked = sum(each.drained or each.state in _BLOCKED for each in found.values())
        wanted = min(max(needed + blocked, self._minimum), self._maximum)
        self._balance_released(registry, found, len(workers) - wanted, now)
        idle = self._idle_nodes(registry, found, now)
        closable = [address for address, name in nodes.items() if name in idle]
        asked = await client.scheduler.orchestrator_workers(wanted=wanted, closable=closable)
        self.warn_if_nothing_asks(asked, wanted > len(workers), now)

    def warn_if_nothing_asks(self, asked: float | None, is_short: bool, now: float) -> None:
        if not is_short or (asked is not None and asked < _SILENT_SECONDS):
            self._short_since, self._is_warned = None, False
            return
        self._short_since = now if self._short_since is None else self._short_since
        if now >= self._short_since + _SILENT_SECONDS and not self._is_warned:
            self._is_warned = True
            logger.warning(
                "Dask starts no more Dask workers, because no program scales the cluster; call "
                "cluster.adapt() in the program that created the cluster, and keep it running",
                extra={"action": "dask_not_adapted"},
            )

    async def _long_waiting(self, slots: float) -> int:
        """Return how many workers waited for a machine at the previous call, and still wait.

        ``slots``: how many workers one machine can run. The result is at most the number of workers
        that the largest allowed Dask cluster can run.
        """
        most = math.ceil(self._maximum * slots)
        loop = asyncio.get_running_loop()
        former = self._waiting
        with suppress(OrchestratorError):  # The server is starting or stopping.
            self._waiting = await loop.run_in_executor(
                None, self._demand, self._example_machine, most
            )
        return min(former, self._waiting)

    def _balance_released(
        self, registry: NodeRegistry, found: Mapping[str, NodeState], surplus: int, now: float
    ) -> None:
        """Release nodes, or use released nodes again, until ``surplus`` nodes are released.

        Nodes with few workers are released first. A node is released only if there have been too
        many nodes for ``_SURPLUS_SECONDS``. ``found``: the states of nodes, by name.
        """
        entries = registry.entries()
        up = [each for each in found.values() if each.name in entries and each.state == "up"]
        if up and (machine := self._machine(up[0].name)) is not None:
            self._example_machine = machine
        if surplus <= 0:
            self._surplus_since = None
        elif self._surplus_since is None:
            self._surplus_since = now
        is_lasting = self._surplus_since is not None and (
            now >= self._surplus_since + _SURPLUS_SECONDS
        )
        released = [name for name in found if name in entries and entries[name].is_released]
        load = {name: each.running + each.waiting for name, each in found.items()}
        for name in sorted(released, key=lambda name: -load[name])[max(0, surplus) :]:
            registry.change(name, is_released=False)
        candidates = sorted((each.name for each in up), key=lambda name: load[name])
        for name in candidates[: max(0, surplus - len(released))] if is_lasting else ():
            logger.info(
                "node %s: no longer needed; Dask may close its Dask worker when the node is idle",
                name,
            )
            registry.change(name, is_released=True)

    def _idle_nodes(
        self, registry: NodeRegistry, found: Mapping[str, NodeState], now: float
    ) -> Collection[str]:
        entries = registry.entries()
        for name, each in found.items():
            released = name in entries and entries[name].is_released
            if released and each.state != "up" and not each.running and not each.waiting:
                self._idle_since.setdefault(name, now)
            else:
                self._idle_since.pop(name, None)
        for name in self._idle_since.keys() - found.keys():
            del self._idle_since[name]
        return {name for name, at in self._idle_since.items() if now >= at + _IDLE_SECONDS}
