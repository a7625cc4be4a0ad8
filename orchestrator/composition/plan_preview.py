"""Previews a request's tasks, planner, and usage. Needs no server."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.agents.agent_registry import AgentRegistry
from orchestrator.agents.prompts.role_prompts import RolePrompts
from orchestrator.composition.settings.agents import registry
from orchestrator.composition.settings.settings_conversion import limits
from orchestrator.config import Settings, load, roles_directory
from orchestrator.config.fields.choices import UnknownPrice
from orchestrator.core.errors import InvalidRequest
from orchestrator.core.limits.plan_estimate import Estimate, estimate
from orchestrator.core.model.job import RULES, TaskSpec
from orchestrator.core.model.job_settings import AUTO
from orchestrator.core.model.machines import AGENT_NOT_USABLE, Machine, check_machines
from orchestrator.engine.planning.rule_planner import Split, split, worth_planning
from orchestrator.engine.submission.job_creation import SubmissionBuilder, check_tasks
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


def check_plan(
    folder: Path, config: Mapping[str, object], tasks: Sequence[Mapping[str, object]]
) -> str:
    """Check a plan as the server does for a submission, without the plan's gates.

    Return why an agent of the plan cannot work on this machine; "" if each agent can work. In a
    cluster, always return "", because only the server knows the agents and labels of the nodes.

    ``config``, ``tasks``: with the field names of the API. Raise InvalidRequest for an invalid
    plan, such as an unknown role, or Refused if a limit is exceeded.
    """
    body = {"request": "plan", "config": dict(config), "tasks": list(tasks)}
    submission = OrchestrateRequest.model_validate(body).to_submission()
    check_tasks(submission.tasks)
    settings = load(folder, environ=os.environ).settings
    agents = registry(folder, settings)
    # First check everything except the availability of agents: assume a node that has all agents.
    node = Machine(name="node", slots=1, agents=frozenset(agents.names()))
    here = Machine(slots=1, labels=settings.cluster.labels_here)
    able_agents = registry(folder, settings, machines=lambda: (here, node))
    _builder(folder, settings, able_agents, here).check(submission)
    if settings.cluster.listen is not None:
        return ""
    try:
        _builder(folder, settings, agents, here).check(submission)
    except InvalidRequest as error:
        if error.kind != AGENT_NOT_USABLE:
            raise
        return error.message
    return ""


def _builder(
    folder: Path, settings: Settings, agents: AgentRegistry, here: Machine
) -> SubmissionBuilder:
    def check_machine(task: TaskSpec, names: Sequence[str]) -> None:
        if settings.cluster.listen is None:
            check_machines(task, (here,), is_cluster=False, agents=names)

    return SubmissionBuilder(
        agents,
        RolePrompts(roles_directory(settings, folder)),
        *limits(settings),
        refuses_unpriced=settings.workers.unknown_price is UnknownPrice.REFUSE,
        check_machine=check_machine,
    )


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
