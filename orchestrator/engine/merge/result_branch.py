"""Stores a merge's result on the result branch."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice

from orchestrator.core.model.job import Worker
from orchestrator.core.repository.git_refs import (
    child_refs,
    child_results,
    hidden,
    merged_refs,
    result_branch,
    short,
    start_ref,
    worker_branch,
    worker_commit_message,
)
from orchestrator.core.repository.repository import merger_of
from orchestrator.engine.merge.culprit_search import MergeStep, SearchResult
from orchestrator.engine.merge.running_merge import RunningMerge

LINEAR = "linear"
#: Maximum number of files of a result whose added and removed lines are stored.
MOST_MEASURED = 1_000


class ResultBranch:
    """The result branch of the job that is merged."""

    def __init__(self, merge: RunningMerge) -> None:
        self._merge = merge

    def store(self, search: SearchResult) -> None:
        """Point the branch to the merged state, and record the result.

        If no change was merged, or if the merge strategy is ``manual``, remove the branch instead.
        In a repeated merge, first set a ref that protects the earlier result.
        """
        record, job, repository = self._merge.record, self._merge.job, self._merge.repository
        commit = record.base if self._merge.is_manual else search.commit
        branch = result_branch(job.root_id, job.id)
        earlier = repository.commit_of(branch)
        if commit != record.base and job.config.history == LINEAR:
            commit = self._linear_commit(search.steps)
        if earlier and record.again:
            self._protect_earlier_result(earlier)
        if commit == record.base:
            repository.delete_ref(branch)
            return
        repository.set_ref(branch, commit)
        repository.set_ref(f"{hidden(job.root_id)}base/{job.id}", record.base)
        record.branch, record.commit = short(branch), commit
        self._measure()

    def _linear_commit(self, steps: Iterable[MergeStep]) -> str:
        """Create a linear history with the content of the last step, and return the last commit.

        The history has the workers' own commits, one after another, on top of the base commit.
        """
        repository = self._merge.repository
        tip = state = self._merge.record.base
        for step in steps:
            if step.commit != state:
                worker = step.part.worker
                commits = list(self._commits_of(worker, step.commit))
                message = worker_commit_message(f"Merge {worker.id}: {worker.task_id}", worker)
                merger = merger_of(self._merge.job)
                tip = repository.replay(tip, commits, step.commit, message, merger)
                state = step.commit
        return tip

    def _commits_of(self, worker: Worker, merged: str) -> Iterator[str]:
        """Yield the commits of a worker and of its child jobs.

        A child job's commits follow the worker's commit from which the child job started. They are
        included only if the commit ``merged`` contains the child job's result.
        """
        repository = self._merge.repository
        start = repository.commit_of(start_ref(worker))
        branch = repository.commit_of(worker_branch(worker)) if start else ""
        worker_commits = list(repository.first_parent_commits(start, branch)) if start else []
        commits_after: dict[str, list[str]] = {}
        refs = repository.commits_below(child_refs(worker.root_id, worker.id))
        for child in child_results(refs):
            if not repository.contains(merged, child.result):
                continue
            # The worker's commit at which the child job started; "" if there is no such commit.
            shared = [each for each in worker_commits if repository.contains(child.base, each)]
            place = shared[-1] if shared else ""
            state = [child.base] if start and child.base not in {place, start} else []
            child_commits = repository.first_parent_commits(child.base, child.result)
            commits_after.setdefault(place, []).extend([*state, *child_commits])
        yield from commits_after.get("", ())
        for commit in worker_commits:
            yield commit
            yield from commits_after.get(commit, ())

    def _protect_earlier_result(self, commit: str) -> None:
        refs = merged_refs(self._merge.job.root_id, self._merge.job.id)
        protected = self._merge.repository.commits_below(refs)
        existing = next((name for name, each in protected.items() if each == commit), "")
        self._merge.record.earlier = existing or f"{refs}{len(protected) + 1}"
        self._merge.repository.set_ref(self._merge.record.earlier, commit)

    def _measure(self) -> None:
        record, repository = self._merge.record, self._merge.repository
        lines = repository.changed_line_counts(record.base, record.commit)
        project = repository.project_path("") or "."
        first = islice(lines.items(), MOST_MEASURED)
        record.lines = {os.path.relpath(path, project): list(counts) for path, counts in first}
        record.size = {
            "files": len(lines),
            "added": sum(added for added, _ in lines.values()),
            "removed": sum(removed for _, removed in lines.values()),
        }
