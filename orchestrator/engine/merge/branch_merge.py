"""Merges the branch heads of a worker into the merged state of the job."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.core.model.job import Job, Worker
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
    Repository,
    Strategy,
    merger_of,
)
from orchestrator.engine.merge.culprit_search import MergeStep
from orchestrator.engine.merge.merge_order import MergePart
from orchestrator.engine.worktrees import conflict_resolution
from orchestrator.engine.worktrees.lost_child_changes import LostChildChanges
from orchestrator.engine.worktrees.working_directories import Worktrees


class BranchMerge:
    """Merges the branches of a job's workers, each on top of the earlier merged state."""

    def __init__(self, repository: Repository, worktrees: Worktrees, job: Job) -> None:
        self._repository = repository
        self._worktrees = worktrees
        self._children = LostChildChanges(repository, worktrees)
        self._job = job

    def add(self, tip: str, part: MergePart, may_unite: bool) -> MergeStep:
        """Merge a worker's branch heads into the commit ``tip``, except heads that conflict.

        Return the step with the new merged state. ``may_unite``: True to allow a merge that keeps
        the lines of both sides, if both sides added lines in the same place.
        """
        union = may_unite and self._job.config.merge_strategy == Strategy.AUTO
        message = worker_commit_message(
            f"Merge {part.worker.id}: {part.worker.task_id}", part.worker
        )
        conflicts: list[FileConflict] = []
        files: list[MergedFile] = []
        is_whole = True
        start = self._repository.commit_of(start_ref(part.worker))
        tips = self._heads_to_merge(part.worker)
        children = self._worktrees.children(part.worker) if len(tips) > 1 else []
        child_of = {each.result: each.job_id for each in children}
        for commit in tips:
            self._fold(part.worker, commit)
            merged = self._merge(tip, commit, message, union=union)
            conflicts += _with_child_job(merged.conflicts, child_of.get(commit, ""))
            files += merged.files
            is_whole = is_whole and bool(merged.commit)
            tip = merged.commit or tip
        for child in self._job.facts.taken_jobs:
            again = self._merge_again(tip, part.worker, child, tips[0], message)
            conflicts += _with_child_job(again.conflicts, child)
            is_whole = is_whole and bool(again.commit)
            tip = again.commit or tip
        self._repository.set_ref(merging_ref(self._job.root_id, self._job.id), tip)
        return MergeStep(
            part=part,
            commit=tip,
            has_changes=any(commit != start for commit in tips),
            is_whole=is_whole,
            conflicts=tuple(conflicts),
            files=tuple(files),
        )

    def _merge_again(self, tip: str, worker: Worker, child: str, own: str, message: str) -> Merge:
        """Merge a child job's changes into ``tip``, although the parent worker discarded them.

        ``child``: id of the child job. ``worker``: the parent worker. ``own``: the head of the
        parent worker's branch. This branch is not moved, so that a later merge can exclude the
        changes again.
        """
        again = self._children.merge_again(self._job, worker, child, own)
        if again is None:
            return Merge(commit=tip)
        if not again.commit:
            return again
        return self._merge(tip, again.commit, message)

    def _heads_to_merge(self, worker: Worker) -> Sequence[str]:
        if conflict_resolution.unresolved(self._repository, worker):
            return [conflict_resolution.own_tip(self._repository, worker)]
        return self._worktrees.tips_of(self._job, worker.id)

    def _fold(self, worker: Worker, commit: str) -> None:
        """Fast-forward the worker's branch to ``commit``, if possible.

        Do nothing if the worker still has a worktree, or if ``commit`` does not contain the branch.
        """
        branch = worker_branch(worker)
        tip = self._repository.commit_of(branch)
        lives = os.path.lexists(self._worktrees.directory(worker))
        if tip and tip != commit and not lives and self._repository.contains(commit, tip):
            self._repository.set_ref(branch, commit)

    def _merge(self, tip: str, commit: str, message: str, *, union: bool = False) -> Merge:
        force = self._job.config.merge_strategy == Strategy.THEIRS
        merger = merger_of(self._job)
        return self._repository.merge(tip, commit, message, merger, force=force, union=union)


def _with_child_job(conflicts: Sequence[FileConflict], job_id: str) -> Iterator[FileConflict]:
    for each in conflicts:
        yield replace(each, child_job_id=job_id) if job_id else each
