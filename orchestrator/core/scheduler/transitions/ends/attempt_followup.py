"""Decides what follows the end of an attempt.

A retry follows, or the worker waits for its child jobs, or the worker ends.
"""

from dataclasses import replace

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.delivered_work import with_children
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.job import Job, Worker, WorkerKey
from orchestrator.core.model.states import JobStatus, StopCause, WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict, evidence_after_child_jobs, judge
from orchestrator.core.outcome.failure_rules import classify, with_failure, with_files_kept
from orchestrator.core.outcome.job.job_outcome import tasks_succeeded
from orchestrator.core.outcome.retry_policy import (
    AFTER_PAUSE,
    RetryDecision,
    RetryFacts,
    next_attempt,
)
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.unit_of_work import UnitOfWork
from orchestrator.core.scheduler.transitions.ends.agent_fallback import AgentFallback
from orchestrator.core.scheduler.transitions.ends.stops import Stops, stop_verdict
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import WorkerEnd
from orchestrator.core.scheduler.transitions.running_workers.task_locks import TaskLocks
from orchestrator.core.scheduler.transitions.running_workers.worker_start import RunningWorkers


class ToolStarts:
    """Records which agents' tools have worked before.

    If such a tool fails to start, the cause may be temporary, such as an update of the tool.
    """

    def __init__(self, unit_of_work: UnitOfWork) -> None:
        self._unit_of_work = unit_of_work
        self._began: set[str] = set()

    def began(self, agent: str) -> None:
        self._began.add(agent)

    def has_worked(self, agent: str) -> bool:
        workers = self._unit_of_work.workers.values()
        return agent in self._began or any(
            each.agent == agent and each.status.succeeded for each in workers
        )


class Retries:
    """Gathers the facts for the decision on the next attempt, and queues the attempt.

    The decision itself is in ``core.outcome.retry_policy``.
    """

    def __init__(self, trees: JobTrees, task_locks: TaskLocks, fallback: AgentFallback) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._task_locks = task_locks
        self._fallback = fallback
        self.tool_starts = ToolStarts(trees.unit_of_work)

    def make_next_free(self, worker: Worker) -> None:
        self._unit_of_work.update_worker(worker.key, budget_from=worker.budget_from + 1, failure="")

    def decide(
        self,
        worker: Worker,
        verdict: Verdict,
        limited_until: float | None,
        child_failed: bool,
        now: float,
    ) -> RetryDecision:
        """Decide on the next attempt after a verdict. Change nothing."""
        facts = RetryFacts(
            account_delay_seconds=None if limited_until is None else limited_until - now,
            now=now,
            tool_worked=verdict.not_started and self.tool_starts.has_worked(worker.agent),
            other_agent=self._fallback.agent_for(worker, verdict, now),
            child_failed=child_failed,
        )
        task, config = self._trees.task_of(worker), self._trees.job_of(worker).config
        return next_attempt(worker, task, config, verdict, facts)

    def queue_attempt(self, worker: Worker, decision: RetryDecision, now: float) -> None:
        """Queue the attempt that ``decision`` describes."""
        if decision.handed_to:
            worker = self._keep_files(worker, decision.handed_to)
        queued_worker = self._unit_of_work.move_worker(
            worker.key,
            WorkerStatus.PENDING,
            reason=decision.reason,
            waiting_for=decision.waiting_for,
            not_before=now + decision.delay_seconds,
            budget_from=worker.budget_from + decision.is_free,
            agent=decision.agent or worker.agent,
            failure=worker.failure if decision.failure is None else decision.failure,
        )
        unfinished = self._trees.unfinished[worker.key]
        unfinished.verdict = unfinished.ended_at = None
        self._task_locks.release_for_retry(queued_worker, unfinished, now)
        self._emit(worker, decision, now)
        if decision.agent:
            self._fallback.record_handover(worker, decision.agent, decision.cause, now)
        self._trees.queue(queued_worker)
        if decision.agent and worker.is_planner:
            self._fallback.set_planner(worker, decision.agent)

    def _keep_files(self, worker: Worker, recipient: str) -> Worker:
        failure = worker.failure_of(worker.attempt)
        if not failure or not worker.result:
            return worker
        result = with_failure(worker.result, with_files_kept(failure, recipient))
        return self._unit_of_work.update_worker(worker.key, result=result)

    def _emit(self, worker: Worker, decision: RetryDecision, now: float) -> None:
        failure = worker.failure_of(worker.attempt)
        payload: dict[str, object] = {
            "attempt": worker.attempt,
            "reason": decision.cause,
            "delay_seconds": decision.delay_seconds,
            **(failure.payload() if failure else {}),
        }
        job = self._trees.job_of(worker)
        self._unit_of_work.emit(EventKind.WORKER_RETRYING, job, now, worker.id, **payload)


