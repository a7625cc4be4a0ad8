"""Answers to events of triggers."""

from enum import StrEnum

from orchestrator.schemas.answers.common import Answer, Links


class TriggerOutcome(StrEnum):
    """Outcome of an event."""

    #: a job was started
    ACCEPTED = "accepted"
    #: the comments are stored; the worker gets them in its next attempt
    QUEUED = "queued"
    #: an event with the same delivery id came before
    DUPLICATE = "duplicate"
    #: a condition is false
    IGNORED = "ignored"


class TriggerAnswer(Answer):
    """Outcome of an event, with the job that the event started or concerns."""

    trigger: str
    """Name of the trigger."""
    status: TriggerOutcome
    """accepted, queued, duplicate, or ignored."""
    reason: str = ""
    """Why the event was ignored."""
    job_id: str | None = None
    """Job that the event started, or whose worker gets the comments."""
    links: Links | None = None
