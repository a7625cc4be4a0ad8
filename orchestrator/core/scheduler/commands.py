"""Commands of the scheduler; the supervisor executes them once the turn is stored."""

from dataclasses import dataclass

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.job import WorkerKey


@dataclass(frozen=True, slots=True)
class Start:
    key: WorkerKey
    attempt: int


@dataclass(frozen=True, slots=True)
class Stop:
    key: WorkerKey
    attempt: int
    ended_by: EndedBy
    stopped_by: str


@dataclass(frozen=True, slots=True)
class SetWaiting:
    """Stop or resume the clock of an attempt's timeout."""

    key: WorkerKey
    attempt: int
    waiting: bool


@dataclass(frozen=True, slots=True)
class Render:
    """All workers of the job have ended: write its reports, then report that to the scheduler."""

    root_id: str
    job_id: str
    #: The job, its ancestors and its descendants: the subjects of its reports.
    family: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopMerging:
    """The job is being stopped while its reports are pending: stop the merge that they wait for."""

    job_id: str


@dataclass(frozen=True, slots=True)
class MakeContext:
    """Create the job's shared context, then report that to the scheduler."""

    job_id: str


@dataclass(frozen=True, slots=True)
class TakePlan:
    """The job's planner has ended: pass its tasks, or a fallback's, to the scheduler."""

    job_id: str


Command = Start | Stop | SetWaiting | Render | StopMerging | MakeContext | TakePlan
