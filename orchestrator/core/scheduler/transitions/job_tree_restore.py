"""Restores stored job trees in the scheduler, after a restart of the server."""

from collections.abc import Sequence

from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.job import Attempt, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict, judge
from orchestrator.core.ports import Tree
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.plan_progress import plan_of
from orchestrator.core.scheduler.transitions.ends.attempt_followup import AttemptFollowup
from orchestrator.core.scheduler.transitions.ends.late_results import LateResults
from orchestrator.core.scheduler.transitions.ends.stops import Stops
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import JobEnd
from orchestrator.core.scheduler.transitions.limit_enforcement import LimitHandler
from orchestrator.core.scheduler.transitions.pauses import Pauses
from orchestrator.core.scheduler.transitions.questions import Questions
from orchestrator.core.scheduler.transitions.running_workers.preloaded_launches import Preloads
from orchestrator.core.scheduler.transitions.running_workers.task_locks import TaskLocks
from orchestrator.core.scheduler.transitions.running_workers.worker_start import RunningWorkers


class JobTreeRestore:
    def __init__(
        self,
        *,
        trees: JobTrees,
        running: RunningWorkers,
        task_locks: TaskLocks,
        attempt_followup: AttemptFollowup,
        stops: Stops,
        job_end: JobEnd,
        late: LateResults,
        preloads: Preloads,
        pauses: Pauses,
        questions: Questions,
        limit_handler: LimitHandler,
    ) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._running = running
        self._task_locks = task_locks
        self._attempt_followup = attempt_followup
        self._stops = stops
        self._job_end = job_end
        self._late = late
        self._preloads = preloads
        self._pauses = pauses
        self._questions = questions
        self._limit_handler = limit_handler

    def restore(self, tree: Tree, now: float) -> Sequence[Attempt]:
        self._unit_of_work.load(tree, tree.root.id)
        self._register_all(tree)
        last_attempts = {attempt.key: attempt for attempt in tree.attempts}
        for worker in (*tree.workers, *tree.advisers):
            if not worker.status.ended:
                self._restore_worker(worker, last_attempts.get(worker.key), now)
        for attempt in tree.attempts:
            self._late.ended(attempt)
        for job in tree.jobs:
            if not job.status.ended:
                self._limit_handler.restore_timeout(job)
                self._job_end.check_job(job.id, now)
        return [attempt for attempt in tree.attempts if attempt.ended_at is None]

    def _register_all(self, tree: Tree) -> None:
        planners = {planner.job_id: planner for planner in tree.planners}
        workers_by_job: dict[str, list[Worker]] = {job.id: [] for job in tree.jobs}
        for worker in (*tree.workers, *tree.reviewers):
            workers_by_job[worker.job_id].append(worker)
        # Sort by depth, so that parents come first. Times are not used, because after a change of
        # the clock, a child job may look older than its parent.
        for job in sorted(tree.jobs, key=lambda job: job.depth):
            planner = planners.get(job.id)
            plan = plan_of(tree.tasks[job.id], workers_by_job[job.id], planner)
            self._trees.register(job, plan, planner.key if planner else None)

    def _restore_worker(self, worker: Worker, last_attempt: Attempt | None, now: float) -> None:
        jobs, unfinished = self._unit_of_work.jobs, self._trees.unfinished[worker.key]
        unfinished.open_children = {
            child_id for child_id in worker.child_job_ids if not jobs[child_id].status.ended
        }
        self._task_locks.restore_claim(worker, unfinished, now)
        attempt = self._unit_of_work.attempts.get(worker.key)
        if attempt is not None and attempt.number > worker.attempt:
            self._preloads.restore_launch(worker, attempt.number)
            self._stops.stop_again(worker)
        elif attempt is not None:
            self._running.restore_process(worker, unfinished)
            self._stops.stop_again(worker)
            self._pauses.stop_if_paused(worker)
        elif worker.is_question:
            self._questions.restore_timeout(worker)
        elif worker.status is not WorkerStatus.PENDING and last_attempt and last_attempt.exit:
            verdict = _verdict_on_stored(worker, last_attempt, last_attempt.exit)
            self._attempt_followup.wait_again(worker, verdict, now)


def _verdict_on_stored(worker: Worker, attempt: Attempt, exit: Exit) -> Verdict:
    """Return the verdict on a stored attempt, whose evidence is not stored.

    If the worker's record lists a failure of the attempt, the attempt did not succeed. Otherwise,
    the attempt succeeded or was cancelled.
    """
    status = judge(exit, Evidence()).status
    has_failed = worker.failure_of(attempt.number) is not None
    if has_failed and status is WorkerStatus.SUCCESS:
        status = WorkerStatus.FAILED
    elif not has_failed and status is not WorkerStatus.CANCELLED:
        status = WorkerStatus.SUCCESS
    return Verdict(status=status, reason=attempt.reason)
