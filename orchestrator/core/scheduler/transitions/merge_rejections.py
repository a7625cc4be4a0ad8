"""Merge rejections: retries of workers whose changes were rejected in the merge."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core.errors import Deadlock
from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.failure import SENT_BACK, before
from orchestrator.core.model.job import Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.states import StopCause, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.merge_outcome import MergeRejection
from orchestrator.core.outcome.retry_policy import may_retry
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.plan_progress import PlanProgress
from orchestrator.core.scheduler.transitions.ends.stops import Stops
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import JobEnd
from orchestrator.core.scheduler.transitions.limit_enforcement import LimitHandler
from orchestrator.core.scheduler.transitions.running_workers.task_locks import TaskLocks


class MergeRejections:
    def __init__(
        self,
        trees: JobTrees,
        stops: Stops,
        job_end: JobEnd,
        task_locks: TaskLocks,
        limit_handler: LimitHandler,
    ) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._stops = stops
        self._job_end = job_end
        self._task_locks = task_locks
        self._limit_handler = limit_handler

    def retry_rejected(self, job_id: str, rejections: Sequence[MergeRejection], now: float) -> bool:
        """Retry the rejected workers. Return True if a worker is retried.

        A worker is not retried in these cases:

        - No retry remains, or the retry would cause a deadlock. The worker then fails if its
          rejection is ``required``; otherwise its status stays unchanged.
        - The worker did not succeed, or already failed to resolve its conflicts. Its status stays
          unchanged.
        - Another worker that conflicts in the same file is retried first. The status stays
          unchanged.

        Do nothing and return False if the job is being stopped, or if some of its workers have not
        ended. If the job or an ancestor job has reached a limit, stop the job that reached the
        limit, with its descendants, and return False. If that job has ``on_limit: ask``, pause it
        instead: the retried workers wait until a person has raised the limit.
        """
        job = self._unit_of_work.jobs.get(job_id)
        if job is None or job.stop_cause is not None or job_id not in self._job_end.rendering:
            return False
        first_reached = self._trees.breach_of(job)
        if first_reached and not self._limit_handler.asks(first_reached[0]):
            limited_id, _, by = first_reached
            self._stops.stop_tree(limited_id, StopCause.LIMIT, by, now)
            return False
        retried = self._retry_workers(job_id, rejections, now)
        if retried:
            self._job_end.rendering.discard(job_id)
            tasks = list(self._trees.plans[job_id].tasks.values())
            self._trees.install(job, PlanProgress(tasks, self._trees.workers_of(job_id)))
            self._limit_handler.enforce(job_id, now)
        return retried

    def _retry_workers(self, job_id: str, rejections: Sequence[MergeRejection], now: float) -> bool:
        """Retry rejected workers. Return True if a worker is retried.

        If several workers conflict in one file, only the first worker is retried now. The other
        workers are retried after the first worker's version of the file was merged. Therefore, each
        worker needs only one attempt.
        """
        retried, contested = False, set[str]()
        for rejection in rejections:
            if contested.isdisjoint(rejection.conflicts) and self._retry_worker(
                job_id, rejection, now
            ):
                contested.update(rejection.conflicts)
                retried = True
        return retried

    def _retry_worker(self, job_id: str, rejection: MergeRejection, now: float) -> bool:
        job = self._unit_of_work.jobs[job_id]
        worker = self._unit_of_work.workers[WorkerKey(job.root_id, rejection.worker_id)]
        has_tried = worker.attempt > worker.budget_from
        has_given_up = (
            has_tried and rejection.conflicts and worker.result and worker.result.unresolved
        )
        if has_given_up or not worker.status.succeeded:
            return False
        verdict = Verdict(status=WorkerStatus.FAILED, reason=rejection.reason, retry=True)
        task = self._trees.task_of(worker)
        will_retry = may_retry(worker, task, job.config, verdict, child_failed=False)
        if will_retry and (deadlock := self._deadlock_of_retry(job, task)):
            will_retry = False
            rejection = replace(rejection, reason=f"{rejection.reason}; no retry: {deadlock}")
        if will_retry or rejection.required:
            self._retry_or_fail(worker, rejection, now, will_retry=will_retry)
        return will_retry

    def _deadlock_of_retry(self, job: Job, task: TaskSpec) -> str:
        try:
            self._task_locks.check(job, [task])
        except Deadlock as error:
            return error.message
        return ""

    def _retry_or_fail(
        self, worker: Worker, rejection: MergeRejection, now: float, *, will_retry: bool
    ) -> None:
        status = WorkerStatus.PENDING if will_retry else WorkerStatus.FAILED
        ended_at = None if will_retry else now
        result = worker.result or WorkerResult()
        if rejection.conflicts:
            # ``good`` names the checkpoint of the worker's own work, before the conflicts were
            # added. If the agent does not resolve the conflicts, the next attempt starts from this
            # checkpoint.
            result = replace(result, good=before(worker.attempt + 1))
        result = replace(result, gates=rejection.gates, conflicts=rejection.conflicts)
        result = replace(result, unresolved=False)
        self._unit_of_work.move_worker(
            worker.key,
            status,
            reason=rejection.reason,
            failure=SENT_BACK,
            not_before=0.0,
            ended_at=ended_at,
            result=result,
            agent=rejection.agent if will_retry and rejection.agent else worker.agent,
        )
        payload = {"attempt": worker.attempt, "reason": rejection.reason, "status": str(status)}
        job = self._trees.job_of(worker)
        self._unit_of_work.emit(EventKind.WORKER_SENT_BACK, job, now, worker.id, **payload)
