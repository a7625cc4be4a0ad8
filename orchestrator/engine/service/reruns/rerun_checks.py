"""Checks whether a worker or a job can run again: its state, and the limits of its API key."""

from orchestrator.core.errors import Conflict
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import LossCause
from orchestrator.core.model.states import MergeState, WorkerStatus
from orchestrator.core.outcome.job.job_outcome import tasks_succeeded
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND

#: Kind of the error if a worker has not ended.
RUNNING = "running"


def check_worker_ended(worker: Worker) -> None:
    """Raise Conflict if a worker has not ended, or is a planner or reviewer."""
    if worker.is_adviser:
        kind = "planner" if worker.is_planner else "reviewer"
        raise Conflict(f"{worker.id} is a {kind}, which changes no file; name a worker of a task")
    if not worker.status.ended:
        raise Conflict(
            f"{worker.id} has not ended ({worker.status}); wait for it: "
            f"{COMMAND} wait {worker.job_id}",
            kind=RUNNING,
        )


def check_job_ended(job: Job) -> None:
    if not job.status.ended:
        raise Conflict(
            f"job {job.id} has not ended ({job.status}); wait for it: {COMMAND} wait {job.id}"
        )


def check_not_discarded(job: Job, action: str) -> None:
    """Raise Conflict for a job whose branches were discarded.

    ``action``: the caller's action, for the message, such as ``merge job 1a2b3c4d``.
    """
    if job.facts.discarded:
        raise Conflict(
            f"cannot {action}: the branches of the job were discarded; submit the request as a new "
            f"job; to show the request: {COMMAND} report {job.id}"
        )


def check_can_run_again(job: Job) -> None:
    check_not_discarded(job, f"run job {job.id} again")


def check_reopens(
    scheduler: Scheduler, job: Job, worker: Worker, command: str = "feedback"
) -> None:
    """Raise Conflict, or its subclass Deadlock, if the worker cannot have another attempt.

    ``command``: the caller's command, such as ``feedback``. If the parent worker can have another
    attempt instead, the error message suggests this command for the parent worker.

    Call this function in the supervisor's thread, so that the state cannot change before the
    attempt is created.
    """
    check_worker_ended(worker)
    check_can_run_again(job)
    _check_conflicts(job, worker)
    if job.stop_cause is not None and not job.status.ended:
        raise Conflict(f"job {job.id} is being stopped; wait for it: {COMMAND} wait {job.id}")
    if scheduler.view.is_rendering(job.id):
        raise Conflict(
            f"job {job.id} is being merged; wait for the end of the merge: {COMMAND} wait "
            f"{job.id}; then run this command again"
        )
    if any(
        each.is_reviewer and each.task_id == worker.task_id and not each.status.ended
        for each in scheduler.view.workers_of(job.id)
    ):
        raise Conflict(
            f"the candidates of task {worker.task_id!r} are being reviewed; wait for the end of "
            f"the job: {COMMAND} wait {job.id}"
        )
    if job.parent_key is not None:
        _check_parent_can_wait(scheduler, job, command)
        scheduler.check_locks(job, [scheduler.view.task_of(worker)])


def _check_conflicts(job: Job, worker: Worker) -> None:
    conflicts = (each for each in job.facts.missing if each.cause is LossCause.CONFLICT)
    if any(each.worker_id == worker.id and not each.chosen for each in conflicts):
        raise Conflict(
            f"the changes of {worker.id} conflict with changes of other workers; resolve the "
            f"conflict first: {COMMAND} merge {job.id} --resolve worker"
        )


def _check_parent_can_wait(scheduler: Scheduler, job: Job, command: str) -> None:
    """Raise Conflict if the job's parent worker cannot wait for the job again.

    A parent worker that has ended, or that is queued for another attempt, cannot wait.
    """
    assert job.parent_key is not None
    parent = scheduler.view.workers[job.parent_key]
    if not scheduler.view.is_unfinished(parent.key):
        raise Conflict(
            f"{parent.id}, which started job {job.id}, has ended; use {parent.id} instead: "
            f"{COMMAND} {command} {parent.job_id} {parent.id}"
        )
    if parent.status is WorkerStatus.PENDING:
        raise Conflict(
            f"the parent of job {job.id}, {parent.id}, is queued for another attempt, and may "
            f"start the job again; wait for the root job: {COMMAND} wait {job.root_id}"
        )


def check_rerun(scheduler: Scheduler, job: Job) -> None:
    """Raise Conflict, or its subclass Deadlock, if the job cannot be retried.

    The job must have ended, must have tasks to retry, and must be able to run again.
    """
    check_job_ended(job)
    workers = scheduler.view.workers_of(job.id)
    is_complete = scheduler.view.is_planned(job.id) and not job.lacks_changes
    if is_complete and all(tasks_succeeded(workers).values()):
        raise Conflict(f"every task of job {job.id} succeeded; nothing to retry")
    _check_parent(scheduler, job)


def check_key_limits(scheduler: Scheduler, job: Job, now: float) -> None:
    """Raise LimitReached if the job's API key has reached a limit on cost or running jobs."""
    root = scheduler.view.jobs.get(job.root_id, job)
    scheduler.view.check_day(root.submitted_by, now)
    if job.is_root:
        scheduler.view.check_running_jobs(root.submitted_by)


def check_conflicts(scheduler: Scheduler, job: Job) -> None:
    """Raise Conflict, or Deadlock, if the job cannot run again to resolve its conflicts."""
    check_job_ended(job)
    if job.merge_state is not MergeState.IN_PART and not job.facts.overruled:
        raise Conflict(f"job {job.id} has no conflicts to resolve; its result is complete")
    _check_parent(scheduler, job)


def _check_parent(scheduler: Scheduler, job: Job) -> None:
    if job.parent_key is None:
        return
    parent = scheduler.view.workers[job.parent_key]
    if not scheduler.view.is_unfinished(parent.key):
        fix = (
            "list the unmerged changes, and the commands that merge them: "
            f"{COMMAND} status {job.root_id}"
        )
        if not parent.status.succeeded:
            fix = f"retry {parent.id}: {COMMAND} retry {parent.job_id} {parent.id}; or {fix}"
        raise Conflict(
            f"cannot retry job {job.id}: {parent.id}, which started the job, has ended; {fix}"
        )
    if parent.status is WorkerStatus.PENDING:
        raise Conflict(
            f"cannot retry job {job.id}: its parent {parent.id} is queued, and may start the job "
            f"again; wait for the root job: {COMMAND} wait {job.root_id}"
        )
    scheduler.check_locks(job, list(scheduler.view.tasks_of(job.id).values()))
