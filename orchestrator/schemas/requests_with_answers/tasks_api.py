"""Requests and answers of ``/api/v1/tasks``, where several command-line tools do the same task."""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from orchestrator.core.text.field_descriptions import DescribedFields
from orchestrator.schemas.answers.answer import Usd
from orchestrator.schemas.fields.bounded_types import (
    REQUEST_LIMIT_CHARACTERS,
    LabelValue,
    RequestText,
    StrictModel,
    Text,
    Word,
    checked_text,
)
from orchestrator.schemas.requests.job import CallbackRequest
from orchestrator.schemas.requests.query_parameters import Query

CliName = Annotated[Word, StringConstraints(max_length=100)]
Strategy = Literal["theirs", "auto", "manual"]


class TaskStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


def context_text(context: Mapping[str, Any]) -> str:
    values = {name: x if isinstance(x, str) else json.dumps(x) for name, x in context.items()}
    return "\n".join(f"{name}: {value}" for name, value in values.items())


class CliAssignment(StrictModel):
    """One command-line tool that works on the task."""

    cli_name: CliName
    """Name of an agent, such as claude_code, claude-code, claude, gemini, or ollama."""
    context: Annotated[dict[str, Any], Field(max_length=100)] = Field(default_factory=dict)
    """Additional facts for this tool, as names and values."""
    timeout: float = Field(default=600, ge=60, le=3600)
    """Timeout of one attempt, in seconds."""
    model: Text | None = None
    """Model of the tool (default: the model that the tool selects)."""

    @field_validator("context")
    @classmethod
    def check_context(cls, context: dict[str, Any]) -> dict[str, Any]:
        text = context_text(context)
        if len(text) > REQUEST_LIMIT_CHARACTERS:
            raise ValueError(f"must have at most {REQUEST_LIMIT_CHARACTERS} characters")
        checked_text(text)
        return context


class TaskBody(CallbackRequest):
    """A task for one to four tools, which do the same work in parallel."""

    description: Annotated[RequestText, Field(min_length=10)]
    """Description of the work; at least 10 characters."""
    cli_assignments: Annotated[
        tuple[CliAssignment, ...], Field(strict=False, min_length=1, max_length=4)
    ]
    """Tools that do the work independently; the best result is merged."""
    max_retries: int = Field(default=3, ge=0, le=5)
    """Maximum number of retries of each tool."""
    retry_delay: float = Field(default=5.0, ge=1, le=60)
    """Seconds before the first retry; doubled before each further retry, at most 60."""
    merge_strategy: Strategy = "theirs"
    """Merge strategy: theirs, auto, or manual."""
    created_by: LabelValue | None = None
    """Name of the person or program that submits the task."""


class TaskMergeBody(StrictModel):
    """Options of a merge, in the body. An option in the query has priority over the body."""

    task_id: Text | None = None
    """Id of the task; must be the id in the path."""
    strategy: Strategy | None = None
    cli_name: CliName | None = None


class TasksQuery(Query):
    status: TaskStatus | None = None
    """Filter: tasks with this status."""
    page: int = Field(default=1, ge=1, le=1_000_000)
    """Page number, from 1."""
    page_size: int = Field(default=50, ge=1, le=100)
    """Number of tasks per page."""


class CliQuery(Query):
    cli_name: Annotated[str, StringConstraints(max_length=100)] | None = None
    """Name of the tool, as in cli_assignments (default: the best tool)."""


class TaskMergeQuery(CliQuery):
    strategy: Strategy | None = None
    """Merge strategy (default: the task's strategy)."""


class CompleteAnswer(DescribedFields, BaseModel):
    """Base of answers that contain all fields. A field without a value is null.

    Clients of ``/api/v1/tasks`` expect all fields.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)


class CliResult(CompleteAnswer):
    """Result of one tool."""

    cli_name: str
    """Name of the tool, as the caller spelled it."""
    status: Literal["success", "failure", "timeout", "cancelled", "blocked"]
    files_modified: list[str] = []
    cost: Usd | None = None
    """Cost in US dollars; null: unknown."""
    duration: float = 0.0
    """Seconds from the tool's start to its end. With several attempts, the sum of all attempts,
    without the time between them.
    """
    retries: int = 0
    error: str | None = None
    """Why the tool did not succeed, and what to do."""


class Task(CompleteAnswer):
    """A task; its results are null until the task has ended."""

    id: str
    """UUID; its last 8 characters are the id of the job."""
    description: str
    status: TaskStatus
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    cli_results: list[CliResult] | None = None
    success_count: int | None = None
    failure_count: int | None = None
    total_cost: Usd | None = None
    """Known cost in US dollars; null: unknown."""
    total_duration: float | None = None
    best_cli: str | None = None
    """The tool whose result is merged."""
    error: str | None = None
    """Why the task failed, or which changes its result lacks."""


class Tasks(CompleteAnswer):
    """A page of tasks, newest first."""

    tasks: list[Task]
    total: int
    page: int
    page_size: int


class AdapterStats(CompleteAnswer):
    """Executions of one tool."""

    cli_name: str
    execution_count: int
    total_cost: Usd | None
    """Known cost in US dollars; null: unknown."""


class ExecutorStats(CompleteAnswer):
    """Executions of all tools, in all jobs that the key sees."""

    total_executions: int
    total_cost: Usd | None
    """Known cost in US dollars; null: unknown."""
    average_cost: Usd | None
    adapter_stats: dict[str, AdapterStats]


class TaskStats(CompleteAnswer):
    """Running tasks, and executions so far."""

    running_tasks: int
    executor_stats: ExecutorStats


class TaskCancelled(CompleteAnswer):
    """The task is being stopped."""

    message: str
    task_id: str
    status: Literal["cancelled"] = "cancelled"


class TaskConflicts(CompleteAnswer):
    """Files of one tool that conflict with the result."""

    task_id: str
    cli_name: str
    source_branch: str
    """Branch of the tool; empty without a repository."""
    can_auto_merge: bool
    conflicts: list[str]
    files_changed: list[str]
    message: str


class TaskMerged(CompleteAnswer):
    """Outcome of a merge."""

    task_id: str
    strategy: str
    success: bool
    merged_files: list[str]
    conflicts: list[str]
    commit_hash: str | None = None
    """Commit of the result branch."""
    message: str
