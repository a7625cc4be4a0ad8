"""Attempts that resolve conflicts: one more attempt of a worker, with conflict markers in its
files.

The agent that ``config.resolve`` names runs the attempt in the worker's worktree, as one of the
worker's retries. A file that still has markers is not resolved. If the attempt changed nothing or
failed, no file is resolved, and the worker's earlier branch counts.
"""

from collections.abc import Sequence

from orchestrator.core import failpoints
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.repository.commit_messages import of_worker
from orchestrator.core.repository.git_refs import resolving_ref, start_ref, taken_ref, worker_branch
from orchestrator.core.repository.repository import Repository, merger_of


def begin(repository: Repository, job: Job, worker: Worker, sent: str) -> str:
    """Put both sides on the worker's branch, with conflict markers. Return the start commit."""
    own = own_tip(repository, worker)
    words = of_worker(f"Merge the result so far for {worker.id}, with conflicts", worker)
    marked = repository.marked(own, sent, words, merger_of(job))
    known = {resolving_ref(worker): own, taken_ref(worker): sent, start_ref(worker): sent}
    repository.point_all(known)
    failpoints.reached("resolving: its start is known")
    repository.point(worker_branch(worker), marked)
    return sent


def own_tip(repository: Repository, worker: Worker) -> str:
    """Return the worker's branch, or its state before a failed attempt to resolve its conflicts."""
    tip = repository.tip(worker_branch(worker))
    return repository.tip(resolving_ref(worker)) if unresolved(repository, worker) else tip


def unresolved(repository: Repository, worker: Worker) -> Sequence[str]:
    """Return conflicting files that still have markers; all of them if the attempt changed
    nothing, or failed.
    """
    own, sent = repository.tip(resolving_ref(worker)), repository.tip(taken_ref(worker))
    tip = repository.tip(worker_branch(worker))
    # After a crash, one of the refs may exist without the other.
    if not (own and sent and tip and repository.contains(tip, sent)):
        return ()
    if worker.result and worker.result.unresolved:
        return worker.result.conflicts
    return repository.unresolved(own, sent, tip)
