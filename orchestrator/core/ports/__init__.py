"""Protocols of what the engine needs from outside; adapters match them by shape.

The port to processes is ``core.ports.launcher``; the port to the host project's repository is
``core.repository.repository``.
"""

from orchestrator.core.ports.agents import (
    Agent,
    Agents,
    Assignment,
    Entry,
    Finding,
    Invocation,
    Planner,
    Previous,
    Roles,
    SharedContexts,
)
from orchestrator.core.ports.files import (
    JobFiles,
    Reporter,
    Workspace,
)
from orchestrator.core.ports.store import (
    Change,
    Cost,
    Observer,
    Page,
    Store,
    StoreStats,
    Tree,
)

__all__ = [
    "Agent",
    "Agents",
    "Assignment",
    "Change",
    "Cost",
    "Entry",
    "Finding",
    "Invocation",
    "JobFiles",
    "Observer",
    "Page",
    "Planner",
    "Previous",
    "Reporter",
    "Roles",
    "SharedContexts",
    "Store",
    "StoreStats",
    "Tree",
    "Workspace",
]
