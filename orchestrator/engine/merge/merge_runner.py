"""Starts and ends the merges of jobs."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from orchestrator.core.errors import Conflict, RepositoryError
from orchestrator.core.gates.gate import Gates
from orchestrator.core.model.job import Job
from orchestrator.core.outcome.merge_outcome import MergeOutcome
from orchestrator.core.outcome.merge_report import MergeReport
from orchestrator.core.ports import Tree, Workspace
from orchestrator.core.repository.repository import MergeChoice, Repository
from orchestrator.engine.merge.merge_steps import JobMerge
from orchestrator.engine.merge.outcome_facts import removed_promises
from orchestrator.engine.merge.record.merge_record import MergeRecord, MergeRecords
from orchestrator.engine.merge.record.merge_report_text import merge_report_of
from orchestrator.engine.merge.running_merge import Halted, RunningMerge
from orchestrator.engine.worktrees.changes_without_worktree import ChangesWithoutWorktree
from orchestrator.engine.worktrees.worker_worktrees import Worktrees


class MergeRunner:
    """Starts and ends the merges of jobs whose workers have ended.

    Runs in background threads. A job ends only after its changes were merged. After a crash, the
    merge starts again from its first step.
    """

    def __init__(
        self,
        repository: Repository,
        worktrees: Worktrees,
        gates: Gates,
        workspace: Workspace,
        records: MergeRecords,
        without_worktree: ChangesWithoutWorktree,
    ) -> None:
        self._repository = repository
        self._worktrees = worktrees
        self._gates = gates
        self._workspace = workspace
        self._records = records
        self._without_worktree = without_worktree

    def merge_job(self, tree: Tree, job_id: str, halted: Halted = lambda: False) -> MergeOutcome:
        """Merge the changes of a job, remove the job's worktrees, and return the merge's outcome.

        For a root job, also search for changes in the user's checkout. For a job that does not use
        git, only search for promised files that were removed. If git fails in a step, the error is
        stored in the merge record. Raise OSError if a file operation fails, for example on a full
        disk. Idempotent. ``halted``: returns True if the merge is no longer needed.
        """
        merge = self._begin(tree, _job(tree, job_id), halted)
        if not merge.record.base:
            return MergeOutcome(removed=removed_promises(merge))
        self._records.remove(merge.job)
        outcome = JobMerge(merge).run()
        self._end(merge)
        return outcome

    def merge_again(
        self, tree: Tree, job_id: str, choice: MergeChoice, halted: Halted
    ) -> MergeOutcome:
        """Merge the branches of an ended job again. Set a ref that protects the earlier result.

        ``choice``: the person's choices for this merge. Without a strategy in ``choice``, use the
        strategy of the latest merge if that merge was a repeated merge, otherwise the job's
        strategy. ``halted``: returns True if the merge is no longer needed.

        Raise RepositoryError if git fails, or Conflict if the merge is not possible. After a
        Conflict, nothing is changed.
        """
        job = _job(tree, job_id)
        earlier = self._records.read(job)
        if earlier and earlier.again and not choice.strategy:
            choice = replace(choice, strategy=earlier.strategy)
        merge = self._begin(tree, _with_choice(tree, job, choice), halted)
        if not merge.record.base:
            raise Conflict(f"cannot merge job {job_id}: it did not use git worktrees")
        merge.record.again = True
        outcome = JobMerge(merge).run_again(choice, earlier)
        self._end(merge)
        return outcome

    def _begin(self, tree: Tree, job: Job, halted: Halted) -> RunningMerge:
        return RunningMerge(
            tree=tree,
            job=job,
            record=MergeRecord(
                job_id=job.id,
                strategy=job.config.merge_strategy,
                base=_base_commit(tree, job),
                history=job.config.history,
            ),
            halted=halted,
            repository=self._repository,
            worktrees=self._worktrees,
            without_worktree=self._without_worktree,
            gates=self._gates,
            workspace=self._workspace,
        )

    def _end(self, merge: RunningMerge) -> None:
        merge.record.seconds = round(time.monotonic() - merge.began, 3)
        self._records.save(merge.job, merge.record)

    def reports(self, tree: Tree, job_id: str) -> Mapping[str, MergeReport]:
        """Return the merge reports of a job, by job id.

        For a root job, the reports of all its descendants are included. For a child job, the result
        has only the report of the child job itself.

        First merge the changes of ``job_id``, if they have not been merged.
        """
        job = _job(tree, job_id)
        if _base_commit(tree, job) and self._records.read(job) is None:
            self.merge_job(tree, job_id)
        jobs = tree.jobs if job.is_root else [job]
        return {each.id: self._report(tree, each) for each in jobs}

    def _report(self, tree: Tree, job: Job) -> MergeReport:
        notes = (job.config.git_note,) if job.config.git_note else ()
        record = self._records.read(job) if _base_commit(tree, job) else None
        if record is None or job.facts.discarded:
            return MergeReport(notes=notes)
        report = merge_report_of(record, list(_jobs_above(tree, job)))
        lines = {self._path_in_repository(path): counts for path, counts in report.lines.items()}
        return replace(report, lines=lines, notes=(*notes, *report.notes))

    def _path_in_repository(self, path: str) -> str:
        """Return ``path`` relative to the top of the repository; unchanged if git fails.

        ``path``: path relative to the project. Merge records have such paths, but
        ``files_created`` of workers has paths relative to the top of the repository.
        """
        try:
            return os.path.normpath(self._repository.project_path("") + f"/{path}").lstrip("/")
        except RepositoryError:
            return path


def _with_choice(tree: Tree, job: Job, choice: MergeChoice) -> Job:
    """Return the job, with the merge strategy and the child jobs that a person chose."""
    worker_ids = {each.id for each in tree.workers if each.job_id == job.id}
    included_jobs = {each for each in choice.include if each not in worker_ids}
    taken_jobs = tuple({*job.facts.taken_jobs, *included_jobs} - {*choice.exclude})
    strategy = choice.strategy or job.config.merge_strategy
    return replace(
        job,
        config=replace(job.config, merge_strategy=strategy),
        facts=replace(job.facts, taken_jobs=taken_jobs),
    )


def _job(tree: Tree, job_id: str) -> Job:
    return next(each for each in tree.jobs if each.id == job_id)


def _jobs_above(tree: Tree, job: Job) -> Iterator[str]:
    parents = {each.id: each.parent_job_id for each in tree.jobs}
    parent = job.parent_job_id
    while parent:
        yield parent
        parent = parents.get(parent)


def _base_commit(tree: Tree, job: Job) -> str:
    """Return the job's base commit. Without one, return the base commit of a descendant.

    Return "" if neither the job nor a descendant has a base commit.
    """
    if job.config.base:
        return job.config.base
    children = (each for each in tree.jobs if each.parent_job_id == job.id)
    return next((base for each in children if (base := _base_commit(tree, each))), "")
