"""Adds a child job's result to the worker that started it, or describes it as text."""

from dataclasses import replace

from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.ports import Tree
from orchestrator.core.repository.git_refs import child_refs, short, worker_branch
from orchestrator.core.repository.repository import FileConflict, Repository
from orchestrator.engine.merge.record import MergeRecord, told
from orchestrator.engine.worktrees.working_directories import Worktrees


class ChildResultMerge:
    def __init__(self, repository: Repository, worktrees: Worktrees) -> None:
        self._repository = repository
        self._worktrees = worktrees

    def fold(self, record: MergeRecord, tree: Tree, job: Job) -> None:
        """Add the child job's result to the parent worker's branch, or to its files while it
        waits.

        Idempotent. Does nothing for a root job, and without a result. If the parent worker has
        ended, the next merge of its own job includes the result.
        """
        if job.parent_worker_id is None or not record.commit:
            return
        parent = next(each for each in tree.workers if each.id == job.parent_worker_id)
        refs = f"{child_refs(job.root_id, parent.id)}{job.id}/"
        self._repository.point(f"{refs}base", record.base)
        self._repository.point(f"{refs}result", record.commit)
        if parent.status is WorkerStatus.WAITING:
            self._bring(record, job, parent, refs)

    def _bring(self, record: MergeRecord, job: Job, parent: Worker, refs: str) -> None:
        """Add the child job's changes to the files of a waiting worker."""
        brought = self._worktrees.bring_result(job, parent, record.base, record.commit)
        if brought is None:
            record.without_worktree = parent.id
            return
        taken = bool(brought.merge.commit)
        record.conflicts += [
            told(parent, _lost_by(parent, each), taken) for each in brought.merge.conflicts
        ]
        if brought.merge.conflicts:
            # No other place has the worker's uncommitted files.
            self._repository.point(f"{refs}ours", brought.ours)
        if taken:
            # Later changes of these lines are the worker's own decision.
            self._repository.point(f"{refs}brought", record.commit)
        else:
            record.handed = {
                "worker_id": parent.id,
                "branch": short(worker_branch(parent)),
                "ours": brought.ours,
                "theirs": record.branch,
                "paths": [each.path for each in brought.merge.conflicts],
            }


def _lost_by(parent: Worker, conflict: FileConflict) -> FileConflict:
    lost = tuple(replace(each, workers=(parent.id,)) for each in conflict.lost)
    return replace(conflict, lost=lost)
