"""Merges the branch heads of a worker into the merged state of the job."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.core.model.job import Worker
from orchestrator.core.repository.git_refs import (
    merging_ref,
    start_ref,
    worker_branch,
    worker_commit_message,
)
from orchestrator.core.repository.repository import (
    FileConflict,
    Merge,
    MergedFile,
    Strategy,
    merger_of,
)
from orchestrator.engine.merge.culprit_search import MergeStep
from orchestrator.engine.merge.merge_order import MergePart
from orchestrator.engine.merge.running_merge import RunningMerge
from orchestrator.engine.worktrees import conflict_resolution


class BranchMerge:
    """Merges the branches of a job's workers, each on top of the earlier merged state."""

    def __init__(self, merge: RunningMerge) -> None:
        self._merge = merge

    def add(self, state: str, part: MergePart, may_unite: bool) -> MergeStep:
        """Merge a worker's changes into the commit ``state``. Return the step with the new state.

        The changes are the worker's branch heads, and the discarded changes of child jobs that a
        person included. A head that conflicts is skipped, except with the merge strategy
        ``theirs``. ``may_unite``: True to allow a merge that keeps the lines of both sides, if both
        sides added lines in the same place.
        """
        worker, job, repository = part.worker, self._merge.job, self._merge.repository
        union = may_unite and job.config.merge_strategy == Strategy.AUTO
        conflicts: list[FileConflict] = []
        files: list[MergedFile] = []
        is_whole = True
        start = repository.commit_of(start_ref(worker))
        heads = self._heads_to_merge(worker)
        children = self._merge.worktrees.branches.children(worker) if len(heads) > 1 else []
        child_of = {each.result: each.job_id for each in children}
        for head in heads:
            self._fast_forward_branch(worker, head)
            merged = self._merge_commit(state, head, worker, union=union)
            conflicts += _with_child_job(merged.conflicts, child_of.get(head, ""))
            files += merged.files
            is_whole = is_whole and bool(merged.commit)
            state = merged.commit or state
        for child_id in job.facts.taken_jobs:
            merged = self._merge_discarded(state, worker, child_id, heads[0])
            conflicts += _with_child_job(merged.conflicts, child_id)
            is_whole = is_whole and bool(merged.commit)
            state = merged.commit or state
        repository.set_ref(merging_ref(job.root_id, job.id), state)
        return MergeStep(
            part=part,
            commit=state,
            has_changes=any(head != start for head in heads),
            is_whole=is_whole,
            conflicts=tuple(conflicts),
            files=tuple(files),
            conflicting_jobs=frozenset(child_of[head] for head in heads[1:] if head in child_of),
        )

    def _heads_to_merge(self, worker: Worker) -> Sequence[str]:
        repository = self._merge.repository
        if conflict_resolution.unresolved(repository, worker):
            return [conflict_resolution.own_tip(repository, worker)]
        return self._merge.worktrees.tips_of(self._merge.job, worker.id)

    def _fast_forward_branch(self, worker: Worker, head: str) -> None:
        """Move the worker's branch to ``head``, if this is a fast-forward.

        Do nothing if the worker still has a worktree, or if ``head`` does not contain the branch.
        """
        repository, branch = self._merge.repository, worker_branch(worker)
        tip = repository.commit_of(branch)
        has_worktree = os.path.lexists(self._merge.worktrees.directory(worker))
        if tip and tip != head and not has_worktree and repository.contains(head, tip):
            repository.set_ref(branch, head)

    def _merge_commit(
        self, state: str, commit: str, worker: Worker, *, union: bool = False
    ) -> Merge:
        job = self._merge.job
        message = worker_commit_message(f"Merge {worker.id}: {worker.task_id}", worker)
        force = job.config.merge_strategy == Strategy.THEIRS
        return self._merge.repository.merge(
            state, commit, message, merger_of(job), force=force, union=union
        )

    def _merge_discarded(self, state: str, worker: Worker, child_id: str, head: str) -> Merge:
        """Merge a child job's changes into ``state``, although the parent worker discarded them.

        ``worker``: the parent worker. ``head``: the head of the parent worker's branch. This branch
        is not moved, so that a later merge can exclude the changes again.
        """
        changes = self._merge.child_changes.merge_again(self._merge.job, worker, child_id, head)
        if changes is None:
            return Merge(commit=state)
        if not changes.commit:
            return changes
        return self._merge_commit(state, changes.commit, worker)


def _with_child_job(conflicts: Sequence[FileConflict], job_id: str) -> Iterator[FileConflict]:
    for conflict in conflicts:
        yield replace(conflict, child_job_id=job_id) if job_id else conflict
