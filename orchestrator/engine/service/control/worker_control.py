"""The use cases that retry or cancel one worker."""

from collections.abc import Callable

from orchestrator.core.errors import Conflict, Unavailable
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.outcome.job.unmerged_changes import has_worktree
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.merge.merge_queue import MergeQueue
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.reruns.rerun_checks import (
    check_can_run_again,
    check_key_limits,
    check_reopens,
    check_worker_ended,
)
from orchestrator.engine.supervisor.stored_trees import StoredTrees
from orchestrator.engine.supervisor.supervisor import Supervisor


class WorkerControlCalls:
    def __init__(
        self,
        *,
        supervisor: Supervisor,
        access: Access,
        trees: StoredTrees,
        merge_queue: MergeQueue,
        moved_error: Callable[[], str],
    ) -> None:
        """``moved_error``: returns an error text if the workspace or project was moved, else "".

        After such a move, no attempt starts.
        """
        self._supervisor = supervisor
        self._access = access
        self._trees = trees
        self._merge_queue = merge_queue
        self._moved_error = moved_error

    def retry(self, caller: Caller, job_id: str, worker_id: str) -> Job:
        """Retry one unsuccessful worker, and the tasks that were skipped because the worker failed.

        The worker's job may be running, or may have ended. Raise Forbidden if the caller is a
        worker. Raise Conflict if the worker succeeded, has not ended, or cannot run again.
        """
        job, worker = self._job_and_worker(caller, job_id, worker_id)
        if error_text := self._moved_error():
            raise Unavailable(error_text)
        check_can_run_again(job)
        check_worker_ended(worker)
        self._trees.check_not_attached(worker)
        self._merge_queue.check_idle(job.id)

        def action(scheduler: Scheduler, now: float) -> None:
            if job.status.ended:
                check_key_limits(scheduler, job, now)
            self._trees.reopen(scheduler, job, now, check)
            scheduler.retry_worker(scheduler.view.workers[worker.key], caller.name, now)

        def check(scheduler: Scheduler, present_job: Job) -> None:
            present_worker = scheduler.view.workers[worker.key]
            _check_failed(present_worker, scheduler.view.task_of(present_worker))
            check_reopens(scheduler, present_job, present_worker, "retry")
            _check_dependencies(scheduler, present_worker)

        self._supervisor.call(action)
        return self._access.job(caller, job.id)

    def cancel(self, caller: Caller, job_id: str, worker_id: str) -> Job:
        """Stop one worker and its child jobs. The worker's job continues. Idempotent.

        An ended worker stays unchanged. Raise Forbidden if the caller is a worker. Raise Conflict
        for a planner or reviewer.
        """
        self._access.changeable(caller, job_id)
        job, worker = self._job_and_worker(caller, job_id, worker_id)
        if worker.is_adviser:
            raise Conflict(
                f"{worker.id} is a planner or reviewer, which cannot be cancelled alone; cancel "
                f"the job: {COMMAND} cancel {job.id}"
            )

        def action(scheduler: Scheduler, now: float) -> None:
            present_worker = scheduler.view.workers.get(worker.key)
            if present_worker is not None:
                scheduler.cancel_worker(present_worker, caller.signature, now)

        self._supervisor.call(action)
        return self._access.job(caller, job.id)

    def _job_and_worker(self, caller: Caller, job_id: str, worker_id: str) -> tuple[Job, Worker]:
        self._access.workable(caller, job_id)
        self._access.check_person(caller)
        worker = self._access.worker(caller, job_id, worker_id)
        return self._access.job(caller, worker.job_id), worker


def _check_failed(worker: Worker, task: TaskSpec) -> None:
    check_worker_ended(worker)
    if worker.status.succeeded:
        suggestion = f'submit the wanted change as a new request: {COMMAND} submit "..."'
        if has_worktree(worker) and task.command is None:
            command = f"{COMMAND} feedback {worker.job_id} {worker.id} --edit"
            suggestion = f"to request corrections: {command}"
        raise Conflict(f"{worker.id} succeeded; nothing to retry; {suggestion}")


def _check_dependencies(scheduler: Scheduler, worker: Worker) -> None:
    dependencies = scheduler.view.task_of(worker).depends_on
    for task_id in dependencies:
        candidates = scheduler.view.candidates_of(worker.job_id, task_id)
        if not any(each.status.succeeded for each in candidates):
            raise Conflict(
                f"{worker.id} depends on task {task_id!r}, which has not succeeded; retry task "
                f"{task_id!r} first: {COMMAND} retry {worker.job_id} {candidates[0].id}"
            )
