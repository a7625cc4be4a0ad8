"""The pause of a job, and its cause. Frozen values."""

from enum import StrEnum

from orchestrator.core.lazy_dataclass import dataclass


class RunningMode(StrEnum):
    """What a pause does with running attempts."""

    #: Running attempts continue to their end.
    FINISH = "finish"
    #: Running attempts are stopped. After the pause, they run again without using a retry.
    STOP = "stop"


class PauseCause(StrEnum):
    """Why a job is paused. The cause decides how the job resumes."""

    #: A person paused the job or an ancestor job.
    PERSON = "person"
    #: A person paused all jobs.
    EVERYTHING = "everything"
    #: The job or an ancestor job reached a limit, and asks a person (``on_limit: ask``).
    LIMIT = "limit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """The pause of one job or of all jobs."""

    #: Time at which the pause stopped the job's wall time.
    at: float
    #: The caller who paused the job, or the limit that was reached, for people.
    by: str
    running: RunningMode = RunningMode.FINISH
    cause: PauseCause = PauseCause.PERSON
    #: The job that was paused: this job or an ancestor job; empty if all jobs were paused.
    job_id: str = ""
    #: The limit that was reached, such as ``max_cost_usd``; empty for other causes.
    limit: str = ""
    #: Time at which the job is stopped if no person raises the limit before; None without a limit.
    until: float | None = None

    def asks(self, job_id: str) -> bool:
        """True if the job ``job_id`` itself reached its limit, and waits for a person."""
        return self.cause is PauseCause.LIMIT and self.job_id == job_id

    @property
    def stops(self) -> bool:
        return self.running is RunningMode.STOP
