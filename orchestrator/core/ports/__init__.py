"""Ports: protocols of the services that the engine needs, and the values that they exchange.

Adapters implement these protocols. The port that starts processes is ``core.ports.launcher``. The
port to the project's repository is ``core.repository.repository``.
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
    Cost,
    Observer,
    Page,
    StateChange,
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
    "StateChange",
    "Store",
    "StoreStats",
    "Tree",
    "Workspace",
]
