"""Conflicts that an agent is to resolve: a further attempt of the worker, with marks in its files.

The attempt is carried out by the agent that ``config.resolve`` names, in the worker's worktree; it
costs one of the worker's retries. A file that still has marks is not resolved, and none is where
nothing was done, or the attempt failed: then the worker's own branch counts, as it was before.
"""

from collections.abc import Sequence

from orchestrator.core import failpoints
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.repository.commit_messages import of_worker
from orchestrator.core.repository.git_refs import resolving_ref, start_ref, taken_ref, worker_branch
from orchestrator.core.repository.repository import Repository, merger_of


def begin(repository: Repository, job: Job, worker: Worker, sent: str) -> str:
    """Have both sides on the worker's branch, with marks; where the worker starts then."""
    own = own_tip(repository, worker)
    words = of_worker(f"Merge the result so far for {worker.id}, with conflicts", worker)
    marked = repository.marked(own, sent, words, merger_of(job))
    known = {resolving_ref(worker): own, taken_ref(worker): sent, start_ref(worker): sent}
    repository.point_all(known)
    failpoints.reached("resolving: its start is known")
    repository.point(worker_branch(worker), marked)
    return sent


def own_tip(repository: Repository, worker: Worker) -> str:
    """The worker's branch, or what it was before somebody failed to resolve its conflicts."""
    tip = repository.tip(worker_branch(worker))
    return repository.tip(resolving_ref(worker)) if unresolved(repository, worker) else tip


def unresolved(repository: Repository, worker: Worker) -> Sequence[str]:
    """Files in which marks are left; all that conflict where nothing was done about any, or where
    whoever was to do it failed."""
    own, sent = repository.tip(resolving_ref(worker)), repository.tip(taken_ref(worker))
    tip = repository.tip(worker_branch(worker))
    # A crash may have left one of them without the other.
    if not (own and sent and tip and repository.contains(tip, sent)):
        return ()
    if worker.result and worker.result.unresolved:
        return worker.result.conflicts
    return repository.unresolved(own, sent, tip)
