"""The plan of a job as an answer, in the form of a plan file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.job_settings import AUTO
from orchestrator.core.ports.read_models import JobDetail
from orchestrator.schemas import answers

#: Fields of a task that have the same name and form in a ``TaskSpec`` and in a plan file.
_SAME = (
    *("id", "title", "prompt", "command", "approve", "on_timeout", "depends_on", "timeout"),
    *("retries", "role", "model", "files", "writes", "context", "git", "locks"),
    *("max_steps", "max_tokens", "max_cost_usd", "node"),
)
_EMPTY: tuple[object, ...] = (None, "", [], {})


def plan_answer(detail: JobDetail) -> answers.job_control.PlanAnswer:
    job = detail.job
    return answers.job_control.PlanAnswer(
        job_id=job.id,
        version=job.plan_version,
        awaits_approval=job.awaits_approval,
        tasks=[task_for_plan_file(task) for task in detail.tasks],
        estimate=answers.job.EstimateAnswer(**asdict(detail.estimate)) if detail.estimate else None,
    )


def task_for_plan_file(task: TaskSpec) -> dict[str, Any]:
    """Return a task with the field names of a plan file.

    Empty fields and ``env`` are omitted.
    """
    values: dict[str, Any] = {name: _tuple_as_list(getattr(task, name)) for name in _SAME}
    values["agent"] = _agent(task)
    values["workdir"] = task.workdir if task.works_in_project else None
    values["requires"] = dict(task.requires)
    values["review"] = AUTO if task.review_by_any else task.review
    values["gates"] = [answers.gates.gate_answer(each).as_json() for each in task.gates]
    return {name: value for name, value in values.items() if value not in _EMPTY}


def _tuple_as_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _agent(task: TaskSpec) -> object:
    if not task.candidate_settings:
        return task.agents[0] if len(task.agents) == 1 else list(task.agents)
    pairs = zip(task.agents, task.candidate_settings, strict=True)
    rows = ({"name": name, **asdict(settings)} for name, settings in pairs)
    return [{k: v for k, v in each.items() if v not in _EMPTY} for each in rows]
