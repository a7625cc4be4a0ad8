"""The scheduler: events in, commands out. No clock, thread, file or database.

Methods are events. ``turn`` decides what starts and returns the commands. ``view`` answers queries,
so that this module has only events. Every event carries its time, so that a test can be a story.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

from orchestrator.core.errors import Refused
from orchestrator.core.events import EventKind
from orchestrator.core.limits.budget import NOTHING
from orchestrator.core.limits.quotas import DaySpent, Quotas
from orchestrator.core.model.attempt.attempt_result import EndedBy, Evidence, Exit, Usage
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.attempt.message import WorkerMessage
from orchestrator.core.model.decisions.feedback import Feedback
from orchestrator.core.model.decisions.pause import Pause, RunningMode
from orchestrator.core.model.decisions.question import Decision
from orchestrator.core.model.gate import GateRun
from orchestrator.core.model.job import (
    Attempt,
    Job,
    TaskSpec,
    WaitingFor,
    Worker,
    WorkerKey,
)
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import StopCause, WaitKind
from orchestrator.core.outcome.agent_logins import Needs
from orchestrator.core.outcome.attempt_outcome import Verdict, ended_at, judge, result_of
from orchestrator.core.outcome.failure_classifier import classify, noted
from orchestrator.core.outcome.job.job_outcome import job_outcome
from orchestrator.core.outcome.job.reason import reason_of
from orchestrator.core.ports import Change, Tree
from orchestrator.core.scheduler.amendments import Amend, Amendments
from orchestrator.core.scheduler.commands import Command
from orchestrator.core.scheduler.merge_outcome import Merged, MergeRejection
from orchestrator.core.scheduler.start_order import RunTimes
from orchestrator.core.scheduler.start_queue import UNLIMITED, Capacity, Prompting, Slots
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.unit_of_work import changed
from orchestrator.core.scheduler.transitions.agent_fallback import AgentFallback
from orchestrator.core.scheduler.transitions.decisions import (
    Pauses,
    PlanApproval,
    Questions,
    plan_of,
)
from orchestrator.core.scheduler.transitions.finish import Completion
from orchestrator.core.scheduler.transitions.late_results import LateResults
from orchestrator.core.scheduler.transitions.leases import LeaseManager
from orchestrator.core.scheduler.transitions.merge_rejection import MergeRejections
from orchestrator.core.scheduler.transitions.recovery import Recovery
from orchestrator.core.scheduler.transitions.reopening import Reopening
from orchestrator.core.scheduler.transitions.usage import Accounting, LimitAsks
from orchestrator.core.scheduler.transitions.worker_events import GateEvents, WorkerMessages
from orchestrator.core.scheduler.transitions.worker_start import RunningWorkers, TaskLocks
from orchestrator.core.scheduler.view import SchedulerView

#: Maximum number of events: a worker that repeats a rejected call must not fill the store.
MOST_REFUSALS_TOLD = 10
#: Characters of the request in an event.
REQUEST_TOLD = 300


class Scheduler:
    def __init__(
        self,
        *,
        max_workers: int,
        max_live_workers: int | None = None,
        prompting: Prompting | None = None,
        needs: Needs | None = None,
        quotas: Quotas | None = None,
        run_times: RunTimes | None = None,
    ) -> None:
        quotas = quotas or Quotas()
        self._slots = Slots(
            max_workers=max_workers,
            max_live_workers=max_live_workers,
            of_key=lambda name: quotas.of(name).max_workers,
        )
        self._trees = JobTrees(self._slots, prompting, needs, quotas, run_times)
        self._unit_of_work = self._trees.unit_of_work
        self._running = RunningWorkers(self._trees)
        self._task_locks = TaskLocks(self._trees)
        #: Events and queries of locks that workers acquire and release while they run.
        self.leases: Final = LeaseManager(self._trees, self._running)
        self._fallback = AgentFallback(self._trees)
        self._completion = Completion(self._trees, self._fallback)
        self._late = LateResults(self._trees, self._completion)
        self._questions = Questions(self._trees, self._running, self._completion)
        self._pauses = Pauses(self._trees, self._questions)
        self._limit_asks = LimitAsks(self._trees, self._completion, self._pauses)
        self._accounting = Accounting(self._trees, self._completion, self._limit_asks)
        self._planning = PlanApproval(self._trees, self._completion, self._pauses)
        self._gate_events = GateEvents(self._trees)
        self._messages = WorkerMessages(self._trees)
        self._merge_rejections = MergeRejections(self._trees, self._completion, self._task_locks)
        self._reopening = Reopening(
            self._trees, self._planning, self._completion, self._running.attach
        )
        self._restoring = Recovery(
            self._trees,
            self._running,
            self._task_locks,
            self._completion,
            self._late,
            self._pauses,
            self._questions,
            self._limit_asks,
        )
        #: Read-only view for queries.
        self.view: Final = SchedulerView(
            self._trees, self._planning, self._accounting, self._limit_asks
        )
        self._ended_roots: list[str] = []

    def next_time(self) -> float | None:
        """Return the time of the next action that needs no event."""
        decisions = (self._questions.next_time, self._limit_asks.next_time)
        times = (self._trees.next_time(), self.leases.next_time, *decisions)
        return min((time for time in times if time is not None), default=None)

    def submit(
        self,
        job: Job,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        now: float,
        planner: Worker | None = None,
    ) -> None:
        """Add an admitted job; a child job's parent worker begins to wait.

        If the job has a planner, its tasks follow later. Raise Deadlock for a child job if its
        locks are held by a worker that waits for its parent; then nothing has changed.
        """
        self.check_locks(job, tasks)
        job = self._pauses.begun(job, now)
        self._unit_of_work.add_job(job, tasks, [planner] if planner else workers)
        payload = {"request": job.request, "parent_worker_id": job.parent_worker_id}
        self._unit_of_work.emit(
            EventKind.JOB_SUBMITTED, job, now, depth=job.depth, tasks=len(tasks), **payload
        )
        plan = plan_of(tasks, workers, planner)
        self._trees.register(job, plan, planner.key if planner else None)
        if job.parent_key is not None:
            parent = self._unit_of_work.workers[job.parent_key]
            self._unit_of_work.update_worker(
                parent.key,
                child_job_ids=(*parent.child_job_ids, job.id),
                child_workers=parent.child_workers + len(workers),
            )
            self.attach(parent.key, job.id, now)
        self._completion.check_job(job.id, now)

    def plan_taken(
        self,
        job_id: str,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        source: str,
        reason: str,
        now: float,
    ) -> None:
        """Add the job's tasks from its plan. ``source``: the planner; ``reason``: why another
        planner was used.
        """
        self._planning.taken(job_id, tasks, workers, source, reason, now)

    def plan_impossible(self, job_id: str, reason: str, now: float) -> None:
        """End a job without tasks, because no plan is possible."""
        self._planning.impossible(job_id, reason, now)

    def approve_plan(self, job_id: str, by: str, now: float, comment: str = "") -> None:
        """Start the tasks of a planned job.

        Raise Conflict if the job does not wait for approval.
        """
        self._planning.approve(job_id, by, now, comment)

    def check_plan(self, job_id: str, version: int) -> None:
        """Raise Conflict if no plan of this version waits for approval."""
        self._planning.check_version(job_id, version)

    def edit_plan(
        self,
        job_id: str,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        by: str,
        now: float,
    ) -> None:
        """Replace the plan of a job that waits for approval; see ``check_plan``."""
        self._planning.edit(job_id, tasks, workers, by, now)

    def reject_plan(self, job_id: str, by: str, now: float, comment: str = "") -> None:
        """End a job that waits for approval. Raise Conflict if it does not wait."""
        self._planning.check_waits(job_id)
        why = f": {comment}" if comment else ""
        self.cancel(job_id, f"{by}: the plan was rejected{why}", now)

    def agent_passed_over(self, job: Job, best: str, instead: str, why: str, now: float) -> None:
        """Record that a job without a fixed agent started with a fallback agent."""
        self._fallback.taken_in(job, best, instead, why, now)

    def check_locks(self, job: Job, tasks: Sequence[TaskSpec]) -> None:
        """Raise Deadlock for tasks of a child job that could never start."""
        self._task_locks.check(job, tasks)

    def attach(self, key: WorkerKey, child_job_id: str, now: float) -> None:
        """Make the worker wait for a child job, unless that has ended. Idempotent."""
        self._running.attach(key, child_job_id, now)

    def refused(self, key: WorkerKey, request: str, error: Refused, now: float) -> None:
        """Record that a limit rejected a child job. Only the first rejections of a worker emit
        events.
        """
        worker, node = self._unit_of_work.workers[key], self._trees.nodes[key]
        node.refused_child_jobs += 1
        before = worker.result.refused_child_jobs if worker.result else 0
        number = node.refused_child_jobs + before
        if number > MOST_REFUSALS_TOLD:
            return
        detail = error.message
        if number == MOST_REFUSALS_TOLD:
            detail += " (further rejections of this worker are only counted)"
        self._unit_of_work.emit(
            EventKind.CHILD_JOB_REFUSED,
            self._trees.job_of(worker),
            now,
            worker.id,
            limit=error.kind,
            detail=detail,
            request=request[:REQUEST_TOLD],
            number=number,
        )

    def context_prepared(self, job_id: str) -> None:
        """Record that the job's shared context exists; queue waiting workers. Idempotent."""
        self._trees.queue_again(self._trees.holds.prepared(job_id))

    def used(self, key: WorkerKey, attempt: int, usage: Usage, now: float) -> str:
        """Record an attempt's usage so far. Return why the attempt must stop, or ""."""
        return self._accounting.used(key, attempt, usage, now)

    def message(self, key: WorkerKey, message: WorkerMessage) -> Worker:
        """Store a message to a worker. Idempotent by its id. Raise Conflict for a worker that has
        ended.
        """
        return self._messages.send(key, message)

    def messages_read(self, key: WorkerKey, attempt: int, ids: Collection[str], now: float) -> None:
        """Record that an attempt's agent has read messages. Idempotent."""
        self._messages.read(key, attempt, ids, now)

    def checking(self, key: WorkerKey, attempt: int, gates: Sequence[str], now: float) -> None:
        """Record that an attempt has succeeded so far, and its gates begin."""
        self._gate_events.begun(key, attempt, gates, now)

    def held(self, key: WorkerKey, attempt: int, reason: str) -> None:
        """Record that an attempt waits for disk space; an empty ``reason`` ends the wait."""
        current = self._unit_of_work.attempts.get(key)
        if current is None or current.number != attempt:
            return
        if reason:
            self._unit_of_work.hold_worker(key, WaitingFor(WaitKind.DISK), reason)
        else:
            self._unit_of_work.update_worker(key, reason="")

    def gate_ran(self, run: GateRun, now: float) -> None:
        """Record that a run of a gate begins, or has ended."""
        self._gate_events.ran(run, now)

    def keys_issued(self, key: WorkerKey, token_hash: str, record_hash: str) -> None:
        """Store the hashes of an attempt's API key and record secret, before it starts."""
        self._unit_of_work.update_attempt(key, token_hash=token_hash, record_hash=record_hash)

    def free_retry(self, key: WorkerKey) -> None:
        """Record that the worker did not cause its attempt's end, so that its retry is not counted.

        Call before ``exited``.
        """
        spent = self._unit_of_work.workers[key].budget_from
        self._unit_of_work.update_worker(key, budget_from=spent + 1, failure="")

    def exited(
        self, key: WorkerKey, attempt: int, exit: Exit, evidence: Evidence, now: float
    ) -> None:
        """Process the end of an attempt. Ignore an attempt that is not the current one."""
        current = self._unit_of_work.attempts.get(key)
        if current is None or current.number != attempt:
            return
        worker, node = self._unit_of_work.workers[key], self._trees.nodes[key]
        self.leases.attempt_ended(key, now)
        self._running.process_gone(worker, node)
        verdict = self._trees.logins.told(worker.agent, judge(exit, evidence), now)
        if exit.ended_by is EndedBy.EXIT and not verdict.not_started:
            self._trees.tool_starts.began(worker.agent)
        node.ended_at = ended_at(current, exit, evidence, now)
        ended = self._unit_of_work.end_attempt(
            key,
            ended_at=node.ended_at,
            exit=exit,
            reason=verdict.reason,
            session=evidence.session,
        )
        self._late.ended(ended)
        took = node.ended_at - current.started_at
        result = result_of(worker.result, current, exit, evidence, took)
        result = noted(result, classify(worker, exit, evidence, verdict))
        refused, node.refused_child_jobs = node.refused_child_jobs, 0
        if refused:
            refused += result.refused_child_jobs
            result = replace(result, refused_child_jobs=refused)
        had = worker.result.usage if worker.result else NOTHING
        self._trees.spend(worker, had, result.usage, now)
        self._unit_of_work.update_worker(key, result=result)
        self._gate_events.ended(key, attempt, evidence.gates, now)
        self._messages.read(key, attempt, evidence.messages, now)
        stopped = worker.cancelled_by is not None or self._trees.job_of(worker).stop_cause
        if exit.cause is ExitCause.PAUSED and not stopped:
            self._completion.paused(key, now)
        else:
            verdict = self._completion.as_stopped(worker, exit) or verdict
            until = self._account(worker, verdict, evidence, now)
            self._completion.settle(key, verdict, now, until)
        if had != result.usage:
            self._accounting.check_limits(worker, now)
        self._accounting.check_price(worker, now)

    def _account(
        self, worker: Worker, verdict: Verdict, evidence: Evidence, now: float
    ) -> float | None:
        """Return when the worker may be retried, if its agent's account was rate-limited."""
        throttle = self._running.throttle
        if verdict.rate_limited:
            return throttle.refused(worker.agent, evidence.resets_at, now)
        if verdict.succeeded:
            throttle.succeeded(worker.agent)
            self._trees.logins.worked(worker.agent, now)
        return None

    def attempts_sought(self, now: float) -> Sequence[Attempt]:
        """Return lost attempts whose exit records should be read now. If a record exists, call
        ``late_result``.
        """
        return self._late.sought(now)

    def late_result(
        self, attempt: Attempt, exit: Exit, evidence: Evidence, record: str, now: float
    ) -> None:
        """Process the end of a lost attempt. ``record``: path of its exit record."""
        self._late.arrived(attempt, exit, evidence, record, now)

    def cancel(self, job_id: str, by: str, now: float, worker_key: WorkerKey | None = None) -> None:
        """Stop a job and all its descendants. Idempotent.

        ``by`` is the caller as text; ``worker_key`` is its worker, None for an API key.
        """
        cause = StopCause.USER if worker_key is None else StopCause.PARENT
        if worker_key is not None and worker_key == self._unit_of_work.jobs[job_id].parent_key:
            cause = StopCause.WITHDRAWN
        self._completion.stop_tree(job_id, cause, by, now)

    def answer(
        self, key: WorkerKey, decision: Decision, by: str, comment: str, now: float
    ) -> Worker:
        """End the open question of a worker. Raise Conflict if the worker has no open question."""
        worker = self._unit_of_work.workers[key]
        return self._questions.answer(worker, decision, by, comment, now)

    def pause(self, job_id: str, by: str, running: RunningMode, now: float) -> None:
        """Start nothing new in an unfinished job and its descendants. Idempotent.

        ``running`` decides if running attempts finish or stop. The wall time stands still.
        """
        self._pauses.pause(job_id, by, running, now)

    def resume(self, job_id: str, by: str, now: float) -> None:
        """Let a paused job continue. Idempotent. Raise Conflict if all jobs are paused."""
        self._pauses.resume(job_id, by, now)
        self._limit_asks.check(job_id, now)

    def raise_budget(self, job_id: str, config: JobConfig, by: str, now: float) -> None:
        """Replace the limits of an unfinished job by larger ones; it resumes if it asked."""
        self._limit_asks.raise_budget(job_id, config, by, now)

    def pause_all(self, by: str, running: RunningMode, now: float) -> None:
        """Pause every job, including jobs that are submitted later. Idempotent."""
        self._pauses.pause_all(by, running, now)

    def resume_all(self, by: str, now: float) -> None:
        """End the pause of all jobs. Idempotent."""
        self._pauses.resume_all(by, now)

    def load_pause(self, pause: Pause | None) -> None:
        """Load the stored pause of all jobs. Call this before jobs are restored."""
        self._trees.pause = pause

    def cancel_worker(self, worker: Worker, by: str, now: float) -> None:
        """Stop one worker and its child jobs; its job continues without it. Idempotent.

        ``by`` is the caller as text. Raise Conflict while the job's plan waits for approval.
        """
        self._completion.stop_worker(worker, by, now)

    def merge_refused(self, job_id: str, refusals: Sequence[MergeRejection], now: float) -> bool:
        """Retry the workers of rejected branches. Return True if the job therefore continues."""
        return self._merge_rejections.refused(job_id, refusals, now)

    def merged(self, job_id: str, merged: Merged) -> None:
        """Store the outcome of the merge of a job whose reports follow."""
        self._merge_rejections.merged(job_id, merged)

    def merged_later(self, job_id: str, merged: Merged, now: float) -> None:
        """Store the outcome of another merge of an ended job: it replaces the former outcome."""
        self._merge_rejections.merged_later(job_id, merged, now)

    def rendered(self, job_id: str, now: float) -> None:
        """End a job after its reports were written, or after writing them failed."""
        if job_id not in self._completion.rendering:
            return
        self._completion.rendering.discard(job_id)
        job = self._unit_of_work.jobs[job_id]
        workers = [each for each in self._trees.workers_of(job_id) if not each.is_planner]
        status = job_outcome(
            workers,
            job.cancelled,
            incomplete=job.lacks_changes,
            fails_unjudged=job.fails_unjudged,
        )
        reason = reason_of(changed(job, status=status, pause=None))
        ended = self._unit_of_work.move_job(job_id, status, ended_at=now, reason=reason, pause=None)
        self._unit_of_work.emit(EventKind.JOB_ENDED, ended, now, status=str(status), reason=reason)
        if job.parent_key is None:
            self._ended_roots.append(job_id)
        else:
            self._child_ended(job.parent_key, job_id, now)

    def update_config(self, job_id: str, config: JobConfig) -> None:
        """Replace the settings of a job that will run again."""
        self._unit_of_work.update_job(job_id, config=config)

    def retry(self, job_id: str, by: str, now: float) -> int:
        """Run the unsuccessful tasks of an ended job again, and workers that did not create all
        promised files; see ``check_rerun``.

        Return the number of retried workers. A failed candidate of a task that succeeded is not
        retried.
        """
        return self._reopening.retry(job_id, by, now)

    def retry_worker(self, worker: Worker, by: str, now: float) -> int:
        """Run one worker again that did not succeed, and the tasks that were skipped because of
        it; the job may run or have ended. Return the number of workers.
        """
        return self._reopening.retry_worker(worker, by, now)

    def give_feedback(
        self,
        worker: Worker,
        feedback: Feedback,
        now: float,
        *,
        agent: str = "",
        landed: Sequence[str] = (),
    ) -> None:
        """Begin one more attempt of an ended worker, with a person's comments on its change.

        The job may run or have ended. ``agent``: the agent of the attempt; empty: the same as
        before. ``landed``: the branches that have the job's result.
        """
        self._reopening.give_feedback(worker, feedback, agent, landed, now)

    def choose(self, worker: Worker, by: str, now: float, reason: str = "") -> None:
        """Store a person's choice of a candidate of an ended job. Raise Conflict."""
        self._completion.selection.overrule(worker, by, now, reason)

    def resolve_again(self, job_id: str, by: str, now: float) -> None:
        """Merge an ended job again, and start new attempts of workers in conflict."""
        self._reopening.resolve_again(job_id, by, now)

    def turn(self, now: float, *, room: Capacity = UNLIMITED) -> Sequence[Command]:
        """Start and resume workers within the limits, and return the commands since the last turn.

        ``take_changes`` then returns the changes. ``room``: the machine's free capacity.
        """
        for job in self._trees.jobs_out_of_time(now):
            self._limit_asks.wall_time_over(job, now)
        self._limit_asks.turn(now)
        self._accounting.stop_spent_days(now)
        self._questions.turn(now)
        self.leases.turn(now)
        self._running.start_what_has_room(now, room, self._completion.rendering)
        commands, self._trees.commands = self._trees.commands, []
        return commands

    def take_changes(self) -> Change:
        """Return the changes since the last call. The caller must store them before it executes
        commands.
        """
        return self._unit_of_work.take()

    def amend(self, amend: Amend) -> None:
        """Change the stored state of a tree that is in memory."""
        amend(Amendments(self._unit_of_work))

    def forget_ended(self) -> None:
        """Drop root jobs that have ended; they remain in the store."""
        ended, self._ended_roots = self._ended_roots, []
        for root_id in ended:
            if root_id in self._trees and self._unit_of_work.jobs[root_id].status.ended:
                self._trees.forget(root_id)

    def forget(self, root_id: str) -> None:
        """Drop a restored tree that was not changed."""
        self._trees.forget(root_id)

    def forget_after_turn(self, root_id: str) -> None:
        """Drop an ended tree after this turn, because it was restored for one change only."""
        self._ended_roots.append(root_id)

    def load_spending(self, days: Iterable[DaySpent]) -> None:
        """Load today's stored costs. Call this first."""
        self._trees.quotas.load(days)

    def restore(self, tree: Tree, now: float) -> Sequence[Attempt]:
        """Load a tree from the store. Return the attempts without a recorded end.

        The caller must call ``exited`` for each of these attempts: now if the attempt is known to
        be over, otherwise at its end.
        """
        return self._restoring.restore(tree, now)

    def _child_ended(self, key: WorkerKey, child_job_id: str, now: float) -> None:
        node = self._trees.nodes[key]
        node.open_children.discard(child_job_id)
        if node.open_children:
            return
        self._task_locks.children_ended(self._unit_of_work.workers[key], now)
        if node.verdict is not None:
            self._completion.settle(key, node.verdict, now)
        elif node.alive and not node.has_slot and not node.waits_for_lock:
            self._running.wait_for_slot(self._unit_of_work.workers[key])
