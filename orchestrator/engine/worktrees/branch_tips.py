"""Branch heads of ended workers, with the results of their child jobs merged in.

This module also rewrites branches, to remove secrets, files that must never be committed, and
rejected attempts.
"""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core.gates.gate import SECRETS
from orchestrator.core.model.attempt.delivered_work import HeldBack
from orchestrator.core.model.attempt.failure import after, before
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.repository.git_refs import (
    branch_of,
    checkpoint_refs,
    child_merge_message,
    child_refs,
    child_results,
    job_commit_message,
)
from orchestrator.core.repository.repository import (
    Merge,
    Repository,
    Strategy,
    merger_of,
    signature_of,
)


class BranchTips:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def of(self, job: Job, worker_id: str) -> list[str]:
        """Return the branch heads of an ended worker.

        The first head is a commit that merges the results of the worker's child jobs into the
        worker's branch. Each result that conflicts is a further head. If the worker has no branch,
        the heads are the results of its child jobs. The branch itself is not moved, because it may
        be checked out in a worktree.
        """
        tip = self._repository.commit_of(branch_of(job.root_id, worker_id))
        tip, conflicting = self.with_children(job, worker_id, tip, may_have_results=True)
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


def without_secrets(
    repository: Repository, worker: Worker, branch: str, start: str, tip: str, message: str
) -> str:
    """Squash a worker's commits if the scan for secrets found a secret in an attempt.

    Without the squash, a secret that a later commit removed would remain in the merged history.
    Return the new branch head. Checkpoints still have the former head. Idempotent.

    ``start``, ``tip``: the worker's start commit and branch head.
    """
    has_secret = any(SECRETS in failure.gates for failure in worker.failures)
    if not has_secret or not start or list(repository.first_parent_commits(start, tip)) == [tip]:
        return tip
    commit = repository.replay(start, (), tip, message, signature_of(worker))
    repository.set_ref(branch, commit)
    return commit


def without_held_back(
    repository: Repository,
    branch: str,
    onto: str,
    tip: str,
    message: str,
    held: Sequence[HeldBack],
) -> tuple[str, tuple[HeldBack, ...]]:
    """Squash the commits of an attempt if they contain files that must not be committed.

    Without the squash, these files would remain in the merged history. If one of the commits is a
    merge, change nothing. Return the branch head, and ``held`` with the outcome for each file.
    Idempotent.

    ``onto``: the commit before the attempt. ``held``: the files that must not be committed.
    """
    affected_paths = (
        repository.paths_in_history(onto, tip, [each.path for each in held]) if held else ()
    )
    if not affected_paths:
        return tip, tuple(held)
    commit = repository.squash(onto, repository.commit_of(f"{tip}^"), tip, message)
    is_folded = commit != tip
    if is_folded:
        repository.set_ref(branch, commit)
    notes = (
        replace(each, folded=is_folded, in_history=not is_folded)
        if each.path in affected_paths
        else each
        for each in held
    )
    return commit, tuple(notes)


def without_rejected(
    repository: Repository, worker: Worker, branch: str, tip: str, message: str
) -> str:
    """Squash the commits of rejected attempts into the commit of the worker's current attempt.

    Squash only the rejected attempts directly before the current attempt. Return the new branch
    head. Idempotent.
    """
    first_attempt = _first_rejected(worker)
    ref_prefix = checkpoint_refs(worker.root_id, worker.id)
    checkpoint = before(first_attempt) if first_attempt == 1 else after(first_attempt - 1)
    onto = repository.commit_of(f"{ref_prefix}{checkpoint}")
    rejected_commit = repository.commit_of(f"{ref_prefix}{after(worker.attempt - 1)}")
    if (
        first_attempt == worker.attempt
        or not (onto and rejected_commit)
        or rejected_commit in (onto, tip)
    ):
        return tip
    if not (
        repository.contains(tip, rejected_commit) and repository.contains(rejected_commit, onto)
    ):
        return tip
    commit = repository.squash(onto, rejected_commit, tip, message)
    if commit != tip:
        repository.set_ref(branch, commit)
    return commit


def _first_rejected(worker: Worker) -> int:
    rejected_attempts = {failure.attempt for failure in worker.failures if failure.gates}
    first_attempt = worker.attempt
    while first_attempt - 1 in rejected_attempts:
        first_attempt -= 1
    return first_attempt
