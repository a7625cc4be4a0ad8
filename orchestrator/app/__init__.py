"""The composition root: the only place that names concrete classes.

What is named here is imported when it is first used: few commands need the database.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.app.agents import availability
    from orchestrator.app.assembly import build
    from orchestrator.app.branches import difference_between, landing
    from orchestrator.app.from_settings import containment_in_force, own_secrets
    from orchestrator.app.gates import gates_here
    from orchestrator.app.job_manager import JobManager
    from orchestrator.app.locally import local_service
    from orchestrator.app.planning import (
        estimate_of,
        kinds_of_work,
        plan,
        planner_of,
        role_text,
        roles,
    )
    from orchestrator.app.removal import remove

#: In which module each is.
_HOMES = {
    "JobManager": "job_manager",
    "availability": "agents",
    "build": "assembly",
    "containment_in_force": "from_settings",
    "difference_between": "branches",
    "estimate_of": "planning",
    "gates_here": "gates",
    "kinds_of_work": "planning",
    "landing": "branches",
    "local_service": "locally",
    "own_secrets": "from_settings",
    "plan": "planning",
    "planner_of": "planning",
    "remove": "removal",
    "role_text": "planning",
    "roles": "planning",
}

__all__ = [
    "JobManager",
    "availability",
    "build",
    "containment_in_force",
    "difference_between",
    "estimate_of",
    "gates_here",
    "kinds_of_work",
    "landing",
    "local_service",
    "own_secrets",
    "plan",
    "planner_of",
    "remove",
    "role_text",
    "roles",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
