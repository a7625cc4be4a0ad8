"""Selects the changes to merge, and records why other changes are excluded."""

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.core.gates.gate import GateResult
from orchestrator.core.model.attempt.failure import after
from orchestrator.core.model.dag import sources
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import LossCause
from orchestrator.core.ports import Tree
from orchestrator.core.repository.git_refs import adopted_result_ref, start_ref, worker_branch
from orchestrator.core.repository.repository import Repository, Strategy
from orchestrator.engine.merge.merge_messages import failures_in_words
from orchestrator.engine.merge.merge_order import MergePart, best_last, in_order, split
from orchestrator.engine.merge.merge_record import MergeRecord
from orchestrator.engine.merge.resolver_selection import ResolverSelection, is_refused
from orchestrator.engine.worktrees.checkpoint_commits import LEFT
from orchestrator.engine.worktrees.working_directories import Worktrees


class PartSelection:
    """Selects the changes that one merge of a job combines."""

    def __init__(
        self,
        repository: Repository,
        worktrees: Worktrees,
        resolvers: ResolverSelection,
        record: MergeRecord,
        tree: Tree,
        job: Job,
    ) -> None:
        self._repository = repository
        self._worktrees = worktrees
        self._resolvers = resolvers
        self._record = record
        self._tree = tree
        self._job = job
        self._tasks = {task.id: task for task in tree.tasks[job.id]}

    def parts(self, workers: Sequence[Worker]) -> Sequence[MergePart]:
        """Return the changes that can be merged, in the order of the merge.

        Record all other changes, each with the reason why it is excluded.
        """
        for worker in self._refused_before(workers):
            self.exclude_refused(worker, worker.gates)
        present = [each for each in workers if self._is_present(each)]
        losers = self._other_candidates(workers)
        present = [each for each in present if not self._excluded_as_built_on_loser(losers, each)]
        parts = self._complete_parts(present)
        if self._job.config.merge_strategy == Strategy.THEIRS:
            # The later part wins a conflict, so parts with better evidence come later.
            parts = best_last(parts)
        return in_order(parts, self._is_built_on_others)

    def exclude_refused(self, worker: Worker, results: Sequence[GateResult]) -> None:
        """Exclude a worker with whose changes the gates fail."""
        why = failures_in_words(results) or worker.reason
        self._record.exclude(worker, why, LossCause.REFUSED)
        self._resolvers.note_resolvable(worker)

    def exclude_dependent(self, worker: Worker, task_id: str) -> None:
        """Exclude a worker that depends on a task which is not in the result."""
        why = f"depends on task {task_id!r}, which is not in the result"
        self._record.exclude(worker, why, LossCause.BUILDS_ON)

    def _refused_before(self, workers: Sequence[Worker]) -> Iterator[Worker]:
        """Yield the job's workers whose changes failed the gates in an earlier merge.

        Omit a worker if ``workers`` contains a worker of the same task.
        """
        done = {each.task_id for each in workers}
        for each in self._tree.workers:
            if is_refused(each) and each.job_id == self._job.id and each.task_id not in done:
                yield each

    def _is_present(self, worker: Worker) -> bool:
        """True if the worker's changes are available, or if the worker needs no worktree.

        If the branch was removed, restore it from a checkpoint. Without a checkpoint, exclude the
        worker, and return False.
        """
        task = self._tasks[worker.task_id]
        branch = worker_branch(worker)
        wants_worktree = self._worktrees.rule.wanted
        if self._repository.commit_of(branch) or not wants_worktree(self._job, task, worker):
            return True
        kept = self._worktrees.checkpoints.refs_of(worker)
        commit = kept.get(after(worker.attempt))
        if commit and not any(LEFT in name for name in kept):
            self._repository.set_ref(branch, commit)
            return True
        reason = "the branch and the checkpoints of the worker were removed"
        self._record.exclude(worker, reason, LossCause.NO_BRANCH)
        self._record.gone.append(worker.id)
        return False

    def _other_candidates(self, inside: Sequence[Worker]) -> dict[str, Worker]:
        """Return the candidates that were not chosen and have changes. The keys are branch heads.

        ``inside``: the workers whose changes are merged. These workers are omitted.
        """
        own = (each for each in self._tree.workers if each.job_id == self._job.id)
        losers = (each for each in own if each.chosen is False)
        tips = {self._repository.commit_of(worker_branch(each)): each for each in losers}
        return {
            tip: each
            for tip, each in tips.items()
            if tip and each not in inside and tip != self._repository.commit_of(start_ref(each))
        }

    def _excluded_as_built_on_loser(self, losers: Mapping[str, Worker], worker: Worker) -> bool:
        """Exclude the worker if it started from changes of a candidate that is no longer chosen.

        Return True if the worker was excluded. ``losers``: the candidates that are not chosen; the
        keys are branch heads.
        """
        needs = sources(self._tasks, self._tasks[worker.task_id])
        start = self._repository.commit_of(start_ref(worker)) if needs else ""
        for tip, loser in losers.items():
            if start and loser.task_id in needs and self._repository.contains(start, tip):
                why = f"depends on {loser.id}, which is no longer the chosen candidate"
                self._record.exclude(worker, why, LossCause.BUILDS_ON)
                return True
        return False

    def _complete_parts(self, workers: Sequence[Worker]) -> Sequence[MergePart]:
        tasks = self._tasks
        depends_on = {name: frozenset(sources(tasks, tasks[name])) for name in tasks}
        parts = [MergePart(each, depends_on[each.task_id]) for each in workers]
        whole, without = split(parts, list(tasks.values()))
        for part, task_id in without:
            self.exclude_dependent(part.worker, task_id)
        return whole

    def _is_built_on_others(self, worker: Worker) -> bool:
        return bool(self._repository.commit_of(adopted_result_ref(worker)))
