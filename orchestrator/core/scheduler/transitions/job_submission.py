"""Submissions: adds admitted jobs, and records child jobs that a limit rejected."""

from collections.abc import Sequence

from orchestrator.core.errors import Refused
from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.plan_progress import plan_of
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import JobEnd
from orchestrator.core.scheduler.transitions.pauses import Pauses
from orchestrator.core.scheduler.transitions.running_workers.preloaded_launches import Preloads
from orchestrator.core.scheduler.transitions.running_workers.task_locks import TaskLocks
from orchestrator.core.scheduler.transitions.running_workers.worker_start import RunningWorkers

#: Maximum number of events about rejected child jobs of one worker. Without this maximum, a worker
#: that repeats a rejected call could fill the store.
MOST_REFUSAL_EVENTS = 10
#: Maximum number of characters of the request in an event about a rejected child job.
REQUEST_CHARACTERS = 300


class JobSubmission:
    def __init__(
        self,
        trees: JobTrees,
        task_locks: TaskLocks,
        running: RunningWorkers,
        preloads: Preloads,
        pauses: Pauses,
        job_end: JobEnd,
    ) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._task_locks = task_locks
        self._running = running
        self._preloads = preloads
        self._pauses = pauses
        self._job_end = job_end

    def submit(
        self,
        job: Job,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        planner: Worker | None,
        now: float,
    ) -> None:
        self._task_locks.check(job, tasks)
        if self._trees.inherited_pause(job):
            job = self._pauses.with_inherited_pause(job, now)
        self._unit_of_work.add_job(job, tasks, [planner] if planner else workers)
        payload = {"request": job.request, "parent_worker_id": job.parent_worker_id}
        self._unit_of_work.emit(
            EventKind.JOB_SUBMITTED, job, now, depth=job.depth, tasks=len(tasks), **payload
        )
        if job.pause is not None:
            self._pauses.emit_paused(job, job.pause, job.pause.running, now)
        plan = plan_of(tasks, workers, planner)
        self._trees.register(job, plan, planner.key if planner else None)
        self._preloads.job_added(job, plan)
        if job.parent_key is not None:
            self._add_to_parent(job, job.parent_key, len(workers), now)
        self._job_end.check_job(job.id, now)

    def _add_to_parent(self, job: Job, key: WorkerKey, workers: int, now: float) -> None:
        parent = self._unit_of_work.workers[key]
        self._unit_of_work.update_worker(
            key,
            child_job_ids=(*parent.child_job_ids, job.id),
            child_workers=parent.child_workers + workers,
        )
        self._running.attach(key, job.id, now)

    def child_job_refused(self, key: WorkerKey, request: str, error: Refused, now: float) -> None:
        worker, unfinished = self._unit_of_work.workers[key], self._trees.unfinished[key]
        unfinished.refused_child_jobs += 1
        earlier_count = worker.result.refused_child_jobs if worker.result else 0
        number = unfinished.refused_child_jobs + earlier_count
        if number > MOST_REFUSAL_EVENTS:
            return
        detail = error.message
        if number == MOST_REFUSAL_EVENTS:
            detail += " (further rejections of this worker are counted, but not reported)"
        self._unit_of_work.emit(
            EventKind.CHILD_JOB_REFUSED,
            self._trees.job_of(worker),
            now,
            worker.id,
            limit=error.kind,
            detail=detail,
            request=request[:REQUEST_CHARACTERS],
            number=number,
        )
