"""The composition root: the only place that names concrete classes."""

from orchestrator.app.agents import agents_here, availability
from orchestrator.app.assembly import (
    build,
    estimate_of,
    landing,
    plan,
    planner_of,
    remove,
    role_text,
    roles,
)
from orchestrator.app.from_settings import containment_in_force, own_secrets
from orchestrator.app.job_manager import JobManager

__all__ = [
    "JobManager",
    "agents_here",
    "availability",
    "build",
    "containment_in_force",
    "estimate_of",
    "landing",
    "own_secrets",
    "plan",
    "planner_of",
    "remove",
    "role_text",
    "roles",
]
