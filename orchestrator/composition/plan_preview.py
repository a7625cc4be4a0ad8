"""Previews a request's tasks, planner, and usage. Needs no server."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.composition.settings.agents import registry
from orchestrator.config import load
from orchestrator.core.limits.plan_estimate import Estimate, estimate
from orchestrator.core.model.job import RULES, TaskSpec
from orchestrator.core.model.job_settings import AUTO
from orchestrator.engine.planning.rule_planner import Split, split, worth_planning
from orchestrator.engine.submission.job_creation import check_tasks
from orchestrator.schemas.requests.job import OrchestrateRequest


def plan(folder: Path, request: str, agent: str) -> Split:
    """Split a request into tasks by rules. Return the tasks, each with its agent. Run nothing.

    Raise InvalidRequest if the request asks for nothing.
    """
    settings = load(folder, environ=os.environ).settings
    agents = registry(folder, settings)
    draft = split(request)
    check_tasks(draft.tasks)
    tasks = [replace(task, agents=(agents.resolve(agent, task),)) for task in draft.tasks]
    return replace(draft, tasks=tasks)


def check_dependencies(tasks: Sequence[Mapping[str, object]]) -> None:
    """Check the dependencies of a plan's tasks, as the server does for a submission.

    ``tasks``: tasks as mappings with the field names of the API. Raise PlanCycle if the
    dependencies form a cycle. Raise InvalidRequest for a duplicate or unknown task id.
    """
    body = {"request": "plan", "tasks": list(tasks)}
    check_tasks(OrchestrateRequest.model_validate(body).to_submission().tasks)


def planner_of(folder: Path, planner: str | None, agent: str | None, request: str) -> str:
    """Return the planner of the request: ``rules``, or the name of an agent.

    ``planner``, ``agent``: the names that the user gave; None: use the name in the settings.
    """
    settings = load(folder, environ=os.environ).settings
    workers = settings.workers
    planner_name = planner or workers.planner
    if planner_name == AUTO and not worth_planning(request):
        return RULES
    return registry(folder, settings).planner(planner_name, agent or workers.agent)


def estimate_of(folder: Path, agents: Sequence[str], reviewers: Sequence[str]) -> Estimate:
    """Estimate the usage of a job: one worker per name in ``agents`` and in ``reviewers``.

    The estimate does not use the measured usage of earlier workers.
    """
    settings = load(folder, environ=os.environ).settings
    agent_registry = registry(folder, settings)
    workers, reviewing = (
        [agent_registry.resolve(name, TaskSpec(id="any")) for name in names]
        for names in (agents, reviewers)
    )
    return estimate(workers, agent_registry.uses_model, lambda agent: (), reviewing)
