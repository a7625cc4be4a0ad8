"""Requests of people who control a job: pauses, answers, budgets."""

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.core.model.submission import ConfigRequest
from orchestrator.schemas.fields.text import Count, Money, Seconds, Text
from orchestrator.schemas.fields.wire import Wire


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
