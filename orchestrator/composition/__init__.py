"""The composition root: the only place that names concrete classes.

- ``server``: A server's job manager: use cases, outbox, leases, cluster, and parts that run jobs
- ``settings``: Creates agents, gates, receivers, triggers, and the repository from settings

Actions that need several adapters at once are here, too: ``attached_session``, which resumes a
worker's AI session in a terminal, and ``server.server_lease_renewal``.

Each name in ``__all__`` is imported when it is first used. Most commands then start faster, because
they do not import the database.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.composition.attached_session import AttachedSession
    from orchestrator.composition.git_for_commands import (
        difference,
        difference_between,
        discard_removed_job,
        landing,
        repository_restore,
        unlanded,
        worker_difference,
    )
    from orchestrator.composition.offline import local_service, remove
    from orchestrator.composition.plan_preview import (
        check_plan,
        estimate_of,
        plan,
        planner_of,
    )
    from orchestrator.composition.server.job_manager import JobManager
    from orchestrator.composition.settings.agent_name_checks import check_agents
    from orchestrator.composition.settings.agents import availability
    from orchestrator.composition.settings.database import check_database
    from orchestrator.composition.settings.gates import gates_here, why_no_gates
    from orchestrator.composition.settings.roles import role_text, roles
    from orchestrator.composition.settings.settings_conversion import (
        containment_in_force,
        own_secrets,
    )
    from orchestrator.composition.settings.triggers import triggers
    from orchestrator.composition.settings.webhooks_and_notifications import check_receivers

#: Module that defines each exported name.
_HOMES = {
    "AttachedSession": "attached_session",
    "JobManager": "server.job_manager",
    "availability": "settings.agents",
    "check_agents": "settings.agent_name_checks",
    "check_database": "settings.database",
    "check_plan": "plan_preview",
    "check_receivers": "settings.webhooks_and_notifications",
    "containment_in_force": "settings.settings_conversion",
    "difference": "git_for_commands",
    "difference_between": "git_for_commands",
    "discard_removed_job": "git_for_commands",
    "estimate_of": "plan_preview",
    "gates_here": "settings.gates",
    "landing": "git_for_commands",
    "local_service": "offline",
    "own_secrets": "settings.settings_conversion",
    "plan": "plan_preview",
    "planner_of": "plan_preview",
    "remove": "offline",
    "repository_restore": "git_for_commands",
    "role_text": "settings.roles",
    "roles": "settings.roles",
    "triggers": "settings.triggers",
    "unlanded": "git_for_commands",
    "why_no_gates": "settings.gates",
    "worker_difference": "git_for_commands",
}

__all__ = [
    "AttachedSession",
    "JobManager",
    "availability",
    "check_agents",
    "check_database",
    "check_plan",
    "check_receivers",
    "containment_in_force",
    "difference",
    "difference_between",
    "discard_removed_job",
    "estimate_of",
    "gates_here",
    "landing",
    "local_service",
    "own_secrets",
    "plan",
    "planner_of",
    "remove",
    "repository_restore",
    "role_text",
    "roles",
    "triggers",
    "unlanded",
    "why_no_gates",
    "worker_difference",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
