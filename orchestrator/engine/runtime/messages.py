"""Messages to the supervisor's inbox: values of one union, ``Message``.

Every part that reports to the supervisor is created with a ``Post``: the inbox's ``put``.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.gate import GateRun
from orchestrator.core.model.job import WorkerKey
from orchestrator.core.scheduler.commands import Render, TakePlan
from orchestrator.core.scheduler.merge_outcome import Merged
from orchestrator.core.scheduler.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Call:
    """A caller's action; answered once its changes are stored."""

    action: Callable[[Scheduler, float], Any]
    answer: Future[Any]


@dataclass(frozen=True, slots=True)
class AttemptHeld:
    """An attempt waits, before its process starts or after it ended."""

    key: WorkerKey
    attempt: int
    #: Why the worker waits; empty: it no longer waits.
    reason: str


@dataclass(frozen=True, slots=True)
class GatesStarted:
    """The gates of an attempt are about to run; its process has ended in time."""

    key: WorkerKey
    attempt: int
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt is over."""

    key: WorkerKey
    attempt: int
    exit: Exit
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class JobMerged:
    """The changes of a job are merged, or could not be."""

    render: Render
    merged: Merged


@dataclass(frozen=True, slots=True)
class ReportsRendered:
    """The reports of a job are written, or could not be."""

    job_id: str


@dataclass(frozen=True, slots=True)
class ContextPrepared:
    """The shared context of a job exists."""

    job_id: str


class StopLoop:
    """Ends the loop."""


Message = (
    Call
    | GatesStarted
    | GateRun
    | AttemptHeld
    | AttemptEnded
    | JobMerged
    | ReportsRendered
    | ContextPrepared
    | TakePlan
    | StopLoop
)
#: Puts a message into the inbox. Any thread may call; does not block.
Post = Callable[[Message], None]
