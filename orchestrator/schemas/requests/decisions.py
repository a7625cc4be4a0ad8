"""Requests of people who control a job: pauses, answers, budgets, plans."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.schemas.fields.text import Count, Money, Seconds, Text, Wire
from orchestrator.schemas.requests.job import TaskRequest, check_tasks_fit, task_ids


class PauseRequest(Wire):
    """Request for a pause."""

    running: Literal["finish", "stop"] = "finish"
    """Running attempts: finish (they continue to their end) or stop (they are stopped, and run
    again after the pause without using a retry)."""


class AnswerRequest(Wire):
    """A decision of a person."""

    comment: Annotated[Text, Field(max_length=10_000)] = ""
    """Text for the tasks that depend on the question, and for the report."""


class BudgetRequest(Wire):
    """Larger limits of a job; at least one."""

    max_cost_usd: Money | None = None
    """Cost cap of the job and its child jobs, in US dollars."""
    max_tokens: Count | None = None
    """Token cap of the job and its child jobs."""
    max_steps: Count | None = None
    """Step cap of the job and its child jobs."""
    max_wall_seconds: Seconds | None = None
    """Maximum wall time of the job, in seconds."""

    def to_limits(self) -> ConfigRequest:
        return ConfigRequest(**self.model_dump())


class PlanRequest(Wire):
    """A plan in place of the plan that waits for approval."""

    tasks: Annotated[tuple[TaskRequest, ...], Field(strict=False, min_length=1)]
    """The tasks; a task without env keeps the env of the present task with its id."""
    version: Count
    """Version of the plan that was edited, from GET plan."""

    @field_validator("tasks")
    @classmethod
    def tasks_fit_together(cls, tasks: tuple[TaskRequest, ...]) -> tuple[TaskRequest, ...]:
        return check_tasks_fit(tasks)

    def to_tasks(self) -> tuple[TaskSpec, ...]:
        ids = task_ids(self.tasks)
        return tuple(task.to_task(id) for id, task in zip(ids, self.tasks, strict=True))

    @property
    def keeps_env(self) -> frozenset[str]:
        """Ids of the tasks without env."""
        pairs = zip(task_ids(self.tasks), self.tasks, strict=True)
        return frozenset(id for id, task in pairs if "env" not in task.model_fields_set)
