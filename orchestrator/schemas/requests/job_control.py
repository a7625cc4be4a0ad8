"""Requests to control a job: pauses, answers, raised limits, edited plans, repeated merges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, create_model, field_validator

from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.job_settings import BY_WIRE_NAME, RAISABLE, RESOLVE_OFF
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.core.repository.repository import MergeChoice
from orchestrator.schemas.fields.bounded_types import MOST_ITEMS, Count, StrictModel, Text, Word
from orchestrator.schemas.requests.job import TaskRequest, check_tasks_fit, task_ids, type_of


class PauseRequest(StrictModel):
    """Request to pause a job or all jobs."""

    running: Literal["finish", "stop"] = "finish"
    """Running attempts: finish (they continue to their end) or stop (they run again after the
    pause, without using a retry)."""


class AnswerRequest(StrictModel):
    """A person's decision on a plan or on a question."""

    comment: Annotated[Text, Field(max_length=10_000)] = ""
    """Text for the tasks that depend on the question, and for the report."""


class ApprovalRequest(AnswerRequest):
    """A person's approval of a plan."""

    version: Count | None = None
    """Version of the plan that the person has read, from GET plan. If the plan now has another
    version, the call is rejected with 409."""


#: Settings that a retry often changes. The first two also replace the settings of tasks.
RETRY_SETTINGS = ("default_timeout", "max_retries", "max_steps", "max_tokens", "max_cost_usd")

if TYPE_CHECKING:
    _RaisedLimits = StrictModel
    _RetrySettings = StrictModel
else:

    def _optional(name: str, settings: Sequence[str]) -> type[StrictModel]:
        fields = {each: (type_of(BY_WIRE_NAME[each]) | None, None) for each in settings}
        return create_model(name, __base__=StrictModel, **fields)

    _RaisedLimits = _optional("_RaisedLimits", RAISABLE)
    _RetrySettings = _optional("_RetrySettings", RETRY_SETTINGS)


class RaisedLimits(_RaisedLimits):
    """New limits of a running job: one field for each name of ``RAISABLE``.

    The fields have no descriptions here; ``BudgetRequest`` adds descriptions.
    """

    def to_limits(self) -> ConfigRequest:
        return ConfigRequest(**{name: getattr(self, name) for name in RAISABLE})


class RetrySettings(_RetrySettings):
    """New settings of a job that is retried: one field for each name of ``RETRY_SETTINGS``."""

    @classmethod
    def description_of(cls, name: str) -> str | None:
        if name not in RETRY_SETTINGS:
            return super().description_of(name)
        scope = " for all tasks" if name in RETRY_SETTINGS[:2] else ""
        return f"New setting{scope}. {BY_WIRE_NAME[name].description}"

    def to_config(self) -> ConfigRequest:
        return ConfigRequest(**{name: getattr(self, name) for name in RETRY_SETTINGS})


class BudgetRequest(RaisedLimits):
    """Request to raise caps or the wall time of a job; contains at least one of the fields."""

    @classmethod
    def description_of(cls, name: str) -> str:
        if name == "max_steps":
            # Shorter than the description in the table of settings, which also explains what a step
            # is.
            return "Step cap of the job and its child jobs."
        return BY_WIRE_NAME[name].description


class PlanRequest(StrictModel):
    """A new plan for a job that waits for approval."""

    tasks: Annotated[tuple[TaskRequest, ...], Field(strict=False, min_length=1)]
    """The new tasks. A task without env keeps the env of the previous plan's task with the same
    id."""
    version: Count
    """Version of the plan on which the new tasks are based, from GET plan."""

    @field_validator("tasks")
    @classmethod
    def tasks_fit_together(cls, tasks: tuple[TaskRequest, ...]) -> tuple[TaskRequest, ...]:
        return check_tasks_fit(tasks)

    def to_tasks(self) -> tuple[TaskSpec, ...]:
        ids = task_ids(self.tasks)
        return tuple(task.to_task(id) for id, task in zip(ids, self.tasks, strict=True))

    @property
    def keeps_env(self) -> frozenset[str]:
        """Ids of the tasks that do not set env, and therefore keep the previous plan's env."""
        pairs = zip(task_ids(self.tasks), self.tasks, strict=True)
        return frozenset(id for id, task in pairs if "env" not in task.model_fields_set)


WorkerNames = Annotated[
    tuple[Annotated[Text, Field(min_length=1, max_length=200)], ...],
    Field(strict=False, max_length=MOST_ITEMS),
]


class RepeatedMerge(StrictModel):
    """How to repeat the merge of an ended job."""

    strategy: Literal["theirs", "auto", "manual"] | None = None
    """Merge strategy (default: the strategy of the last repeated merge, or the job's strategy)."""
    include: WorkerNames = ()
    """Workers to include, such as failed workers and candidates that were not chosen. Also accepts
    child jobs whose changes the parent worker discarded. Later merges, too, include these workers
    and child jobs."""
    exclude: WorkerNames = ()
    """Workers or child jobs to exclude."""
    resolve: Word | None = None
    """Agent that resolves the conflicts; worker: each worker's own agent. The job runs again."""

    def to_choice(self) -> MergeChoice:
        resolve = "" if self.resolve in (None, RESOLVE_OFF) else self.resolve
        return MergeChoice(
            strategy=self.strategy or "",
            include=self.include,
            exclude=self.exclude,
            resolve=resolve or "",
        )
