"""Messages to the supervisor's inbox.

Each component that reports to the supervisor gets a ``Post``, which is the inbox's method ``put``.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from orchestrator.core.gates.gate import GateRun
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.job import WorkerKey
from orchestrator.core.model.scheduler_commands import AdoptPlan, Render
from orchestrator.core.outcome.merge_outcome import MergeOutcome
from orchestrator.core.scheduler.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Call:
    """A function to run on the state. The caller gets the result after the changes are stored."""

    action: Callable[[Scheduler, float], Any]
    answer: Future[Any]


@dataclass(frozen=True, slots=True)
class AttemptHeld:
    """An attempt has begun to wait, or has stopped waiting.

    The attempt waits because the disk is full, or because the workspace or project was moved.
    The wait is before the attempt's start, or after the end of the attempt's process.
    """

    key: WorkerKey
    attempt: int
    #: Why the attempt waits; empty if the attempt no longer waits.
    reason: str


@dataclass(frozen=True, slots=True)
class GatesStarted:
    """An attempt's process has ended within its timeout, and its gates are about to run."""

    key: WorkerKey
    attempt: int
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AttemptBegun:
    key: WorkerKey
    attempt: int
    #: Unix time.
    at: float


@dataclass(frozen=True, slots=True)
class AttemptReturned:
    """A preloaded launch is not used: no shim has started it, and no shim will start it."""

    key: WorkerKey
    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    key: WorkerKey
    attempt: int
    exit: Exit
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class JobMerged:
    """The merge of a job has ended successfully, or has failed."""

    render: Render
    merged: MergeOutcome


@dataclass(frozen=True, slots=True)
class ReportsRendered:
    """The reports of a job were written, or could not be written."""

    job_id: str


@dataclass(frozen=True, slots=True)
class ContextPrepared:
    job_id: str


class StopLoop:
    """Ends the supervisor's loop."""


Message = (
    Call
    | GatesStarted
    | GateRun
    | AttemptHeld
    | AttemptBegun
    | AttemptReturned
    | AttemptEnded
    | JobMerged
    | ReportsRendered
    | ContextPrepared
    | AdoptPlan
    | StopLoop
)
#: Function that puts a message into the inbox. Any thread may call. Does not block.
Post = Callable[[Message], None]
