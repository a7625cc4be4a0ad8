"""The composition root: the only place that names concrete classes."""

from orchestrator.app.agents import availability
from orchestrator.app.assembly import build
from orchestrator.app.branches import difference_between, landing
from orchestrator.app.from_settings import containment_in_force, own_secrets
from orchestrator.app.gates import gates_here
from orchestrator.app.job_manager import JobManager
from orchestrator.app.local_service import local_service
from orchestrator.app.planning import estimate_of, plan, planner_of, role_text, roles
from orchestrator.app.removal import remove

__all__ = [
    "JobManager",
    "availability",
    "build",
    "containment_in_force",
    "difference_between",
    "estimate_of",
    "gates_here",
    "landing",
    "local_service",
    "own_secrets",
    "plan",
    "planner_of",
    "remove",
    "role_text",
    "roles",
]
