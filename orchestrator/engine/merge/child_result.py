"""Adds the result of a child job to the work of its parent worker."""

from dataclasses import replace

from orchestrator.core.model.attempt.failure import after
from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.repository.git_refs import (
    checkpoint_refs,
    child_refs,
    short,
    worker_branch,
)
from orchestrator.core.repository.repository import FileConflict
from orchestrator.engine.merge.running_merge import RunningMerge


def pass_to_parent(merge: RunningMerge) -> None:
    """Make a child job's result available to its parent worker. Idempotent.

    The next merge of the parent worker's job includes the result. If the parent worker's process
    waits for the child job, also add the result to the parent worker's files.

    Do nothing if the job is a root job or has no result.
    """
    record, job, repository = merge.record, merge.job, merge.repository
    if job.parent_worker_id is None or not record.commit:
        return
    workers = merge.tree.workers
    parent = next(each for each in workers if each.id == job.parent_worker_id)
    refs = f"{child_refs(job.root_id, parent.id)}{job.id}/"
    repository.set_ref(f"{refs}base", record.base)
    repository.set_ref(f"{refs}result", record.commit)
    if parent.status is WorkerStatus.WAITING and not _is_committed(merge, parent):
        _add_to_files(merge, parent, refs)


def _add_to_files(merge: RunningMerge, parent: Worker, refs: str) -> None:
    """Add the result to the parent worker's files. ``refs``: prefix of the result's refs."""
    record, repository = merge.record, merge.repository
    added = merge.worktrees.add_child_result(
        merge.job, parent, record.base, record.commit, f"refs/heads/{record.branch}"
    )
    if added is None:
        record.without_worktree = parent.id
        return
    conflicts, is_merged = added.merge.conflicts, bool(added.merge.commit)
    with_loser = [_with_loser(parent, each) for each in conflicts]
    record.add_conflicts(parent, with_loser, resolved=is_merged)
    if conflicts:
        # This commit is the only copy of the worker's uncommitted files, so protect it by a ref.
        repository.set_ref(f"{refs}ours", added.ours)
    # Check again, because the attempt may have ended since the first check.
    if is_merged and not _is_committed(merge, parent):
        # Record that the worker has received the result. If changes of the result are later
        # missing, the worker counts as having undone them.
        repository.set_ref(f"{refs}brought", record.commit)
    if not is_merged:
        record.handed = {
            "worker_id": parent.id,
            "branch": short(worker_branch(parent)),
            "ours": added.ours,
            "theirs": record.branch,
            "paths": [each.path for each in conflicts],
        }


def _is_committed(merge: RunningMerge, worker: Worker) -> bool:
    """True if the files of the worker's latest attempt are already committed.

    In this case, the worker's process has ended before its child job, so the commit lacks the child
    job's result. This does not mean that the worker has undone the result.
    """
    ref = f"{checkpoint_refs(worker.root_id, worker.id)}{after(worker.attempt)}"
    return bool(merge.repository.commit_of(ref))


def _with_loser(parent: Worker, conflict: FileConflict) -> FileConflict:
    lost = tuple(replace(hunk, workers=(parent.id,)) for hunk in conflict.lost)
    return replace(conflict, lost=lost)
