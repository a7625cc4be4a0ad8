"""Commands of the scheduler. The supervisor executes them after it has stored the turn."""

from dataclasses import dataclass

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
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
    cause: ExitCause = ExitCause.NONE


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
    """Stop the job's merge, for which its reports wait, because the job is being stopped."""

    job_id: str


@dataclass(frozen=True, slots=True)
class MakeContext:
    """Create the job's shared context, then report that to the scheduler."""

    job_id: str


@dataclass(frozen=True, slots=True)
class TakePlan:
    """Pass the tasks of the job's ended planner, or of a fallback planner, to the scheduler."""

    job_id: str


Command = Start | Stop | SetWaiting | Render | StopMerging | MakeContext | TakePlan
