"""Messages to the supervisor's inbox: values of one union, ``Message``.

Every reporting part gets a ``Post`` when it is created: the inbox's ``put``.
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
    """A caller's action, which is answered once its changes are stored."""

    action: Callable[[Scheduler, float], Any]
    answer: Future[Any]


@dataclass(frozen=True, slots=True)
class AttemptHeld:
    """An attempt waits for disk space, before its start or after its process's end."""

    key: WorkerKey
    attempt: int
    #: Why the worker waits; empty: it no longer waits.
    reason: str


@dataclass(frozen=True, slots=True)
class GatesStarted:
    """The gates of an attempt are about to run; its process has ended before the timeout."""

    key: WorkerKey
    attempt: int
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt has ended."""

    key: WorkerKey
    attempt: int
    exit: Exit
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class JobMerged:
    """The merge of a job has ended, or failed."""

    render: Render
    merged: Merged


@dataclass(frozen=True, slots=True)
class ReportsRendered:
    """The reports of a job were written, or could not be written."""

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
