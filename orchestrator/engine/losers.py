"""Candidates that were not chosen: their work is kept, and known for what it is."""

from collections.abc import Iterator

from orchestrator.core.model import Job, Worker
from orchestrator.core.ports import Tree
from orchestrator.core.refs import candidate_refs, worker_branch
from orchestrator.core.repository import Repository


def keep_others(repository: Repository, tree: Tree, job: Job) -> None:
    """Mark the branches of a job's candidates that were not chosen, and no others. Idempotent.

    Raise RepositoryError.
    """
    for worker in _others(tree, job):
        tip = repository.tip(worker_branch(worker))
        if tip:
            repository.point(f"{candidate_refs(job.root_id)}{worker.id}", tip)
    for worker in tree.workers:
        # A person may have chosen another one since.
        name = f"{candidate_refs(job.root_id)}{worker.id}"
        if worker.job_id == job.id and worker.chosen and repository.tip(name):
            repository.drop(name)


def _others(tree: Tree, job: Job) -> Iterator[Worker]:
    for worker in tree.workers:
        if worker.job_id == job.id and worker.chosen is False:
            yield worker