class AttemptFollowup:
    def __init__(
        self,
        trees: JobTrees,
        running: RunningWorkers,
        task_locks: TaskLocks,
        worker_end: WorkerEnd,
        stops: Stops,
        retries: Retries,
    ) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._running = running
        self._task_locks = task_locks
        self._worker_end = worker_end
        self._stops = stops
        self._retries = retries

    def decide_next(
        self, key: WorkerKey, verdict: Verdict, now: float, limited_until: float | None = None
    ) -> None:
        """Decide what follows a verdict on a worker: a retry, a wait for child jobs, or its end.

        Call this when the worker's process has ended, and again when the worker's last child job
        has ended. ``limited_until``: the end of the rate limit that stopped the process; None if
        another cause ended the process.
        """
        unfinished, worker = self._trees.unfinished[key], self._unit_of_work.workers[key]
        if unfinished.verdict is not None and not unfinished.open_children:
            verdict = self._with_second_judgment(worker, verdict)
            worker = self._unit_of_work.workers[key]
        if worker.cancelled_by is not None and not verdict.succeeded:
            # After a restart of the server, the exit may state that the attempt was lost. The
            # cancel is the real cause.
            verdict = stop_verdict(EndedBy.CANCEL, worker.cancelled_by)
        if unfinished.open_children:
            # Apply the cancel even if the worker has succeeded in the meantime. Otherwise a child
            # job could outlive the worker.
            verdict = self._stops.verdict_on(worker) or verdict
        if not verdict.succeeded and self._retry(worker, verdict, now, limited_until):
            return
        if not verdict.succeeded:
            for child in sorted(unfinished.open_children):
                by = f"{worker.id} ({verdict.status})"
                self._stops.stop_tree(child, StopCause.PARENT, by, now)
        if unfinished.open_children:
            stopping = self._stops.verdict_on(worker) is not None
            self._worker_end.wait_for_child_jobs(worker, unfinished, verdict, stopping=stopping)
        else:
            self._worker_end.end(worker, self._with_result_of_child_jobs(worker, verdict), now)

    def child_ended(self, key: WorkerKey, child_job_id: str, now: float) -> None:
        """Record the end of a child job of the worker ``key``.

        After the end of its last child job, the worker continues or ends.
        """
        unfinished = self._trees.unfinished[key]
        unfinished.open_children.discard(child_job_id)
        if unfinished.open_children:
            return
        self._task_locks.children_ended(self._unit_of_work.workers[key], now)
        if unfinished.verdict is not None:
            self.decide_next(key, unfinished.verdict, now)
        elif unfinished.alive and not unfinished.has_slot and not unfinished.waits_for_lock:
            self._running.wait_for_slot(self._unit_of_work.workers[key])

    def paused(self, key: WorkerKey, now: float) -> None:
        """Queue a worker whose attempt was stopped by a pause.

        Its new attempt does not count as a retry.
        """
        worker, unfinished = self._unit_of_work.workers[key], self._trees.unfinished[key]
        unfinished.stopping = False
        self._retries.queue_attempt(worker, AFTER_PAUSE, now)

    def stopped_verdict(self, worker: Worker, exit: Exit) -> Verdict | None:
        """Return the outcome of a worker that is being stopped, if a pause ended its attempt.

        Return None if another cause ended the attempt, or if neither the worker nor its job is
        being stopped.
        """
        return self._stops.verdict_on(worker) if exit.cause is ExitCause.PAUSED else None

    def returned(self, worker: Worker, now: float) -> None:
        """After the return of a preloaded launch, end the worker if it is being stopped."""
        verdict = self._stops.verdict_on(worker)
        if verdict is not None:
            self.decide_next(worker.key, verdict, now)

    def wait_again(self, worker: Worker, verdict: Verdict, now: float) -> None:
        """After a restart, make a worker wait again for its child jobs.

        The worker's own process has already ended.
        """
        unfinished, stop = self._trees.unfinished[worker.key], self._stops.verdict_on(worker)
        unfinished.stopping, unfinished.verdict = stop is not None, stop or verdict
        if not unfinished.open_children:
            self.decide_next(worker.key, unfinished.verdict, now)

    def _retry(
        self, worker: Worker, verdict: Verdict, now: float, limited_until: float | None
    ) -> bool:
        """Queue another attempt if the worker may have one. Return True if an attempt is queued."""
        job, stopping = self._trees.job_of(worker), self._trees.unfinished[worker.key].stopping
        if stopping or worker.cancelled_by is not None or job.stop_cause is not None:
            return False
        child_failed = self._failed_child(worker) is not None
        decision = self._retries.decide(worker, verdict, limited_until, child_failed, now)
        if not decision.retries:
            return False
        self._retries.queue_attempt(worker, decision, now)
        if decision.agent:
            self._worker_end.replace_refused_agent(worker, verdict, now)
        return True

    def _with_second_judgment(self, worker: Worker, verdict: Verdict) -> Verdict:
        """Judge the worker's changes a second time, if necessary. Return the verdict that applies.

        Call this after the worker's last child job has ended. Child jobs may have created promised
        files after the end of the worker's process.
        """
        result = worker.result
        delivery = result.delivery if result else None
        if result is None or delivery is None or delivery.deferred is None:
            return verdict
        if not verdict.succeeded or self._failed_child(worker) is not None:
            return verdict
        no_worktree = not delivery.has_worktree
        changed_files = self._trees.changed_below(worker, own_directories=no_worktree)
        deferred = delivery.deferred
        delivery = with_children(delivery, changed_files)
        exit, evidence = evidence_after_child_jobs(result.output, delivery, deferred)
        second_verdict = judge(exit, evidence)
        result = replace(result, delivery=delivery)
        result = with_failure(result, classify(worker, exit, evidence, second_verdict))
        self._unit_of_work.update_worker(worker.key, result=result)
        if not second_verdict.succeeded:
            return second_verdict
        reason = "; ".join(filter(None, (verdict.reason, second_verdict.reason)))
        return replace(verdict, reason=reason)

    def _with_result_of_child_jobs(self, worker: Worker, verdict: Verdict) -> Verdict:
        if not verdict.succeeded or not worker.child_job_ids:
            return verdict
        failed_job = self._failed_child(worker)
        if failed_job is not None:
            reason = f"child job {failed_job.id} ended with status {failed_job.status}"
            return Verdict(status=WorkerStatus.FAILED, reason=reason)
        return replace(verdict, status=WorkerStatus.RECURSIVE_SUCCESS)

    def _failed_child(self, worker: Worker) -> Job | None:
        """Return a child job that failed; None if no child job failed.

        A child job does not count as failed in these cases:

        - The child job was withdrawn.
        - All its tasks succeeded, and its merge did not fail. If its result lacks changes, its
          ancestor jobs report the missing changes.
        - Another child job with the same request succeeded.
        """
        children = [self._unit_of_work.jobs[job_id] for job_id in worker.child_job_ids]
        done_digests = {child.digest for child in children if self._did_its_tasks(child)}
        for child in children:
            is_withdrawn = child.stop_cause is StopCause.WITHDRAWN
            if child.status.ended and not is_withdrawn and child.digest not in done_digests:
                return child
        return None

    def _did_its_tasks(self, job: Job) -> bool:
        if job.status is not JobStatus.PARTIAL or job.merge_failed:
            return job.status is JobStatus.COMPLETED
        return all(tasks_succeeded(self._trees.workers_of(job.id)).values())
