"""Branch heads of ended workers, with the results of their child jobs merged in."""

from orchestrator.core.model.job import Job
from orchestrator.core.repository.git_refs import branch_of, child_refs, of_child_job, of_job
from orchestrator.core.repository.repository import Merge, Repository, merger_of


class BranchHeads:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def of(self, job: Job, worker_id: str) -> list[str]:
        """Return the branch heads of an ended worker: its branch, with its child jobs' results.

        Results that cannot be folded into the branch are separate heads. The branch itself is
        unchanged, because a worktree may have it checked out.
        """
        tip = self._repository.tip(branch_of(job.root_id, worker_id))
        tip, alone = self.with_children(job, worker_id, tip, brought=True)
        return [*filter(None, [tip]), *alone]

    def with_children(
        self, job: Job, worker_id: str, tip: str, *, brought: bool = False
    ) -> tuple[str, list[str]]:
        """Return a commit with the results of a worker's child jobs, and the result commits that
        conflict.

        ``brought``: True if ``tip`` may already have results, because they were added to the
        worker's files.
        """
        alone: list[str] = []
        refs = self._repository.tips(child_refs(job.root_id, worker_id))
        for name in (each for each in refs if each.endswith("/result")):
            place, result = name.removesuffix("result"), refs[name]
            if tip and brought and refs.get(f"{place}brought") == result:
                folded = self._joined(job, worker_id, tip, result)
            else:
                folded = self._folded(job, worker_id, tip, refs[f"{place}base"], result)
            tip = folded or tip
            if not folded:
                alone.append(result)
        return tip, alone

    def _joined(self, job: Job, worker_id: str, tip: str, result: str, content: str = "") -> str:
        """Return a worker's branch with a child job's result as a second parent."""
        if self._repository.contains(tip, result):
            return tip
        message = of_child_job(worker_id, job.id)
        return self._repository.join(tip, result, message, merger_of(job), content)

    def _folded(self, job: Job, worker_id: str, tip: str, began: str, result: str) -> str:
        """Return a worker's branch with a child job's changes; empty if they conflict."""
        own = tip
        if not tip or self._repository.contains(tip, result):
            return tip
        if not self._repository.contains(tip, began):
            # The start is not a commit of the job, but its changes are.
            words = of_job(f"State of {worker_id} when it started a child job", job.id)
            tip = self._repository.join(tip, began, words, merger_of(job))
        message = of_child_job(worker_id, job.id)
        merged = self.merge(job, tip, result, message).commit
        if not merged or tip == own:
            return merged
        # One merge for each depth: the start is an ancestor of the job's result.
        return self._joined(job, worker_id, own, result, merged)

    def merge(self, job: Job, ours: str, theirs: str, message: str) -> Merge:
        """Merge by the job's strategy."""
        force = job.config.merge_strategy == "theirs"
        return self._repository.merge(ours, theirs, message, merger_of(job), force=force)
