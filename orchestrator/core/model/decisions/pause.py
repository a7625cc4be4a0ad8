"""Pauses: why nothing new starts in a job, or in any job. Frozen values, stored with the job."""

from dataclasses import dataclass
from enum import StrEnum


class RunningMode(StrEnum):
    """What a pause does with running attempts."""

    #: They continue to their end.
    FINISH = "finish"
    #: They are stopped, and run again after the pause; that uses no retry.
    STOP = "stop"


class PauseCause(StrEnum):
    """Why a job is paused, which decides how it resumes."""

    #: A person paused the job, or a job above it.
    PERSON = "person"
    #: A person paused everything.
    EVERYTHING = "everything"
    #: The job reached a limit, and asks a person (``on_limit: ask``).
    LIMIT = "limit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """The pause of a job, or of everything."""

    #: Since when the wall time of the job has stopped.
    at: float
    #: The caller who paused it, or the limit that was reached, for people.
    by: str
    running: RunningMode = RunningMode.FINISH
    cause: PauseCause = PauseCause.PERSON
    #: The job that was paused: the job itself or a job above it; empty for everything.
    job_id: str = ""
    #: The limit that was reached, such as ``max_cost_usd``; empty for other causes.
    limit: str = ""
    #: When the job is stopped if no person has raised the limit.
    until: float | None = None

    def asks(self, job_id: str) -> bool:
        """True if this job is paused because it asks about its own limit."""
        return self.cause is PauseCause.LIMIT and self.job_id == job_id

    @property
    def stops(self) -> bool:
        return self.running is RunningMode.STOP
