"""Messages to the supervisor's inbox, and the registry of this server's running processes.

``Message`` is a union of values. Every part that reports to the supervisor gets a ``Post``, which
is the inbox's ``put``.

Attempts, gates, and the preparation of shared contexts run under one launcher. Each registers its
process by id before the launcher gets the id, so that no end comes before its handler::

    processes.expect(launch.attempt_id, on_end)
    launcher.start(launch)
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from orchestrator.core.dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.gate import GateRun
from orchestrator.core.model.job import WorkerKey
from orchestrator.core.scheduler.commands import Render, TakePlan
from orchestrator.core.scheduler.merge_outcome import Merged
from orchestrator.core.scheduler.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Call:
    """A caller's action on the state. The caller gets the answer after the changes were stored."""

    action: Callable[[Scheduler, float], Any]
    answer: Future[Any]


@dataclass(frozen=True, slots=True)
class AttemptHeld:
    """An attempt waits for disk space, before its start or after the end of its process."""

    key: WorkerKey
    attempt: int
    #: Why the worker waits; empty if it no longer waits.
    reason: str


@dataclass(frozen=True, slots=True)
class GatesStarted:
    """An attempt's process has ended within its timeout, and its gates are about to run."""

    key: WorkerKey
    attempt: int
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AttemptBegun:
    """A shim has begun a preloaded launch."""

    key: WorkerKey
    attempt: int
    #: Unix time.
    at: float


@dataclass(frozen=True, slots=True)
class AttemptReturned:
    """A preloaded launch was returned: no shim has begun it, and no shim will."""

    key: WorkerKey
    attempt: int


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
    | AttemptBegun
    | AttemptReturned
    | AttemptEnded
    | JobMerged
    | ReportsRendered
    | ContextPrepared
    | TakePlan
    | StopLoop
)
#: Puts a message into the inbox. Any thread may call. Does not block.
Post = Callable[[Message], None]


#: Called once with the end of a process, in the thread that reports it. Must not block.
EndHandler = Callable[[Exit], None]


@dataclass(frozen=True, slots=True)
class PreloadHandlers:
    """Handlers of a preloaded launch: its start, with the Unix time, or its return."""

    on_begun: Callable[[float], None]
    on_returned: Callable[[], None]


class RunningProcesses:
    """The processes of this server; implements ``core.ports.launcher.LauncherEvents``.

    Any thread may call. No lock is needed: each call is one operation on a dictionary, which the
    interpreter does not interrupt.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, EndHandler] = {}
        #: Handlers of preloaded launches that have not begun, by process.
        self._preloads: dict[str, PreloadHandlers] = {}

    def expect(self, process: str, on_end: EndHandler) -> None:
        """Register a process that is about to be launched or adopted."""
        self._handlers[process] = on_end

    def expect_preloaded(self, process: str, on_end: EndHandler, handlers: PreloadHandlers) -> None:
        """Register a process whose launch is about to be preloaded."""
        self._handlers[process] = on_end
        self._preloads[process] = handlers

    @property
    def ids(self) -> frozenset[str]:
        """A snapshot of the ids of registered processes that have not ended."""
        return frozenset(self._handlers)

    def started(self, attempt_id: str, pid: int) -> None:
        """Do nothing, because starts are recorded before they are attempted."""

    def begun(self, attempt_id: str, at: float) -> None:
        """Call the handler of a preloaded launch that a shim has begun."""
        handlers = self._preloads.pop(attempt_id, None)
        if handlers is not None:
            handlers.on_begun(at)

    def returned(self, attempt_id: str) -> None:
        """Call the handler of a preloaded launch that was not begun, and drop the process."""
        self._handlers.pop(attempt_id, None)
        handlers = self._preloads.pop(attempt_id, None)
        if handlers is not None:
            handlers.on_returned()

    def ended(self, attempt_id: str, exit: Exit) -> None:
        """Call the process's handler, and drop the process.

        Idempotent. Ignore an unknown process.
        """
        self._preloads.pop(attempt_id, None)
        on_end = self._handlers.pop(attempt_id, None)
        if on_end is not None:
            on_end(exit)
