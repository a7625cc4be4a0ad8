"""The scheduler: events in, commands out. It uses no clock, thread, file, or database.

Each event is a method call. The caller passes the time of the event, so that a test can simulate
any sequence of events. ``turn`` decides which workers start, and returns the commands for the
engine. ``view`` answers queries.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from orchestrator.core.errors import Refused
from orchestrator.core.gates.gate import GateRun
from orchestrator.core.limits.key_costs_and_jobs import AllKeyLimits, DailyCost
from orchestrator.core.model.attempt.attempt_result import Evidence, Exit, Usage
from orchestrator.core.model.human_input.feedback import Feedback
from orchestrator.core.model.human_input.messages import WorkerMessage
from orchestrator.core.model.human_input.pause import Pause, RunningMode
from orchestrator.core.model.human_input.question import Decision
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.machines import UNLIMITED, Capacity
from orchestrator.core.model.scheduler_commands import Command
from orchestrator.core.outcome.merge_outcome import MergeOutcome, MergeRejection
from orchestrator.core.ports import Prompting, StateChange, Tree
from orchestrator.core.ports.credentials import CredentialLookup
from orchestrator.core.scheduler.lock_leases import LeaseManager
from orchestrator.core.scheduler.manual_changes import Amend, ManualChanges
from orchestrator.core.scheduler.queue.worker_slots import Slots
from orchestrator.core.scheduler.scheduler_view import SchedulerView
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.running_workers.preloaded_launches import Began
from orchestrator.core.scheduler.transitions.running_workers.worker_start import RunningWorkers
from orchestrator.core.scheduler.transitions.scheduler_parts import Parts


class Scheduler:
    def __init__(
        self,
        *,
        max_workers: int,
        max_live_workers: int | None = None,
        prompting: Prompting | None = None,
        credentials: CredentialLookup | None = None,
        key_limits: AllKeyLimits | None = None,
        run_times: Iterable[tuple[str, float]] = (),
    ) -> None:
        """``run_times``: stored values of ``StateChange.run_times``, oldest first."""
        key_limits = key_limits or AllKeyLimits()
        slots = Slots(
            max_workers=max_workers,
            max_live_workers=max_live_workers,
            of_key=lambda name: key_limits.of(name).max_workers,
        )
        prompting, credentials = prompting or Prompting(), credentials or CredentialLookup()
        trees = self._trees = JobTrees(slots, prompting, credentials, key_limits, run_times)
        self._unit_of_work = trees.unit_of_work
        self._ended_roots: list[str] = []

        running = RunningWorkers(trees)
        #: Events and queries about the locks that workers acquire and release while they run.
        self.leases: Final = LeaseManager(trees, running)
        parts = self._parts = Parts(trees, running, self.leases.attempt_ended)
        #: Read-only view for queries.
        self.view: Final = SchedulerView(
            trees, parts.job_end, parts.accounting, parts.limit_handler
        )

    def next_time(self) -> float | None:
        """Return when the scheduler must run next if no event comes first; None if never."""
        lease_time = self.leases.next_time if self._trees.locks.is_used else None
        times = (self._trees.next_time(), lease_time)
        return min((time for time in times if time is not None), default=None)

    def submit(
        self,
        job: Job,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        now: float,
        planner: Worker | None = None,
    ) -> None:
        """Add an admitted job. If the job is a child job, its parent worker begins to wait.

        If the job has a planner, ``plan_adopted`` adds the job's tasks later.

        Raise Deadlock, without a change, if a child job needs a lock whose holder waits for the
        parent worker. The parent worker would wait for the child job, so no worker could continue.
        """
        self._parts.submission.submit(job, tasks, workers, planner, now)

    def plan_adopted(
        self,
        job_id: str,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        source: str,
        reason: str,
        now: float,
    ) -> None:
        """Add the tasks of a job's plan. ``source``: the planner that created the plan.

        ``reason``: why the planning agent created no plan; empty if ``source`` is this agent.
        """
        self._parts.planning.adopted(job_id, tasks, workers, source, reason, now)

    def plan_impossible(self, job_id: str, reason: str, now: float) -> None:
        """End a job that has no tasks, because no planner could create a plan.

        ``reason``: the cause as text.
        """
        self._parts.planning.impossible(job_id, reason, now)

    def approve_plan(self, job_id: str, by: str, now: float, comment: str = "") -> None:
        """Approve a job's plan, so that its tasks can start.

        Raise Conflict if the job does not wait for approval.
        """
        self._parts.planning.approve(job_id, by, now, comment)

    def check_plan(self, job_id: str, version: int) -> None:
        """Raise Conflict if the job does not wait for approval.

        Also raise Conflict if the plan's version is not ``version``.
        """
        self._parts.planning.check_version(job_id, version)

    def edit_plan(
        self,
        job_id: str,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        by: str,
        now: float,
    ) -> None:
        """Replace the plan of a job that waits for approval. Call ``check_plan`` first."""
        self._parts.planning.edit(job_id, tasks, workers, by, now)

    def reject_plan(self, job_id: str, by: str, now: float, comment: str) -> None:
        """Reject a job's plan, which ends the job.

        Raise Conflict if the job does not wait for approval.
        """
        self._parts.planning.check_waits(job_id)
        suffix = f": {comment}" if comment else ""
        self.cancel(job_id, f"{by}: the plan was rejected{suffix}", now)

    def agent_passed_over(self, job: Job, best: str, instead: str, why: str, now: float) -> None:
        """Record that a job without a fixed agent started with a fallback agent.

        ``best``: the agent that was replaced. ``instead``: the fallback agent.
        """
        self._parts.fallback.record_fallback(job, best, instead, why, now)

    def check_locks(self, job: Job, tasks: Sequence[TaskSpec]) -> None:
        """Raise Deadlock if a task of ``job`` could never acquire its locks.

        Do nothing if ``job`` is a root job.
        """
        self._parts.task_locks.check(job, tasks)

    def attach(self, key: WorkerKey, child_job_id: str, now: float) -> None:
        """Make the worker wait for a child job, unless the child job has ended. Idempotent."""
        self._parts.running.attach(key, child_job_id, now)

    def child_job_refused(self, key: WorkerKey, request: str, error: Refused, now: float) -> None:
        """Record that the worker ``key`` requested a child job, and that a limit rejected it.

        Only the first MOST_REFUSAL_EVENTS rejections of a worker emit events.
        """
        self._parts.submission.child_job_refused(key, request, error, now)

    def context_prepared(self, job_id: str) -> None:
        """Record that the job's shared context exists, so that its workers can start.

        Idempotent.
        """
        self._trees.queue_again(self._trees.holds.context_created(job_id))

    def usage_reported(self, key: WorkerKey, attempt: int, usage: Usage, now: float) -> str:
        """Record an attempt's usage so far.

        Return why the attempt must stop; "" if it may continue.
        """
        return self._parts.accounting.record_usage(key, attempt, usage, now)

    def message(self, key: WorkerKey, message: WorkerMessage) -> Worker:
        """Store a message to a worker. Idempotent by the message's id.

        Raise Conflict if the worker has ended, or has the maximum number of messages.
        """
        return self._parts.messages.send(key, message)

    def messages_read(self, key: WorkerKey, attempt: int, ids: Collection[str], now: float) -> None:
        """Record that an attempt's agent has read messages. Idempotent."""
        self._parts.messages.read(key, attempt, ids, now)

    def gates_begun(self, key: WorkerKey, attempt: int, gates: Sequence[str], now: float) -> None:
        """Record that the gates of an attempt begin, because the attempt has no failure so far.

        ``gates``: names of the gates.
        """
        self._parts.gate_events.begun(key, attempt, gates, now)

    def set_disk_wait(self, key: WorkerKey, attempt: int, reason: str) -> None:
        """Record that an attempt waits for disk space; an empty ``reason`` ends the wait."""
        self._parts.running.set_disk_wait(key, attempt, reason)

    def gate_ran(self, run: GateRun, now: float) -> None:
        self._parts.gate_events.ran(run, now)

    def keys_issued(self, key: WorkerKey, token_hash: str, record_hash: str) -> None:
        """Store the hashes of an attempt's API key and of its exit record's secret.

        Call this before the attempt starts.
        """
        self._unit_of_work.update_attempt(key, token_hash=token_hash, record_hash=record_hash)

    def free_retry(self, key: WorkerKey) -> None:
        """Make the worker's next retry free, because the worker did not cause the attempt's end.

        A free retry does not count toward the worker's maximum number of retries.

        Call this before ``exited``.
        """
        self._parts.retries.make_next_free(self._unit_of_work.workers[key])

    def launch_begun(self, key: WorkerKey, attempt: int, at: float) -> None:
        """Record that a shim has begun a preloaded launch. Idempotent.

        The worker counts as running only when it has a slot. The shim's previous worker holds this
        slot until the scheduler has processed the end of that worker.
        """
        self._parts.preloads.store_report(Began(key, attempt, at))

    def heard_from(self, key: WorkerKey, now: float) -> None:
        """Record that a worker has called the API. Idempotent.

        If the worker was preloaded, the call proves that the worker has begun.
        """
        self._parts.preloads.begin(key, now, now)

    def launch_returned(self, key: WorkerKey, attempt: int, now: float) -> None:
        """Record that a preloaded launch was returned: no shim will begin it. Idempotent."""
        self._parts.exit_reports.launch_returned(key, attempt, now)

    def exited(
        self, key: WorkerKey, attempt: int, exit: Exit, evidence: Evidence, now: float
    ) -> None:
        """Record the end of an attempt, and decide what follows.

        Ignore an attempt that is not its worker's current attempt.
        """
        self._parts.exit_reports.exited(key, attempt, exit, evidence, now)

    def lost_attempts_to_read(self, now: float) -> Sequence[Attempt]:
        """Return the lost attempts whose exit records the caller should read now.

        The caller must call ``late_result`` for each exit record that exists.
        """
        return self._parts.late.attempts_to_read(now) if self._trees.lost_attempts else ()

    def lost_attempts(self) -> Sequence[Attempt]:
        """Return the lost attempts of unfinished job trees. A late result may still arrive."""
        return self._parts.late.lost

    def late_result(
        self, attempt: Attempt, exit: Exit, evidence: Evidence, record: str, now: float
    ) -> None:
        """Record the late result of a lost attempt. ``record``: path of its exit record."""
        self._parts.late.arrived(attempt, exit, evidence, record, now)

    def cancel(self, job_id: str, by: str, now: float, worker_key: WorkerKey | None = None) -> None:
        """Stop a job and its descendants. Idempotent.

        ``by``: the caller as text. ``worker_key``: the calling worker; None if the caller is
        not a worker.
        """
        self._parts.stops.cancel(job_id, by, now, worker_key)

    def answer(
        self, key: WorkerKey, decision: Decision, by: str, comment: str, now: float
    ) -> Worker:
        """Answer the open question of a worker. Return the worker after the answer.

        Raise Conflict if the worker has no open question.
        """
        worker = self._unit_of_work.workers[key]
        return self._parts.questions.answer(worker, decision, by, comment, now)

    def pause(self, job_id: str, by: str, running: RunningMode, now: float) -> None:
        """Pause an unfinished job and its descendants: start nothing new in them. Idempotent.

        ``running`` decides whether running attempts finish or stop. The wall time does not include
        the pause.
        """
        self._parts.pauses.pause(job_id, by, running, now)

    def resume(self, job_id: str, by: str, now: float) -> None:
        """Resume a paused job and its descendants. Idempotent.

        Raise Conflict if a limit or ``pause_all`` paused the job.
        """
        self._parts.pauses.resume(job_id, by, now)
        self._parts.limit_handler.enforce(job_id, now)

    def raise_budget(self, job_id: str, config: JobConfig, by: str, now: float) -> None:
        """Replace the limits of an unfinished job with larger limits.

        If the job is paused because it reached a limit, resume it.
        """
        self._parts.limit_handler.raise_budget(job_id, config, by, now)

    def pause_all(self, by: str, running: RunningMode, now: float) -> Pause:
        """Pause every job, including jobs that are submitted later. Idempotent.

        Return the pause.
        """
        return self._parts.pauses.pause_all(by, running, now)

    def resume_all(self, by: str, now: float) -> None:
        """End the pause of all jobs. Idempotent."""
        self._parts.pauses.resume_all(by, now)

    def load_pause(self, pause: Pause | None) -> None:
        """Load the stored pause of all jobs. Call this before ``restore``."""
        self._trees.pause = pause

    def cancel_worker(self, worker: Worker, by: str, now: float) -> None:
        """Stop one worker and its child jobs. Its job continues. Idempotent.

        ``by``: the caller as text. Raise Conflict while the job's plan waits for approval.
        """
        self._parts.stops.stop_worker(worker, by, now)

    def changes_rejected(
        self, job_id: str, rejections: Sequence[MergeRejection], now: float
    ) -> bool:
        """Retry the workers whose branches the merge has rejected.

        Return True if at least one worker is retried.
        """
        return self._parts.merge_rejections.retry_rejected(job_id, rejections, now)

    def merged(self, job_id: str, merged: MergeOutcome) -> None:
        """Store the outcome of a job's merge, before its reports are written."""
        self._parts.merge_completion.merged(job_id, merged)

    def merged_later(self, job_id: str, merged: MergeOutcome, now: float) -> None:
        """Replace the merge outcome of an ended job, because the job was merged again."""
        self._parts.merge_completion.merged_later(job_id, merged, now)

    def reports_written(self, job_id: str, now: float) -> None:
        """End a job whose reports were written, or could not be written."""
        job = self._parts.job_end.end(job_id, now)
        if job is None:
            return
        if job.parent_key is None:
            self._ended_roots.append(job_id)
        else:
            self._parts.attempt_followup.child_ended(job.parent_key, job_id, now)

    def update_config(self, job_id: str, config: JobConfig) -> None:
        self._unit_of_work.update_job(job_id, config=config)

    def retry(self, job_id: str, by: str, now: float) -> int:
        """Retry an ended job's unsuccessful tasks, and its workers that lack promised files.

        Call ``check_rerun`` first. If a task succeeded, its failed candidates are not retried.
        Return the number of workers that run again.
        """
        return self._parts.reruns.retry(job_id, by, now)

    def retry_worker(self, worker: Worker, by: str, now: float) -> int:
        """Run one unsuccessful worker again, and the tasks that were skipped because of the worker.

        The job may be running or ended. Return the number of workers that run again.
        """
        return self._parts.reruns.retry_worker(worker, by, now)

    def give_feedback(
        self,
        worker: Worker,
        feedback: Feedback,
        now: float,
        *,
        agent: str = "",
        landed: Sequence[str] = (),
    ) -> None:
        """Queue another attempt of an ended worker, with a person's comments on its change.

        The job may be running or ended. ``agent``: the agent of the new attempt; empty: the
        worker's present agent. ``landed``: the user's branches that contain the job's result.
        """
        self._parts.reruns.give_feedback(worker, feedback, agent, landed, now)

    def choose(self, worker: Worker, by: str, now: float, reason: str = "") -> None:
        """Store a person's choice of a candidate of an ended job.

        Raise Conflict for a worker that cannot be chosen.
        """
        self._parts.worker_end.selection.overrule(worker, by, now, reason)

    def resolve_again(self, job_id: str, by: str, now: float) -> None:
        """Merge an ended job again. Workers whose changes conflict then get new attempts."""
        self._parts.reruns.resolve_again(job_id, by, now)

    def turn(self, now: float, *, capacity: Capacity = UNLIMITED) -> Sequence[Command]:
        """Choose the workers that start or resume within the limits. Return the engine's commands.

        The commands of events since the previous turn are included. After this call,
        ``take_changes`` returns the changed rows to store. ``capacity``: the free capacity of the
        machines.
        """
        for job in self._trees.jobs_out_of_time(now):
            self._parts.limit_handler.wall_time_over(job, now)
        if self._trees.limit_questions_due:
            self._parts.limit_handler.turn(now)
        if self._trees.key_limits.limits_days:
            self._parts.accounting.enforce_daily_limits(now)
        if self._trees.to_ask or self._trees.questions_due:
            self._parts.questions.turn(now)
        if self._trees.locks.is_used:
            self.leases.turn(now)
        self._parts.exit_reports.record_reports(now)
        self._parts.running.fill_free_slots(now, capacity, self._parts.job_end.rendering)
        self._parts.preloads.turn(now, capacity)
        commands, self._trees.commands = self._trees.commands, []
        return self._parts.preloads.withdrawals_first(commands)

    def take_changes(self) -> StateChange:
        """Return the changes since the previous call.

        The caller must store the changes before it executes the commands of the turn.
        """
        return self._unit_of_work.take()

    def amend(self, amend: Amend) -> None:
        """Apply manual changes to a tree in memory.

        The next ``take_changes`` returns the changes.
        """
        amend(ManualChanges(self._unit_of_work))

    def forget_ended(self) -> None:
        """Drop ended root jobs from memory. The store keeps them."""
        ended, self._ended_roots = self._ended_roots, []
        for root_id in ended:
            if root_id in self._trees and self._unit_of_work.jobs[root_id].status.ended:
                self.forget(root_id)

    def forget(self, root_id: str) -> None:
        """Drop a tree from memory: an ended tree, or a restored tree that has not changed since."""
        self._trees.forget(root_id)
        self._parts.preloads.forget(root_id)

    def forget_after_turn(self, root_id: str) -> None:
        """Drop a tree from memory after this turn. The tree was restored only for one change."""
        self._ended_roots.append(root_id)

    def load_spending(self, days: Iterable[DailyCost]) -> None:
        """Load today's stored costs. Call this before any other method."""
        self._trees.key_limits.load(days)

    def restore(self, tree: Tree, now: float) -> Sequence[Attempt]:
        """Load a tree from the store. Return the attempts without a recorded end.

        The caller must call ``exited`` for each of these attempts: at once if the attempt has
        ended, otherwise when it ends.
        """
        return self._parts.restoring.restore(tree, now)
