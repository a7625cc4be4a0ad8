"""Branch heads of ended workers, with the results of their child jobs merged in."""

from dataclasses import replace

from orchestrator.core.model.job import Job
from orchestrator.core.repository.git_refs import (
    branch_of,
    child_merge_message,
    child_refs,
    child_results,
    job_commit_message,
)
from orchestrator.core.repository.repository import Merge, Repository, Strategy, merger_of


class BranchHeads:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def of(self, job: Job, worker_id: str) -> list[str]:
        """Return the branch heads of an ended worker.

        1. A commit that merges the results of the worker's child jobs into the worker's branch.
        2. Each result that conflicts, even with the merge strategy ``theirs``, so that the merge of
           the heads reports the replaced hunks.

        If the worker has no branch, the heads are the results of its child jobs. The branch itself
        is not moved, because it may be checked out in a worktree.
        """
        tip = self._repository.commit_of(branch_of(job.root_id, worker_id))
        unforced = replace(job, config=replace(job.config, merge_strategy=Strategy.AUTO))
        tip, conflicting = self.with_children(unforced, worker_id, tip, may_have_results=True)
        return [*filter(None, [tip]), *conflicting]

    def with_children(
        self, job: Job, worker_id: str, tip: str, *, may_have_results: bool = False
    ) -> tuple[str, list[str]]:
        """Merge the results of a worker's child jobs into the commit ``tip``.

        Return two values: the merged commit, and the results that conflict.

        ``may_have_results``: True if ``tip`` may already have the content of some results. While a
        worker waits for its child jobs, the server adds their results to the worker's files. These
        files are committed later.
        """
        conflicting: list[str] = []
        for child in child_results(
            self._repository.commits_below(child_refs(job.root_id, worker_id))
        ):
            if tip and may_have_results and child.is_brought:
                merge_commit = self._with_result_as_parent(job, worker_id, tip, child.result)
            else:
                merge_commit = self._with_result(job, worker_id, tip, child.base, child.result)
            tip = merge_commit or tip
            if not merge_commit:
                conflicting.append(child.result)
        return tip, conflicting

    def _with_result_as_parent(
        self, job: Job, worker_id: str, tip: str, result: str, content: str = ""
    ) -> str:
        if self._repository.contains(tip, result):
            return tip
        message = child_merge_message(worker_id, job.id)
        return self._repository.create_merge_commit(tip, result, message, merger_of(job), content)

    def _with_result(self, job: Job, worker_id: str, tip: str, base: str, result: str) -> str:
        worker_tip = tip
        if not tip or self._repository.contains(tip, result):
            return tip
        if not self._repository.contains(tip, base):
            # The child job started from a snapshot of the worker's uncommitted files. First merge
            # this snapshot, which is not on the branch.
            snapshot_message = job_commit_message(
                f"State of {worker_id} when it started a child job", job.id
            )
            tip = self._repository.create_merge_commit(tip, base, snapshot_message, merger_of(job))
        message = child_merge_message(worker_id, job.id)
        merge_commit = self.merge(job, tip, result, message).commit
        if not merge_commit or tip == worker_tip:
            return merge_commit
        # Replace the two merge commits by one, because the snapshot is an ancestor of the result.
        return self._with_result_as_parent(job, worker_id, worker_tip, result, merge_commit)

    def merge(
        self, job: Job, ours: str, theirs: str, message: str, *, union: bool = False
    ) -> Merge:
        """Merge the commit ``theirs`` into the commit ``ours`` with the job's merge strategy.

        ``union``: True to allow the strategy ``auto`` to keep the added lines of both sides.
        """
        strategy = job.config.merge_strategy
        return self._repository.merge(
            ours,
            theirs,
            message,
            merger_of(job),
            force=strategy == Strategy.THEIRS,
            union=union and strategy == Strategy.AUTO,
        )
