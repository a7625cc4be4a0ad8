"""What the scheduler wants done; the supervisor does it once the turn is stored."""

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
    """All workers of the job are done: write its reports, then say so to the scheduler."""

    root_id: str
    job_id: str
    #: The job, its ancestors and its descendants: what its reports speak of.
    family: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopMerging:
    """A job is being stopped while its reports are asked for: do what they wait for no longer."""

    job_id: str


@dataclass(frozen=True, slots=True)
class MakeContext:
    """Make what all workers of the job are told, then say so to the scheduler."""

    job_id: str


@dataclass(frozen=True, slots=True)
class TakePlan:
    """The job's planner is done: give the scheduler the tasks that it made, or others."""

    job_id: str


Command = Start | Stop | SetWaiting | Render | StopMerging | MakeContext | TakePlan
