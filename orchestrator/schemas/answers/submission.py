"""The answers to calls that submit a job: by a request, or by the event of a trigger."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from orchestrator.core.model.states import JobStatus
from orchestrator.schemas.answers.answer import Answer, Links


class AcceptedAnswer(Answer):
    """The job is stored and will run."""

    job_id: str
    status: JobStatus
    links: Links
    duplicate: bool = False
    """True if the job already existed: an earlier call had the same Idempotency-Key, or the calling
    worker has already started a child job with the same request and tasks."""
    remaining: dict[str, Any] = Field(default={})
    """Remaining quota of a new worker of this job: depth, child jobs, and seconds; also workers,
    steps, tokens, and cost, if they are limited."""
    left: dict[str, Any] = Field(default={})
    """Alias of remaining."""
    caller_remaining: dict[str, Any] = Field(default={})
    """Remaining quota of the worker that submitted the job."""
    caller_left: dict[str, Any] = Field(default={})
    """Alias of caller_remaining."""
    git_note: str | None = None
    """Note on the base, such as on uncommitted files that workers do not get."""
    limits_notice: str | None = None
    """Settings in workers.limits that this machine does not enforce exactly."""


class TriggerOutcome(StrEnum):
    """Outcome of an event."""

    #: The event started a job.
    ACCEPTED = "accepted"
    #: The event is stored as feedback; the worker gets it in its next attempt.
    QUEUED = "queued"
    #: An event with the same delivery id came before.
    DUPLICATE = "duplicate"
    #: A condition of the trigger is false, or the event is no feedback for a worker.
    IGNORED = "ignored"


class TriggerAnswer(Answer):
    """Outcome of an event, with the job that the event started or concerns."""

    trigger: str
    """Name of the trigger."""
    status: TriggerOutcome
    """Outcome of the event: accepted, queued, duplicate, or ignored."""
    reason: str = ""
    """Why the event was ignored."""
    job_id: str | None = None
    """Job that the event started, or whose worker gets the comments."""
    links: Links | None = None
