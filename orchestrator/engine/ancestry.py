"""The worker that asks for a child job: who is above it, and what it has asked for before."""

from collections.abc import Collection

from orchestrator.core import admission, allowance
from orchestrator.core.errors import Unauthorized
from orchestrator.core.model import Job, Worker, WorkerKey
from orchestrator.core.scheduler import Scheduler
from orchestrator.core.states import JobStatus
from orchestrator.core.submission import Caller

_STARTED_AGAIN = frozenset({JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED})


def check_attempt(scheduler: Scheduler, caller: Caller) -> None:
    """Its end may have come between the look at its key and its turn. Raise Unauthorized."""
    asking = caller.attempt
    current = asking and scheduler.ledger.attempts.get(asking.key)
    if asking is None or current is None or current.number != asking.number:
        raise Unauthorized("invalid or expired API key; a worker's key ends with its attempt")


def ancestry_of(scheduler: Scheduler, key: WorkerKey, now: float) -> allowance.Ancestry:
    forest = scheduler.forest
    parent = scheduler.ledger.workers[key]
    parent_job = forest.job_of(parent)
    ancestors = [parent_job, *forest.ancestors(parent_job)]
    above = [scheduler.ledger.workers[job.parent_key] for job in ancestors if job.parent_key]
    told = [forest.task_of(worker) for worker in (parent, *above)]
    size = forest.size_of(parent_job)
    return allowance.Ancestry(
        parent_job=parent_job,
        parent=parent,
        ancestors=ancestors,
        worker_digests=frozenset(
            admission.digest(text, ()) for task in told for text in (task.prompt, task.title)
        ),
        child_jobs_in_root=size.child_jobs,
        workers_in_root=size.workers,
        budget=size.budget,
        now=now,
    )


def same_child(
    scheduler: Scheduler, parent: Worker, digest: str, discarded: Collection[str]
) -> Job | None:
    """The worker's own child job for the same question, unless that one came to nothing, or the
    worker has ``discarded`` its result."""
    for job_id in (each for each in reversed(parent.child_job_ids) if each not in discarded):
        job = scheduler.ledger.jobs[job_id]
        if job.digest == digest and job.status not in _STARTED_AGAIN and job.stop_cause is None:
            return job
    return None
