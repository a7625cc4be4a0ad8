"""Whether what did not succeed in a job that has ended can be run again."""

from orchestrator.core.command import COMMAND
from orchestrator.core.errors import Conflict
from orchestrator.core.model import Job
from orchestrator.core.outcome_of_job import tasks_succeeded
from orchestrator.core.scheduler import Scheduler
from orchestrator.core.states import MergeState, WorkerStatus


def check_rerun(scheduler: Scheduler, job: Job) -> None:
    """Raise Conflict where there is nothing to run again, or it cannot be; a Deadlock is one."""
    if not job.status.ended:
        raise Conflict(f"job {job.id} is {job.status}; wait for its end or cancel it first")
    plan = scheduler.forest.plans[job.id]
    workers = scheduler.forest.workers_of(job.id)
    done = plan.planner is None and not job.lacks_changes
    if done and all(tasks_succeeded(workers).values()):
        raise Conflict(f"every task of job {job.id} succeeded; there is nothing to run again")
    if job.parent_key is not None:
        _check_parent(scheduler, job)
        scheduler.check_locks(job, list(plan.tasks.values()))


def check_conflicts(scheduler: Scheduler, job: Job) -> None:
    """Raise Conflict where no worker of a job that has ended has conflicts to resolve."""
    if not job.status.ended:
        raise Conflict(f"job {job.id} is {job.status}; wait for its end or cancel it first")
    if job.merge_state is not MergeState.IN_PART and not job.facts.overruled:
        raise Conflict(f"job {job.id} has no conflicts to resolve; its result lacks nothing")
    if job.parent_key is not None:
        _check_parent(scheduler, job)
        scheduler.check_locks(job, list(scheduler.forest.plans[job.id].tasks.values()))


def _check_parent(scheduler: Scheduler, job: Job) -> None:
    assert job.parent_key is not None
    if job.parent_key not in scheduler.forest.nodes:
        raise Conflict(
            f"the worker that started job {job.id} has ended: its workers cannot run again; to see "
            f"what the result lacks, with commands: {COMMAND} status {job.root_id}"
        )
    parent = scheduler.ledger.workers[job.parent_key]
    if parent.status is WorkerStatus.PENDING:
        name = f"{parent.id}, which started job {job.id}"
        raise Conflict(f"{name}, is to run again and may ask for it anew")
