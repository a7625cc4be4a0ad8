"""Checks if the unsuccessful tasks of an ended job can run again."""

from orchestrator.core.command_name import COMMAND
from orchestrator.core.errors import Conflict
from orchestrator.core.model.job import Job
from orchestrator.core.model.states import MergeState, WorkerStatus
from orchestrator.core.outcome.job.job_outcome import tasks_succeeded
from orchestrator.core.scheduler.scheduler import Scheduler


def check_rerun(scheduler: Scheduler, job: Job) -> None:
    """Raise Conflict if no task can run again, or the job cannot; this includes Deadlock, a kind
    of Conflict.
    """
    if not job.status.ended:
        raise Conflict(
            f"job {job.id} has not ended ({job.status}); wait for it: {COMMAND} wait {job.id}"
        )
    workers = scheduler.view.workers_of(job.id)
    done = scheduler.view.is_planned(job.id) and not job.lacks_changes
    if done and all(tasks_succeeded(workers).values()):
        raise Conflict(f"every task of job {job.id} succeeded; nothing to retry")
    if job.parent_key is not None:
        _check_parent(scheduler, job)
        scheduler.check_locks(job, list(scheduler.view.tasks_of(job.id).values()))


def check_conflicts(scheduler: Scheduler, job: Job) -> None:
    """Raise Conflict if no worker of an ended job has conflicts to resolve."""
    if not job.status.ended:
        raise Conflict(
            f"job {job.id} has not ended ({job.status}); wait for it: {COMMAND} wait {job.id}"
        )
    if job.merge_state is not MergeState.IN_PART and not job.facts.overruled:
        raise Conflict(f"job {job.id} has no conflicts to resolve; its result is complete")
    if job.parent_key is not None:
        _check_parent(scheduler, job)
        scheduler.check_locks(job, list(scheduler.view.tasks_of(job.id).values()))


def _check_parent(scheduler: Scheduler, job: Job) -> None:
    assert job.parent_key is not None
    if not scheduler.view.is_open(job.parent_key):
        raise Conflict(
            f"cannot retry job {job.id}: the worker that started it has ended; list the missing "
            f"changes, with commands: {COMMAND} status {job.root_id}"
        )
    parent = scheduler.view.workers[job.parent_key]
    if parent.status is WorkerStatus.PENDING:
        raise Conflict(
            f"cannot retry job {job.id}: {parent.id}, which started it, is queued and may request "
            f"it again; wait for the root job: {COMMAND} wait {job.root_id}"
        )
