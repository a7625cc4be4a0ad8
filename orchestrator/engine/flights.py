"""Attempts under way: what the scheduler wants of them is done, what becomes of them is told."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from orchestrator.core import failpoints
from orchestrator.core.commands import MakeContext, SetWaiting, Start, Stop
from orchestrator.core.launching import Launcher
from orchestrator.core.model import Attempt, EndedBy, Evidence, Exit, Worker, WorkerKey
from orchestrator.core.ports import Workspace
from orchestrator.core.scheduler import Scheduler
from orchestrator.core.shortage import NO_ROOM, is_shortage
from orchestrator.engine import clock
from orchestrator.engine.assigning import Assigning
from orchestrator.engine.contexts import Contexts
from orchestrator.engine.dispatch import Dispatch, InFlight, attempt_id
from orchestrator.engine.planning import Planning

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt is over."""

    key: WorkerKey
    attempt: int
    exit: Exit
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Late:
    """An attempt was given up, and how it ended is known after all."""

    attempt: Attempt
    exit: Exit
    evidence: Evidence
    #: Where its end is written.
    record: str


#: Ends that say no more than that an attempt was given up or stopped.
_NO_RESULT = (EndedBy.LOST, EndedBy.CANCEL, EndedBy.SPAWN_FAILED)


class Flights:
    """Commands come from the supervisor's thread, events from the launcher's."""

    def __init__(
        self,
        scheduler: Scheduler,
        launcher: Launcher,
        dispatch: Dispatch,
        workspace: Workspace,
        assigning: Assigning,
        contexts: Contexts,
        planning: Planning,
    ) -> None:
        self._scheduler = scheduler
        self._assigning = assigning
        self._contexts = contexts
        self._launcher = launcher
        self._dispatch = dispatch
        self._workspace = workspace
        self._planning = planning
        self._under_way: dict[str, InFlight] = {}
        #: Told of every end, from whatever thread it comes.
        self.on_end: Callable[[Ended], None] = lambda ended: None

    def start(self, command: Start, token: str) -> None:
        """Prepare and launch; what cannot be started has ended."""
        worker = self._scheduler.ledger.workers[command.key]
        try:
            assignment = self._assigning.assignment_for(self._scheduler, worker, clock.now())
            launch, flight = self._dispatch.prepare(assignment, token)
        except Exception as error:
            logger.warning("a worker cannot start", extra={"worker": worker.id}, exc_info=True)
            exit = _never_started(error)
            self.on_end(Ended(worker.key, worker.attempt, exit, Evidence()))
        else:
            failpoints.reached("launch: prepared")
            self._under_way[launch.attempt_id] = flight
            self._launcher.start(launch)
            failpoints.reached("launch: sent")

    def stop(self, command: Stop) -> None:
        attempt = _id(command.key, command.attempt)
        self._launcher.stop(attempt, command.ended_by, command.stopped_by)

    def set_waiting(self, command: SetWaiting) -> None:
        self._launcher.waiting(_id(command.key, command.attempt), command.waiting)
        worker = self._scheduler.ledger.workers[command.key]
        try:
            self._workspace.link_recursive(worker)
        except OSError:
            logger.warning("no _recursive link", extra={"worker": worker.id}, exc_info=True)

    def make_context(self, command: MakeContext) -> None:
        """Have what all workers of a job are told made; ``contexts.on_prepared`` follows."""
        job = self._scheduler.ledger.jobs[command.job_id]
        self._contexts.ask(job, self._scheduler.ledger.jobs[job.root_id])

    def adopt(self, worker: Worker) -> None:
        """Expect the end of an attempt that was started by a server before this one."""
        task = self._scheduler.forest.task_of(worker)
        self._under_way[attempt_id(worker)] = self._dispatch.found(worker, task)

    def late(self, now: float) -> Iterator[Late]:
        """What has become known of attempts that were given up."""
        for attempt in self._scheduler.late.sought(now):
            worker = self._scheduler.ledger.workers[attempt.key]
            record = self._workspace.exit_record(worker, attempt.number)
            try:
                exit = self._launcher.settle(_id(attempt.key, attempt.number), record)
            except OSError:
                logger.warning("a late result is unreadable", extra={"path": record}, exc_info=True)
                continue
            if exit.ended_by not in _NO_RESULT:
                task = self._scheduler.forest.task_of(worker)
                own = replace(worker, attempt=attempt.number)
                evidence = self._evidence(self._dispatch.found(own, task), exit)
                yield Late(attempt, exit, evidence, record)

    # -- what the launcher reports --------------------------------------------------------------

    def started(self, attempt_id: str, pid: int) -> None:
        """Nothing follows from it: a start was recorded before it was attempted."""

    def ended(self, attempt_id: str, exit: Exit) -> None:
        if self._contexts.ended(attempt_id, exit):
            return
        flight = self._under_way.pop(attempt_id, None)
        if flight is not None:
            failpoints.reached("attempt: its end is known")
            exit = _as_lost_unless_asked(exit)
            evidence = self._evidence(flight, exit)
            self.on_end(Ended(flight.worker.key, flight.worker.attempt, exit, evidence))

    def _evidence(self, flight: InFlight, exit: Exit) -> Evidence:
        try:
            evidence = self._dispatch.evidence(flight, exit)
            if flight.worker.is_planner and exit.code == 0:
                return self._planning.checked(flight.worker, evidence)
            return evidence
        except Exception as error:
            logger.exception("evidence could not be read", extra={"worker": flight.worker.id})
            return Evidence(claimed_success=False, error=f"its result is unreadable: {error}")


def _as_lost_unless_asked(exit: Exit) -> Exit:
    """A stop that nobody signed comes from outside (the machine shuts down, say): no cancel."""
    if exit.ended_by is not EndedBy.CANCEL or exit.stopped_by:
        return exit
    return replace(exit, ended_by=EndedBy.LOST, error="its shim was told to end from outside")


def _never_started(error: Exception) -> Exit:
    if is_shortage(error):
        return Exit(ended_by=EndedBy.LOST, error=f"{NO_ROOM}: {error}")
    return Exit(ended_by=EndedBy.SPAWN_FAILED, error=f"it cannot be started: {error}")


def _id(key: WorkerKey, attempt: int) -> str:
    return f"{key.root_id}/{key.worker_id}/{attempt}"


def running_attempt_id(attempt: Attempt) -> str:
    return _id(attempt.key, attempt.number)
