"""Merges the job's result so far into the branch of a rejected worker."""

from orchestrator.core import failpoints
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.repository.git_refs import (
    adopted_result_ref,
    sent_ref,
    start_ref,
    worker_branch,
    worker_commit_message,
)
from orchestrator.core.repository.repository import Repository, merger_of
from orchestrator.engine.worktrees import conflict_resolution


def merge_result_so_far(repository: Repository, job: Job, worker: Worker, start: str) -> str:
    """Merge the job's result so far into the branch of a rejected worker. Idempotent.

    Return the new start commit:

    - Without a conflict: a merge of ``start`` and the job's result so far.
    - With a conflict that no agent is to resolve: ``start``. The branch stays unchanged.
    - With a conflict that the next attempt is to resolve: the job's result so far. The branch then
      has conflict markers.

    The branch must not be checked out in any worktree.
    """
    result = repository.commit_of(sent_ref(worker))
    if not result:
        return start
    resolves = bool(job.config.resolve and worker.result and worker.result.conflicts)
    if resolves and conflict_resolution.unresolved(repository, worker):
        start = conflict_resolution.begin(repository, job, worker, result)
        repository.delete_ref(sent_ref(worker))
        return start
    message = worker_commit_message(f"Merge the job's result so far into {worker.id}", worker)
    tip = repository.commit_of(worker_branch(worker)) or start
    merged_start, merged_tip = (
        repository.merge(each, result, message, merger_of(job), force=False).commit
        for each in (start, tip)
    )
    if merged_start and merged_tip:
        # Move the start, so that changes of other workers do not count as this worker's changes.
        repository.set_ref(start_ref(worker), merged_start)
        failpoints.reached("rejection: worker's start moved")
        repository.set_ref(worker_branch(worker), merged_tip)
        repository.set_ref(adopted_result_ref(worker), result)
        start = merged_start
    elif resolves:
        start = conflict_resolution.begin(repository, job, worker, result)
    repository.delete_ref(sent_ref(worker))
    return start
