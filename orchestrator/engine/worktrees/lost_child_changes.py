"""Finds changes of child jobs that are missing from the parent worker's branch."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from orchestrator.core.model.job import Job, Worker
from orchestrator.core.outcome.job.unmerged_changes import counting_child_jobs
from orchestrator.core.ports import Tree
from orchestrator.core.repository.git_refs import (
    ChildResult,
    child_merge_message,
    result_branch,
    short,
    start_ref,
    worker_branch,
)
from orchestrator.core.repository.repository import (
    Merge,
    Repository,
    Strategy,
    Undone,
    merger_of,
)
from orchestrator.engine.worktrees.worker_worktrees import Worktrees


class LostChildChanges:
    def __init__(self, repository: Repository, worktrees: Worktrees) -> None:
        self._repository = repository
        self._worktrees = worktrees

    def of(self, tree: Tree, worker: Worker, excluded: Collection[str]) -> Iterator[dict[str, Any]]:
        """Yield a record for each child job with changes that the parent worker's branch lacks.

        ``worker``: the parent worker. ``excluded``: ids of child jobs that a person chose to
        exclude. Raise RepositoryError if git fails.
        """
        if not worker.child_job_ids:
            return
        results, tip = (
            self._results_by_job(worker),
            self._repository.commit_of(worker_branch(worker)),
        )
        if not results or not tip:
            return
        by_id = {each.id: each for each in tree.jobs}
        children = [by_id[each] for each in worker.child_job_ids if each in by_id]
        for child in counting_child_jobs(worker, children):
            if child.id not in results:
                continue
            lost = self._lost_changes(worker, child.id, results, tip)
            if lost.places:
                discarded = lost.whole and not self._has_merged(worker, results[child.id].result)
                is_excluded = child.id in excluded
                yield self._loss_record(
                    tree, worker, child, lost, discarded=discarded, is_excluded=is_excluded
                )

    def discarded(self, worker: Worker, child_ids: Collection[str], tip: str) -> Iterator[str]:
        """Yield the ids of child jobs whose results a worker has discarded completely.

        A result is discarded if it was added to the worker's files, and a later state of these
        files (``tip``) has none of the result's changes. Raise RepositoryError if git fails.
        """
        results = self._results_by_job(worker)
        for child_id in results.keys() & {*child_ids}:
            child = results[child_id]
            if not child.is_brought or self._repository.contains(tip, child.result):
                continue
            if self._lost_changes(worker, child_id, results, tip).whole:
                yield child_id

    def _lost_changes(
        self, worker: Worker, child_id: str, results: Mapping[str, ChildResult], tip: str
    ) -> Undone:
        base, result = results[child_id].base, results[child_id].result
        other_ranges = [f"{each.base}..{each.result}" for each in results.values()]
        other_ranges.remove(f"{base}..{result}")
        # Two earlier states: when the worker started the child job, and when the worker started.
        earlier_states = (
            self._repository.commit_of(each) for each in (f"{base}^", start_ref(worker))
        )
        return self._repository.undone_changes(
            base, result, tip, [*filter(None, earlier_states)], other_ranges
        )

    def merge_again(self, job: Job, worker: Worker, child_id: str, tip: str) -> Merge | None:
        """Merge a child job's changes into the commit ``tip`` again. Do not move any branch.

        Return None if the worker has no result of this child job, or if ``tip`` is empty. Raise
        RepositoryError if git fails.
        """
        child = self._results_by_job(worker).get(child_id)
        if child is None or not tip:
            return None
        message = child_merge_message(worker.id, job.id)
        force = job.config.merge_strategy == Strategy.THEIRS
        return self._repository.reapply(
            child.base, child.result, tip, message, merger_of(job), force=force
        )

    def has_result(self, worker: Worker, child_id: str) -> bool:
        return child_id in self._results_by_job(worker)

    def _results_by_job(self, worker: Worker) -> dict[str, ChildResult]:
        return {each.job_id: each for each in self._worktrees.branches.children(worker)}

    def _has_merged(self, worker: Worker, result: str) -> bool:
        """True if the worker itself has committed a merge of the child job's result.

        The worker's merge shows which changes the worker wants to keep. For example, ``git merge -s
        ours`` keeps none.
        """
        commit = worker.delivery.commit if worker.delivery else ""
        return bool(commit) and self._repository.contains(commit, result)

    def _loss_record(
        self,
        tree: Tree,
        worker: Worker,
        child: Job,
        lost: Undone,
        *,
        discarded: bool,
        is_excluded: bool,
    ) -> dict[str, Any]:
        places = [
            {"path": each.path, "first": each.first, "last": each.last} for each in lost.places
        ]
        return {
            "worker_id": worker.id,
            "child_job_id": child.id,
            "branch": short(result_branch(worker.root_id, child.id)),
            "discarded": discarded,
            "left": is_excluded,
            "places": places,
            "by_worker": {} if discarded else self._places_by_worker(tree, child, places),
        }

    def _places_by_worker(
        self, tree: Tree, child: Job, places: list[dict[str, Any]]
    ) -> dict[str, list[dict[str, Any]]]:
        workers = [
            each for each in tree.workers if each.job_id == child.id and each.belongs_to_result
        ]
        touched = {each.id: self._worktrees.branches.touched(each) for each in workers}
        places_by_worker: dict[str, list[dict[str, Any]]] = {}
        for place in places:
            worker_ids = [
                worker_id for worker_id, paths in touched.items() if place["path"] in paths
            ]
            places_by_worker.setdefault(worker_ids[-1] if worker_ids else "", []).append(place)
        return places_by_worker
