"""Assembles the parts of a server with several machines.

Imported only if ``cluster.listen`` is set.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.agents.agent_registry import AgentRegistry
from orchestrator.agents.availability.node_availability import Description
from orchestrator.config import Settings
from orchestrator.core.ports.worktree_transfer import ServerWorktrees
from orchestrator.launchers.cluster.cluster_launcher import ClusterLauncher, ClusterSettings, Demand
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.server_addresses import host_and_port
from orchestrator.launchers.local.local_launcher import LocalLauncher


def cluster_launcher(
    local: LocalLauncher,
    settings: Settings,
    workspace: Path,
    places: Mapping[str, Path],
    agents: AgentRegistry,
    described: Sequence[Description],
    api_url: Callable[[], str],
    worktrees: ServerWorktrees,
    demand: Demand,
) -> ClusterLauncher:
    """Return the launcher that runs workers on the machines of the cluster.

    ``places``: the paths of ``home``, ``project``, and ``python``, which workers on nodes use.
    ``described``: descriptions of agents, with which a node finds the agents' programs.
    ``demand(machine, most)``: returns how many waiting workers could start if there were more
    machines like ``machine``. The result is at most ``most``.

    Raise ConfigError if ``cluster.listen`` is not an address.
    """
    cluster, workers = settings.cluster, settings.workers
    host, port = host_and_port(cluster.listen or "")
    slots = int(workers.max_workers) if cluster.slots_here is None else cluster.slots_here
    cluster_settings = ClusterSettings(
        host=host,
        port=port,
        directory=cluster.certificates,
        slots_here=slots,
        labels_here=cluster.labels_here,
        terms=NodeLeaseTerms(
            lease=cluster.lease,
            absence=workers.orphan_timeout,
            refusal_is_absence=cluster.refusal_is_absence,
        ),
        workspace=workspace,
        shared=tuple(places.values()),
        places=places,
        least_memory_bytes=workers.min_available_memory_bytes,
        scheduler=cluster.scheduler or "",
        adapt=(adapt.minimum, adapt.maximum) if (adapt := cluster.adapt) else None,
    )

    def unavailable_here() -> Mapping[str, str]:
        availabilities = agents.available()
        return {each.name: each.hindrance_here for each in availabilities if not each.works_here}

    def api() -> tuple[str, int]:
        url = urlsplit(api_url())
        return url.hostname or "127.0.0.1", url.port or 80

    return ClusterLauncher(
        local, cluster_settings, described, unavailable_here, api, worktrees, demand
    )
