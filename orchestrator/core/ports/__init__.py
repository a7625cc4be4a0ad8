"""Ports: protocols of the services that the engine needs. Adapters implement these protocols.

The port to processes is ``core.ports.launcher``. The port to the project's repository is
``core.repository.repository``.
"""

from orchestrator.core.ports.agents import (
    Agent,
    Agents,
    Assignment,
    DependencyResult,
    Invocation,
    Planner,
    PreviousSession,
    Prompting,
    ReviewedCandidate,
    Roles,
    SharedContexts,
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
from orchestrator.core.ports.workspace import (
    JobFiles,
    Reporter,
    Workspace,
)

__all__ = [
    "Agent",
    "Agents",
    "Assignment",
    "Change",
    "Cost",
    "DependencyResult",
    "Invocation",
    "JobFiles",
    "Observer",
    "Page",
    "Planner",
    "PreviousSession",
    "Prompting",
    "Reporter",
    "ReviewedCandidate",
    "Roles",
    "SharedContexts",
    "Store",
    "StoreStats",
    "Tree",
    "Workspace",
]
