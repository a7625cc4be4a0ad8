"""Checks if an ended worker can run again: for feedback, and for a retry of one worker."""

from orchestrator.core.command_name import COMMAND
from orchestrator.core.errors import Conflict
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import LossCause
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.scheduler.scheduler import Scheduler

#: The kind of problem for a worker that has not ended.
RUNNING = "running"


def check_worker_ended(worker: Worker) -> None:
    """Raise Conflict for a worker that has not ended, or is a planner or reviewer."""
    if worker.is_adviser:
        kind = "planner" if worker.is_planner else "reviewer"
        raise Conflict(f"{worker.id} is a {kind}, which changes no file; name a worker of a task")
    if not worker.status.ended:
        raise Conflict(
            f"{worker.id} has not ended ({worker.status}); wait for it: "
            f"{COMMAND} wait {worker.job_id}",
            kind=RUNNING,
        )


def check_can_run_again(job: Job) -> None:
    """Raise Conflict for a job whose branches were discarded."""
    if job.facts.discarded:
        raise Conflict(
            f"cannot run job {job.id} again: its branches were discarded; submit its request "
            f"again; show it: {COMMAND} report {job.id}"
        )


def check_reopens(
    scheduler: Scheduler, job: Job, worker: Worker, command: str = "feedback"
) -> None:
    """Raise Conflict if the worker's job cannot continue with it; a Deadlock is one.

    ``command``: what a person does to the worker above, if only that worker can still run. For the
    supervisor's turn: nothing else can change between this check and the change.
    """
    check_worker_ended(worker)
    check_can_run_again(job)
    _check_conflicts(job, worker)
    if job.stop_cause is not None and not job.status.ended:
        raise Conflict(f"job {job.id} is being stopped; wait for it: {COMMAND} wait {job.id}")
    if scheduler.view.is_rendering(job.id):
        raise Conflict(
            f"job {job.id} is being merged; repeat the call when it has ended: "
            f"{COMMAND} wait {job.id}"
        )
    if any(_is_at_work(each, worker) for each in scheduler.view.workers_of(job.id)):
        raise Conflict(
            f"the candidates of task {worker.task_id!r} are being reviewed; wait for the end of "
            f"the job: {COMMAND} wait {job.id}"
        )
    if job.parent_key is not None:
        _check_above(scheduler, job, command)
        scheduler.check_locks(job, [scheduler.view.task_of(worker)])


def _is_at_work(each: Worker, worker: Worker) -> bool:
    return each.is_reviewer and each.task_id == worker.task_id and not each.status.ended


def _check_conflicts(job: Job, worker: Worker) -> None:
    lacks = (each for each in job.facts.missing if each.cause is LossCause.CONFLICT)
    if any(each.worker_id == worker.id and not each.chosen for each in lacks):
        raise Conflict(
            f"the changes of {worker.id} conflict with those of other workers; resolve that "
            f"first: {COMMAND} merge {job.id} --resolve worker"
        )


def _check_above(scheduler: Scheduler, job: Job, command: str) -> None:
    """Raise Conflict if the worker that started the job cannot wait for it again."""
    assert job.parent_key is not None
    parent = scheduler.view.workers[job.parent_key]
    if not scheduler.view.is_open(parent.key):
        raise Conflict(
            f"{parent.id}, which started job {job.id}, has ended, and its change contains the "
            f"result; name that worker: {COMMAND} {command} {parent.job_id} {parent.id}"
        )
    if parent.status is WorkerStatus.PENDING:
        raise Conflict(
            f"{parent.id}, which started job {job.id}, is queued and may request it again; wait "
            f"for the root job: {COMMAND} wait {job.root_id}"
        )
