"""The supervisor: the one loop that owns the state of jobs.

The loop runs in turns. Each turn has these steps:

1. Take messages from the ``Inbox``, and let the scheduler decide.
2. Store the changes.
3. Execute the scheduler's commands, and answer the callers.

The ``Publisher`` passes stored changes to observers.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, TypeVar

from orchestrator.core import failpoints
from orchestrator.core.errors import OrchestratorError, StoreAway, StoreError, Unavailable
from orchestrator.core.gates.gate import GateRun
from orchestrator.core.model.job import Attempt, WorkerKey
from orchestrator.core.model.scheduler_commands import (
    AdoptPlan,
    Command,
    CreateContext,
    Render,
    SetWaiting,
    Start,
    Stop,
    StopMerging,
    WithdrawLaunch,
)
from orchestrator.core.outcome.job.unmerged_changes import lacks_worktrees, may_lack_promised
from orchestrator.core.outcome.retry_policy import FREE_RETRY
from orchestrator.core.ports import StateChange, Store
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.attempts.attempt_runner import AttemptRunner
from orchestrator.engine.attempts.launch_preparation import IssuedCredentials
from orchestrator.engine.merge.merge_queue import MergeQueue
from orchestrator.engine.report_queue import ReportQueue
from orchestrator.engine.runtime import clock
from orchestrator.engine.runtime.machine_headroom import Headroom
from orchestrator.engine.runtime.supervisor_messages import (
    AttemptBegun,
    AttemptEnded,
    AttemptHeld,
    AttemptReturned,
    Call,
    ContextPrepared,
    GatesStarted,
    JobMerged,
    Message,
    ReportsRendered,
    StopLoop,
)
from orchestrator.engine.submission.planner_answer import AgentPlans
from orchestrator.engine.supervisor.inbox import Inbox
from orchestrator.engine.supervisor.lock_calls import LockCalls
from orchestrator.engine.supervisor.outbox_entries import OutboxEntries
from orchestrator.engine.supervisor.publisher import Publisher
from orchestrator.security.secrets.api_keys import hash_key, new_key, new_proof

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Maximum seconds for which a caller waits for the loop. After this time, the call fails, and the
#: error suggests a retry. Timeouts of clients are longer, so that clients get this error.
CALL_TIMEOUT_SECONDS = 20.0
#: Seconds between two turns while shims have preloaded launches, which begin without a turn. Events
#: gather between two turns, so that one transaction stores the ends of several workers. With a
#: longer time, shims would run out of preloaded launches.
GATHER_SECONDS = 0.01
#: Maximum seconds between two turns while a missing resource delays workers, and between two tries
#: to save the state.
RETRY_SECONDS = 0.5
_UNSAVED = "cannot save the state, so no worker starts: %s"
_STOPPING = "the server is stopping, or has failed; retry later"
#: Seconds until the first retry of a failed save. The time is short, because a lost connection to
#: the database can often be restored at once.
FIRST_RETRY_SECONDS = 0.02


class Supervisor:
    """The loop that owns the state of jobs.

    Only the supervisor's thread changes the state. Other threads use ``call`` to run a function in
    this thread.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        store: Store,
        inbox: Inbox[Message],
        attempts: AttemptRunner,
        agent_plans: AgentPlans,
        merge_queue: MergeQueue,
        report_queue: ReportQueue,
        publisher: Publisher,
        headroom: Headroom,
        lock_calls: LockCalls,
        outbox_entries: OutboxEntries,
    ) -> None:
        self._scheduler = scheduler
        #: The state, for reading. ``SchedulerView`` states what other threads may read.
        self.view: Final = scheduler.view
        self._outbox_entries = outbox_entries
        self._lock_calls = lock_calls
        self._store = store
        self._attempts = attempts
        self._agent_plans = agent_plans
        self._merge_queue = merge_queue
        self._report_queue = report_queue
        self._publisher = publisher
        self._headroom = headroom
        self._inbox = inbox
        self._stopping = threading.Event()
        #: The reason that was passed to ``fail``; empty if ``fail`` was not called.
        self._failure = ""
        #: Why the latest change cannot be stored; empty if the change was stored.
        self.store_trouble = ""
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the current turn, then end the loop. Running attempts continue."""
        self._stopping.set()
        self._inbox.put(StopLoop())
        if self._thread.is_alive():
            self._thread.join()

    def fail(self, why: str) -> None:
        """Make the loop end soon, and make all calls fail with the reason ``why``.

        Return at once, before the loop ends. If the current turn cannot be saved, the save is not
        retried.
        """
        self._failure = why
        self._stopping.set()
        self._inbox.put(StopLoop())

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def paused(self) -> str:
        """The reason why some or all workers cannot start, other than a lack of slots; or empty."""
        pause = self._scheduler.view.pause
        resume_hint = f"resume: {COMMAND} resume --all"
        pause_reason = f"all jobs are paused by key {pause.by!r}; {resume_hint}" if pause else ""
        return pause_reason or self._headroom.paused or self._attempts.waits_for_space

    def heard_from(self, attempt: Attempt) -> None:
        """Record that a worker has called the API, which proves that the worker has begun.

        This matters for a preloaded launch, which a shim begins without the server: the worker's
        call may arrive before the shim reports the begin.
        """
        if self._scheduler.view.is_preloaded(attempt.key):
            self.call(lambda scheduler, now: scheduler.heard_from(attempt.key, now))

    def call(self, action: Callable[[Scheduler, float], T]) -> T:
        """Run ``action`` in the supervisor's thread, store its changes, and return its result.

        ``action`` gets the scheduler and the current Unix time. Raise the errors of ``action``.
        Raise Unavailable if the changes cannot be stored, or if the supervisor stops.
        """
        if self._stopping.is_set():
            raise self._unavailable_error()
        answer: Future[T] = Future()
        self._inbox.put(Call(action, answer))
        try:
            return answer.result(timeout=CALL_TIMEOUT_SECONDS)
        except TimeoutError:
            why = self.store_trouble or "is the disk full?"
            raise Unavailable(
                f"cannot save state ({why}); the request may still be accepted later; before you "
                f"repeat it, list the jobs: {COMMAND} jobs"
            ) from None

    def _run(self) -> None:
        # Run the first turn without waiting for a message, because recovery may have changed jobs.
        items: list[Message] = []
        while True:
            try:
                self._turn(items)
            except Exception as error:
                # A bug must not end the loop, because all jobs depend on the loop.
                trace = not isinstance(error, StoreAway)
                logger.error("a scheduler turn failed: %s", error, exc_info=trace)
                self._fail_calls(items)
            if self._stopping.is_set():
                break
            items = self._wait()
        self._fail_calls(self._inbox.take_queued())
        self._headroom.close()

    def _wait(self) -> list[Message]:
        try:
            seconds = self._idle_seconds()
            if not self._scheduler.view.has_launches_ahead:
                return self._inbox.wait(seconds)
            gather_seconds = GATHER_SECONDS if seconds is None else min(GATHER_SECONDS, seconds)
            return self._inbox.wait(seconds, gather_seconds)
        except Exception:
            logger.exception("the wait for messages failed")
            self._stopping.wait(RETRY_SECONDS)
            return self._inbox.take_queued()

    def _idle_seconds(self) -> float | None:
        times = [self._scheduler.next_time()]
        if self._lock_calls.waiting:
            times.append(self._lock_calls.retry_at)
        due = min((time for time in times if time is not None), default=None)
        seconds = None if due is None else max(0.0, due - clock.now())
        if self._headroom.held_back:
            seconds = RETRY_SECONDS if seconds is None else min(seconds, RETRY_SECONDS)
        return seconds

    def _turn(self, items: Sequence[Message]) -> None:
        now = clock.now()
        answers = [self._apply(item, now) for item in items]
        for late_end in self._attempts.late_ends(now):
            self._scheduler.late_result(
                late_end.attempt, late_end.exit, late_end.evidence, late_end.record, now
            )
        if self._lock_calls.waiting:
            answers += self._lock_calls.turn(now)
        commands = self._scheduler.turn(now, capacity=self._headroom.capacity())
        starts = [command for command in commands if isinstance(command, Start)]
        issued = {start.key: self._issue_keys(start) for start in starts}
        change = self._scheduler.take_changes()
        # Without a receiver of messages, which is the usual case, no outbox entries are needed.
        if self._outbox_entries.subscriptions or self._scheduler.view.has_callback(change.events):
            change = self._outbox_entries.with_entries(change, self._scheduler.view)
        self._save(change)
        for command in commands:
            if not (isinstance(command, Start) and command.preload):
                self._try_command(command, issued)
        # Answer callers before the preloaded launches, because there may be many such launches.
        for answer in answers:
            answer()
        for start in starts:
            if start.preload:
                self._try_command(start, issued)
        failpoints.reached("turn: commands run")
        self._publisher.publish(change)
        self._scheduler.forget_ended()

    def _apply(self, item: Message, now: float) -> Callable[[], None]:
        """Pass a message to the scheduler. Return a function to call after the state is stored.

        For a ``Call``, the function answers the caller. For a ``JobMerged``, the function requests
        the job's reports. For any other message, the function does nothing.
        """
        match item:
            case AttemptEnded():
                self._attempt_ended(item, now)
            case AttemptBegun():
                self._scheduler.launch_begun(item.key, item.attempt, item.at)
            case AttemptReturned():
                self._scheduler.launch_returned(item.key, item.attempt, now)
            case GatesStarted():
                self._scheduler.gates_begun(item.key, item.attempt, item.gates, now)
            case GateRun():
                self._scheduler.gate_ran(item, now)
            case AttemptHeld():
                self._scheduler.set_disk_wait(item.key, item.attempt, item.reason)
            case JobMerged():
                return self._merge_ended(item, now)
            case ReportsRendered():
                self._scheduler.reports_written(item.job_id, now)
            case ContextPrepared():
                self._scheduler.context_prepared(item.job_id)
            case AdoptPlan():
                self._agent_plans.adopt(item.job_id, now)
            case Call():
                return self._run_call(item, now)
        return lambda: None

    def _merge_ended(self, item: JobMerged, now: float) -> Callable[[], None]:
        """Record the end of a merge. Return a function to call after the turn has been stored.

        The function requests the job's reports. But if the merge rejected branches, and their
        workers are retried, the function does nothing: another merge follows the retries.
        """
        job_id, outcome = item.render.job_id, item.merged
        if self._scheduler.changes_rejected(job_id, outcome.rejections, now):
            return lambda: None
        self._scheduler.merged(job_id, outcome)
        return lambda: self._report_queue.enqueue(item.render)

    def _attempt_ended(self, message: AttemptEnded, now: float) -> None:
        view = self._scheduler.view
        attempt = view.attempts.get(message.key)
        if attempt is not None and attempt.number == message.attempt:
            self._headroom.worker_ended(view.workers[message.key].agent, now - attempt.started_at)
            if message.exit.cause in FREE_RETRY:
                # Such a retry does not count. Even a full disk causes no endless retries, because
                # the next check of the disk stops further starts.
                self._scheduler.free_retry(message.key)
        self._scheduler.exited(message.key, message.attempt, message.exit, message.evidence, now)

    def _run_call(self, call: Call, now: float) -> Callable[[], None]:
        try:
            result = call.action(self._scheduler, now)
        except OrchestratorError as error:
            failure: Exception = error
        except Exception as error:
            logger.exception("a call to the supervisor failed")
            failure = error
        else:
            return lambda: call.answer.set_result(result)
        return lambda: call.answer.set_exception(failure)

    def _issue_keys(self, start: Start) -> IssuedCredentials:
        issued = IssuedCredentials(new_key(), new_proof(), start.node)
        self._scheduler.keys_issued(start.key, hash_key(issued.key), issued.proof.digest)
        return issued

    def _save(self, change: StateChange) -> None:
        """Store the changes of a turn, before the turn's commands are executed.

        If the store fails, wait and retry. Raise StoreError if the supervisor is stopped before the
        changes are stored.
        """
        self._publisher.announce()
        pause = FIRST_RETRY_SECONDS
        while True:
            try:
                self._store.save(change)
            except StoreError as error:
                logged_trouble, self.store_trouble = self.store_trouble, error.message
                if self.store_trouble != logged_trouble:
                    # An unreachable database is not a bug, so the log needs no traceback.
                    trace = not isinstance(error, StoreAway)
                    logger.error(_UNSAVED, self.store_trouble, exc_info=trace)
                self._headroom.store_failed()
                if self._stopping.wait(pause):
                    self._publisher.withdraw()
                    raise
                pause = min(2 * pause, RETRY_SECONDS)
            else:
                if self.store_trouble:
                    logger.warning("the state can be saved again; workers start")
                self.store_trouble = ""
                return

    def _try_command(self, command: Command, issued: dict[WorkerKey, IssuedCredentials]) -> None:
        try:
            self._execute(command, issued)
        except Exception:
            # Continue with the turn's other commands, because they concern other workers.
            logger.exception("a command failed", extra={"command": repr(command)})

    def _execute(self, command: Command, issued: dict[WorkerKey, IssuedCredentials]) -> None:
        match command:
            case Start():
                self._attempts.start(command, issued[command.key])
            case WithdrawLaunch():
                self._attempts.withdraw_launch(command)
            case Stop():
                self._attempts.stop(command)
            case CreateContext():
                self._attempts.make_context(command)
            case SetWaiting():
                self._attempts.set_waiting(command)
            case Render():
                self._queue_reports(command)
            case StopMerging():
                self._merge_queue.stop(command.job_id)
            case AdoptPlan():
                self._inbox.put(command)

    def _queue_reports(self, command: Render) -> None:
        view, jobs = self._scheduler.view, self._scheduler.view.jobs
        merges = (
            any(jobs[each].config.base or jobs[each].lacks_changes for each in command.family)
            or lacks_worktrees(jobs[command.job_id], view.tasks_of(command.job_id).values())
            or any(map(may_lack_promised, view.workers_of(command.job_id)))
        )
        (self._merge_queue if merges else self._report_queue).enqueue(command)

    def _fail_calls(self, items: Sequence[Message]) -> None:
        for item in items:
            if isinstance(item, Call) and not item.answer.done():
                item.answer.set_exception(self._unavailable_error())

    def _unavailable_error(self) -> Unavailable:
        why = f"the server exits: {self._failure}" if self._failure else _STOPPING
        return Unavailable(why)
