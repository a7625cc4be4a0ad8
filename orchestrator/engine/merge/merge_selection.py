"""Selects the changes to merge, and records why other changes are excluded."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from orchestrator.core.candidates.selection import chosen
from orchestrator.core.errors import Conflict
from orchestrator.core.gates.gate import GateResult
from orchestrator.core.model.attempt.failure import after
from orchestrator.core.model.dag import in_order, sources
from orchestrator.core.model.job import Worker
from orchestrator.core.model.job_facts import LossCause
from orchestrator.core.repository.git_refs import (
    adopted_result_ref,
    short,
    start_ref,
    worker_branch,
)
from orchestrator.core.repository.repository import MergeChoice, Strategy
from orchestrator.core.text.command_name import COMMAND, git_in
from orchestrator.engine.merge.merge_order import (
    MergePart,
    best_last,
    built_on_others_last,
    split_by_dependencies,
)
from orchestrator.engine.merge.record.merge_record import MergeRecord
from orchestrator.engine.merge.record.merge_report_text import failures_in_words
from orchestrator.engine.merge.resolver_selection import ResolverSelection, is_rejected
from orchestrator.engine.merge.running_merge import RunningMerge
from orchestrator.engine.worktrees.checkpoints import LEFT


class MergeSelection:
    """Selects the changes that one merge of a job combines."""

    def __init__(self, merge: RunningMerge, resolvers: ResolverSelection) -> None:
        self._merge = merge
        self._resolvers = resolvers

    def workers(self, included_ids: Collection[str] = ()) -> list[Worker]:
        """Return the workers to merge, task by task, in the order of the tasks' dependencies.

        For each task: the chosen worker, then the other workers that a person selected.
        ``included_ids``: ids of the workers that a person selected.
        """
        selected: list[Worker] = []
        workers = [each for each in self._merge.workers if not each.is_adviser]
        for task in in_order(self._merge.tree.tasks[self._merge.job.id]):
            of_task = [each for each in workers if each.task_id == task.id]
            best = chosen(of_task)
            selected += [best] if best else []
            selected += [each for each in of_task if each.id in included_ids and each is not best]
        return selected

    def workers_by_choice(self, choice: MergeChoice, earlier: MergeRecord | None) -> list[Worker]:
        """Return the workers to merge again, by a person's choice. Record the excluded workers.

        ``earlier``: the record of the earlier merge. Raise Conflict if a chosen worker or child job
        cannot be merged. Nothing is changed in this case.
        """
        included_ids = {*self._merge.job.facts.taken, *choice.include} - {*choice.exclude}
        selected = self.workers(included_ids)
        self._check_included(choice.include, selected)
        remaining = [each for each in selected if each.id not in choice.exclude]
        for worker in remaining:
            self._check_branch(worker)
        for worker in selected:
            if worker.id in choice.exclude:
                self._exclude_by_choice(worker, earlier)
        return remaining

    def _check_included(self, names: Sequence[str], workers: Sequence[Worker]) -> None:
        """Raise Conflict if an included worker or child job has no changes.

        ``names``: ids of workers and child jobs.
        """
        merge = self._merge
        by_id = {each.id: each for each in workers}
        worker_ids = {each.id for each in merge.workers}
        for name in (each for each in names if each in worker_ids):
            worker = by_id.get(name)
            heads = merge.worktrees.tips_of(merge.job, name) if worker else []
            if worker is None or heads in ([], [merge.repository.commit_of(start_ref(worker))]):
                raise Conflict(
                    f"cannot merge {name}: this worker has no branch with changes; "
                    f"nothing was merged; list the workers: {COMMAND} status {merge.job.id}"
                )
        for child_id in (each for each in names if each not in worker_ids):
            if not any(merge.child_changes.has_result(each, child_id) for each in workers):
                raise Conflict(
                    f"cannot merge child job {child_id}: it has no result branch; nothing was "
                    "changed; check it: "
                    f"{COMMAND} status {child_id}"
                )

    def _check_branch(self, worker: Worker) -> None:
        """Raise Conflict if the worker's branch was removed."""
        repository, branch = self._merge.repository, worker_branch(worker)
        started = repository.commit_of(start_ref(worker))
        if started and not repository.commit_of(branch):
            saved = self._saved_commit(worker)
            git = git_in(self._merge.without_worktree.project)
            command = f": {git} branch {short(branch)} {saved[:12]}" if saved else ""
            raise Conflict(
                f"cannot merge {worker.id}: branch {short(branch)} no longer exists; restore the "
                f"branch{command}, or merge without the worker: --exclude {worker.id}"
            )

    def _saved_commit(self, worker: Worker) -> str:
        """Return the commit of the worker's branch, from a checkpoint.

        Return "" if there is no such checkpoint, or if a person rolled the worker back.
        """
        checkpoints = self._merge.worktrees.checkpoints.refs_of(worker)
        is_rolled_back = any(LEFT in name for name in checkpoints)
        return "" if is_rolled_back else checkpoints.get(after(worker.attempt), "")

    def _exclude_by_choice(self, worker: Worker, earlier: MergeRecord | None) -> None:
        """Exclude a worker from the result, because a person requested this.

        If the gates or a conflict excluded the worker from the earlier merge, record this cause
        again: it still applies if the person later includes the worker.
        """
        record = self._merge.record
        missing = earlier.missing() if earlier else ()
        exclusion = next((each for each in missing if each.worker_id == worker.id), None)
        # Read the job from the tree, because ``merge.job`` may have the person's merge strategy.
        job = next(each for each in self._merge.tree.jobs if each.id == record.job_id)
        is_manual = job.config.merge_strategy == Strategy.MANUAL
        cause = LossCause.MANUAL if is_manual else LossCause.CHOSEN
        if exclusion and exclusion.cause in (LossCause.CONFLICT, LossCause.REFUSED):
            cause = exclusion.cause
        record.exclude(worker, "excluded by you", cause)
        record.chosen.append(worker.id)
        if exclusion and exclusion.resolvable and cause is LossCause.CONFLICT:
            record.resolvable.append(worker.id)

    def parts(self, workers: Sequence[Worker]) -> Sequence[MergePart]:
        """Return the changes that can be merged, in the order of the merge.

        Record all other changes, each with the reason why it is excluded.
        """
        for worker in self._rejected_earlier(workers):
            self.exclude_rejected(worker, worker.gates)
        available = [each for each in workers if self._has_branch_if_needed(each)]
        losers = self._other_candidates(workers)
        mergeable = [
            each for each in available if not self._excluded_as_built_on_loser(losers, each)
        ]
        parts = self._complete_parts(mergeable)
        if self._merge.job.config.merge_strategy == Strategy.THEIRS:
            # The later part wins a conflict, so parts with better evidence come later.
            parts = best_last(parts)
        return built_on_others_last(parts, self._is_built_on_others)

    def exclude_rejected(self, worker: Worker, results: Sequence[GateResult]) -> None:
        """Exclude a worker, because the gates fail on its changes."""
        why = failures_in_words(results) or worker.reason
        self._merge.record.exclude(worker, why, LossCause.REFUSED)
        self._resolvers.note_resolvable(worker)

    def exclude_dependent(self, worker: Worker, task_id: str) -> None:
        """Exclude a worker that depends on a task which is not in the result."""
        why = f"depends on task {task_id!r}, which is not in the result"
        self._merge.record.exclude(worker, why, LossCause.BUILDS_ON)

    def _rejected_earlier(self, workers: Sequence[Worker]) -> Iterator[Worker]:
        """Yield the job's workers whose changes failed the gates in an earlier merge.

        Omit a worker if ``workers`` contains a worker of the same task.
        """
        merged_tasks = {each.task_id for each in workers}
        for worker in self._merge.workers:
            if is_rejected(worker) and worker.task_id not in merged_tasks:
                yield worker

    def _has_branch_if_needed(self, worker: Worker) -> bool:
        """True if the worker's branch exists, or if the worker needs no worktree.

        If the branch was removed, restore it from a checkpoint. Without a checkpoint, exclude the
        worker, and return False.
        """
        merge, branch = self._merge, worker_branch(worker)
        if merge.repository.commit_of(branch):
            return True
        if not merge.worktrees.rule.needs_worktree(merge.job, merge.tasks[worker.task_id], worker):
            return True
        commit = self._saved_commit(worker)
        if commit:
            merge.repository.set_ref(branch, commit)
            return True
        reason = "the branch and the checkpoints of the worker were removed"
        self._merge.record.exclude(worker, reason, LossCause.NO_BRANCH)
        self._merge.record.gone.append(worker.id)
        return False

    def _other_candidates(self, workers: Sequence[Worker]) -> dict[str, Worker]:
        """Return the candidates that were not chosen and have changes. The keys are branch heads.

        ``workers``: the workers whose changes are merged. These workers are omitted.
        """
        commit_of = self._merge.repository.commit_of
        losers = (each for each in self._merge.workers if each.chosen is False)
        heads = {commit_of(worker_branch(each)): each for each in losers}
        return {
            head: loser
            for head, loser in heads.items()
            if head and loser not in workers and head != commit_of(start_ref(loser))
        }

    def _excluded_as_built_on_loser(self, losers: Mapping[str, Worker], worker: Worker) -> bool:
        """Exclude the worker if it started from changes of a candidate that is no longer chosen.

        Return True if the worker was excluded. ``losers``: the candidates that are not chosen; the
        keys are branch heads.
        """
        repository, tasks = self._merge.repository, self._merge.tasks
        needs = sources(tasks, tasks[worker.task_id])
        start = repository.commit_of(start_ref(worker)) if needs else ""
        for head, loser in losers.items():
            if start and loser.task_id in needs and repository.contains(start, head):
                why = f"depends on {loser.id}, which is no longer the chosen candidate"
                self._merge.record.exclude(worker, why, LossCause.BUILDS_ON)
                return True
        return False

    def _complete_parts(self, workers: Sequence[Worker]) -> Sequence[MergePart]:
        tasks = self._merge.tasks
        depends_on = {name: frozenset(sources(tasks, tasks[name])) for name in tasks}
        parts = [MergePart(each, depends_on[each.task_id]) for each in workers]
        whole, incomplete = split_by_dependencies(parts, list(tasks.values()))
        for part, task_id in incomplete:
            self.exclude_dependent(part.worker, task_id)
        return whole

    def _is_built_on_others(self, worker: Worker) -> bool:
        return bool(self._merge.repository.commit_of(adopted_result_ref(worker)))
