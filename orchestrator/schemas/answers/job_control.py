"""Answers to calls that control a job: decisions, plans, pauses of all jobs, and removal."""

from typing import Any

from orchestrator.core.model.states import JobStatus
from orchestrator.schemas.answers.answer import Answer, Links
from orchestrator.schemas.answers.job import EstimateAnswer
from orchestrator.schemas.answers.status import PausedAnswer


class CancelAnswer(Answer):
    """The job is being stopped, or had already ended."""

    job_id: str
    status: JobStatus
    reason: str
    links: Links


class DecidedAnswer(CancelAnswer):
    """A person's decision was applied to a plan, a task's question, a pause, or a limit."""

    paused: PausedAnswer | None = None
    """The job's pause; omitted if the job is not paused."""


class RemovedAnswer(Answer):
    """A job that was removed from disk and database."""

    job_id: str
    kept: list[str]
    """Git refs of changes that were not landed."""


class DiscardedAnswer(Answer):
    """A job whose branches were removed."""

    job_id: str
    removed: list[str]
    """Removed branches and refs."""
    links: Links


class ServerPauseAnswer(Answer):
    """The pause of all jobs."""

    paused: PausedAnswer | None = None
    """The pause of all jobs; omitted if not all jobs are paused."""


class PlanAnswer(Answer):
    """The plan of a job."""

    job_id: str
    version: int
    """Version of the plan, which grows with each edit; PUT plan requires the version."""
    awaits_approval: bool
    """True if the plan can be edited, approved, and rejected."""
    tasks: list[dict[str, Any]]
    """Tasks as in a plan file, without empty fields and without env. PUT plan keeps the env of each
    task."""
    estimate: EstimateAnswer | None = None
    """Estimated usage; present while the job waits for approval."""
