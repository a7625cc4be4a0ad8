"""The next attempt of a worker that was sent back: its own branch, with what the others did."""

from orchestrator.core import failpoints
from orchestrator.core.model import Job, Worker
from orchestrator.core.refs import sent_ref, start_ref, taken_ref, worker_branch
from orchestrator.core.repository import Repository, merger_of
from orchestrator.core.trailers import of_worker
from orchestrator.engine import resolving


def take_up(repository: Repository, job: Job, worker: Worker, start: str) -> str:
    """Where the worker starts: with the result so far, unless that excludes what it did.

    ``start`` is where it started before; its branch is nowhere checked out. Idempotent.
    """
    sent = repository.tip(sent_ref(worker))
    if not sent:
        return start
    resolves = bool(job.config.resolve and worker.result and worker.result.conflicts)
    if resolves and resolving.unresolved(repository, worker):
        start = resolving.begin(repository, job, worker, sent)
        repository.drop(sent_ref(worker))
        return start
    message = of_worker(f"Merge the result so far for {worker.id}", worker)
    tip = repository.tip(worker_branch(worker)) or start
    on_start, on_tip = (
        repository.merge(each, sent, message, merger_of(job), force=False).commit
        for each in (start, tip)
    )
    if on_start and on_tip:
        # Else the changes of others would count as its own.
        repository.point(start_ref(worker), on_start)
        failpoints.reached("sent back: its start is known")
        repository.point(worker_branch(worker), on_tip)
        repository.point(taken_ref(worker), sent)
        start = on_start
    elif resolves:
        start = resolving.begin(repository, job, worker, sent)
    repository.drop(sent_ref(worker))
    return start
