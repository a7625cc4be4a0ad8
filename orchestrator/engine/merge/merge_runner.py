"""Runs the merge of a job, which begins after all workers of the job have ended.

Also sets a ref for each candidate that was not chosen, so that git keeps the candidate's work.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from orchestrator.core import failpoints
from orchestrator.core.candidates.selection import chosen
from orchestrator.core.errors import Conflict, RepositoryError
from orchestrator.core.gates.gate import GateFiles
from orchestrator.core.model.attempt.delivered_work import held_by
from orchestrator.core.model.dag import in_order
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import CheckoutChange, LossCause
from orchestrator.core.model.repository_changes import MOST_STORED, SHARED
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.job.unmerged_changes import has_worktree
from orchestrator.core.outcome.merge_outcome import MergeOutcome
from orchestrator.core.outcome.shortage_errors import is_full_disk
from orchestrator.core.ports import Tree
from orchestrator.core.repository.git_refs import (
    candidate_refs,
    child_refs,
    short,
    start_ref,
    worker_branch,
)
from orchestrator.core.repository.merge_report import MergeReport
from orchestrator.core.repository.repository import FileConflict, MergeChoice, Repository, Strategy
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.merge.job_merge import JobMerge
from orchestrator.engine.merge.merge_gates import Halted, MergeGates
from orchestrator.engine.merge.merge_messages import merge_report_of
from orchestrator.engine.merge.merge_record import (
    MergeRecord,
    MergeRecords,
    conflict_record,
    missing_from,
    overruled_above,
)
from orchestrator.engine.worktrees.changes_without_worktree import ChangesWithoutWorktree
from orchestrator.engine.worktrees.lost_child_changes import LostChildChanges
from orchestrator.engine.worktrees.user_checkout_changes import at_work
from orchestrator.engine.worktrees.working_directories import Worktrees


class ChildResultMerge:
    def __init__(self, repository: Repository, worktrees: Worktrees) -> None:
        self._repository = repository
        self._worktrees = worktrees

    def fold(self, record: MergeRecord, tree: Tree, job: Job) -> None:
        """Make a child job's result available to its parent worker. Idempotent.

        The next merge of the parent worker's job includes the result. If the parent worker waits
        for the child job, also add the result to the parent worker's files.

        Do nothing if ``job`` is a root job or has no result.
        """
        if job.parent_worker_id is None or not record.commit:
            return
        parent = next(each for each in tree.workers if each.id == job.parent_worker_id)
        refs = f"{child_refs(job.root_id, parent.id)}{job.id}/"
        self._repository.set_ref(f"{refs}base", record.base)
        self._repository.set_ref(f"{refs}result", record.commit)
        if parent.status is WorkerStatus.WAITING:
            self._bring_to_parent(record, job, parent, refs)

    def _bring_to_parent(self, record: MergeRecord, job: Job, parent: Worker, refs: str) -> None:
        change = record.base, record.commit, f"refs/heads/{record.branch}"
        brought = self._worktrees.bring_result(job, parent, *change)
        if brought is None:
            record.without_worktree = parent.id
            return
        taken = bool(brought.merge.commit)
        record.conflicts += [
            conflict_record(parent, _with_loser(parent, each), taken)
            for each in brought.merge.conflicts
        ]
        if brought.merge.conflicts:
            # This commit is the only copy of the worker's uncommitted files, so protect it by a
            # ref.
            self._repository.set_ref(f"{refs}ours", brought.ours)
        if taken:
            # Record that the worker has received the result. If changes of the result are later
            # missing, the worker counts as having undone them.
            self._repository.set_ref(f"{refs}brought", record.commit)
        else:
            record.handed = {
                "worker_id": parent.id,
                "branch": short(worker_branch(parent)),
                "ours": brought.ours,
                "theirs": record.branch,
                "paths": [each.path for each in brought.merge.conflicts],
            }


def _with_loser(parent: Worker, conflict: FileConflict) -> FileConflict:
    lost = tuple(replace(each, workers=(parent.id,)) for each in conflict.lost)
    return replace(conflict, lost=lost)


def protect_other_candidates(repository: Repository, tree: Tree, job: Job) -> None:
    """Set one ref for each candidate that was not chosen, so that git keeps the candidate's work.

    Remove the chosen candidate's ref. Idempotent. Raise RepositoryError.
    """
    for worker in (each for each in tree.workers if each.job_id == job.id):
        name = f"{candidate_refs(job.root_id)}{worker.id}"
        if worker.chosen is False and (tip := repository.commit_of(worker_branch(worker))):
            repository.set_ref(name, tip)
        elif worker.chosen and repository.commit_of(name):
            # The candidate got this ref when another candidate was chosen.
            repository.delete_ref(name)


T = TypeVar("T")
_WITHOUT_SPACE = (
    "the worktree of {worker} was not removed, because there is no disk space to commit its files "
    "({at}); free disk space; the command that then commits the files and removes the job: "
    "{command} clean --older-than 1d; or discard the job's work: {command} discard {job}"
)

logger = logging.getLogger(__name__)


class MergeRunner:
    """Merges the changes of jobs whose workers have ended.

    Runs in background threads. A job ends only after its changes were merged.
    """

    def __init__(
        self,
        repository: Repository,
        worktrees: Worktrees,
        gates: MergeGates,
        records: MergeRecords,
        without_worktree: ChangesWithoutWorktree,
    ) -> None:
        self._without_worktree = without_worktree
        self._repository = repository
        self._worktrees = worktrees
        self._gates = gates
        self._records = records
        self._children = LostChildChanges(repository, worktrees)
        self._folding = ChildResultMerge(repository, worktrees)

    def reports(self, tree: Tree, job_id: str) -> Mapping[str, MergeReport]:
        """Return the merge reports of a root job and all its descendants, or of one child job.

        The keys are job ids. First merge the changes of ``job_id``, if they have not been merged.
        """
        job = _job(tree, job_id)
        if _base_commit(tree, job) and self._records.read(job) is None:
            self.merge_job(tree, job_id)
        jobs = tree.jobs if job.is_root else [job]
        return {each.id: self._merge_report(tree, each) for each in jobs}

    def _merge_report(self, tree: Tree, job: Job) -> MergeReport:
        note = (job.config.git_note,) if job.config.git_note else ()
        record = self._records.read(job) if _base_commit(tree, job) else None
        if record is None or job.facts.discarded:
            return MergeReport(notes=note)
        found = merge_report_of(record, list(_jobs_above(tree, job)))
        return replace(found, notes=(*note, *found.notes))

    def merge_job(self, tree: Tree, job_id: str, halted: Halted = lambda: False) -> MergeOutcome:
        """Merge the changes of a job, remove the job's worktrees, and return the merge's outcome.

        For a root job, also search for changes in the user's checkout. For a job that does not use
        git, only search for promised files that were removed. An error of a step is stored in the
        merge record. Idempotent. ``halted``: returns True if the merge is no longer needed.
        """
        job = _job(tree, job_id)
        base = _base_commit(tree, job)
        if not base:
            return MergeOutcome(removed=self._removed_promises(tree, job))
        self._records.forget(job)
        began, record = time.monotonic(), _new_record(job, base)
        checkout = self._worktrees.checkout
        self._guarded(record, lambda: checkout.restore_git_files(job.root_id))
        workers = [each for each in tree.workers if each.job_id == job_id]
        self._guarded(record, lambda: self._remove_worktrees(record, job, workers))
        merged = self._merge_and_fold(record, tree, job, halted)
        self._guarded(record, lambda: protect_other_candidates(self._repository, tree, job))
        if job.is_root:
            look = partial(self._with_checkout_changes, record, tree, job)
            merged = self._guarded(record, partial(look, merged)) or merged
        removed = self._guarded(
            record, lambda: self._removed_promises(tree, job, merged.files, record)
        )
        self._keep_record(job, record, began)
        return replace(merged, removed=removed or {})

    def _removed_promises(
        self, tree: Tree, job: Job, files: Sequence[str] = (), record: MergeRecord | None = None
    ) -> Mapping[str, tuple[str, ...]]:
        """Return the promised files that workers created, but that the job's result lacks.

        Keys: worker ids; values: the worker's files. ``files``: the files that the result changes.
        ``record``: the record of the merge; None for a job without git.
        """
        tasks = {each.id: each for each in tree.tasks[job.id]}
        own = [each for each in tree.workers if each.job_id == job.id and each.belongs_to_result]
        own = [each for each in own if not each.is_adviser]
        without = [each for each in own if not has_worktree(each)]
        found = {
            each.id: self._without_worktree.removed(each, tasks[each.task_id], without)
            for each in without
        }
        if record and record.commit:
            merged, result = {*record.merged}, self._repository.gate_files(record.commit)
            for each in (each for each in own if each.id in merged and has_worktree(each)):
                promised = [path for path in tasks[each.task_id].writes if not held_by(path, files)]
                found[each.id] = self._removed_by_others(each, promised, result)
        lost = {name: [each for each in found[name] if not held_by(each, files)] for name in found}
        return {name: tuple(paths) for name, paths in lost.items() if paths}

    def _removed_by_others(
        self, worker: Worker, promised: Sequence[str], result: GateFiles
    ) -> tuple[str, ...]:
        """Return the promised files that a worker's branch has, but that the result lacks."""
        absent = [each for each in promised if not held_by(each, result.paths())]
        made = self._repository.gate_files(worker_branch(worker)).paths() if absent else ()
        return tuple(each for each in absent if held_by(each, made))

    def _with_checkout_changes(
        self, record: MergeRecord, tree: Tree, job: Job, merged: MergeOutcome
    ) -> MergeOutcome:
        checkout = self._worktrees.checkout
        record.put_back.extend(checkout.restore_git_files(job.id))
        found, state = checkout.changes(job.id)
        tasks = (task for each in tree.tasks.values() for task in each)
        is_in_project = any(task.works_in_project for task in tasks)
        if is_in_project:
            # Tasks with ``workdir: project`` may change files and branches of the user. Such
            # changes are reported elsewhere, as changes of these tasks.
            found = [each for each in found if each.kind in SHARED or each.worker_id]
        record.leaks.extend(map(str, found))
        own = [each for each in found if each.is_of_job] if checkout.is_known(job.id) else []
        files = () if is_in_project else tuple(self._changed_files(tree, job, state))
        return replace(merged, repository_changes=tuple(own[:MOST_STORED]), checkout=files)

    def _changed_files(
        self, tree: Tree, job: Job, state: Mapping[str, str] | None
    ) -> Iterator[CheckoutChange]:
        """Yield files of the checkout that changed during an attempt, and that no worker reported.

        Each item names the workers that ran when the file changed. ``state``: the checkout's
        present state; None if unknown.
        """
        deliveries = (each.delivery for each in tree.workers)
        known = {path for each in deliveries if each for path in each.outside}
        for path, at in self._worktrees.checkout.changed_files(job.id, 0.0, state).items():
            workers = at_work(tree.attempts, at)
            if workers and not any(each.endswith(f"/{path}") for each in known):
                yield CheckoutChange(path=path, workers=tuple(workers))

    def _keep_record(self, job: Job, record: MergeRecord, began: float) -> None:
        record.seconds = round(time.monotonic() - began, 3)
        self._records.keep(job, record)

    def merge_again(
        self, tree: Tree, job_id: str, choice: MergeChoice, halted: Halted
    ) -> MergeOutcome:
        """Merge the branches of an ended job again. Set a ref that protects the earlier result.

        ``choice``: the person's choices for this merge. ``halted``: returns True if the merge is no
        longer needed.

        Raise RepositoryError, or Conflict if the merge is not possible. After a Conflict, nothing
        is changed.
        """
        began, job = time.monotonic(), _job(tree, job_id)
        job = replace(
            job,
            config=replace(job.config, merge_strategy=choice.strategy or job.config.merge_strategy),
        )
        record = replace(_new_record(job, _base_commit(tree, job)), again=True)
        if not record.base:
            raise Conflict(f"cannot merge job {job_id}: it did not use git worktrees")
        choice, jobs = _workers_and_jobs(tree, job, choice)
        taken_jobs = tuple({*job.facts.taken_jobs, *jobs.take} - {*jobs.leave})
        job = replace(job, facts=replace(job.facts, taken_jobs=taken_jobs))
        taken = {*job.facts.taken, *choice.take} - {*choice.leave}
        workers = list(_workers_to_merge(tree, job, taken))
        self._check_included_workers(job, choice, workers)
        self._check_included_jobs(jobs, workers)
        wanted = [each for each in workers if each.id not in choice.leave]
        for worker in wanted:
            self._check_branch(worker)
        counting = {each.id for each in _workers_to_merge(tree, job)}
        before = self._records.read(job)
        by_hand = _job(tree, job_id).config.merge_strategy == Strategy.MANUAL
        for worker in (each for each in workers if each not in wanted):
            _exclude_by_choice(record, before, worker, by_hand=by_hand)
        if before:
            record.leaks, record.put_back = before.leaks, before.put_back
        merged = self._merge(record, tree, job, halted).run(wanted, jobs.leave)
        if merged.error:
            raise Conflict(merged.error)
        by_person = tuple(each.id for each in wanted if each.id not in counting)
        removed = self._removed_promises(tree, job, merged.files, record)
        merged = replace(merged, taken=by_person, taken_jobs=taken_jobs, removed=removed)
        self._guarded(record, lambda: protect_other_candidates(self._repository, tree, job))
        self._guarded(record, lambda: self._folding.fold(record, tree, job))
        self._keep_record(job, record, began)
        return _with_conflicts_above(merged, record, job)

    def _check_branch(self, worker: Worker) -> None:
        started, branch = self._repository.commit_of(start_ref(worker)), worker_branch(worker)
        if started and not self._repository.commit_of(branch):
            raise Conflict(
                f"cannot merge {worker.id}: branch {short(branch)} no longer exists; restore the "
                f"branch, or merge without the worker: --exclude {worker.id}"
            )

    def _check_included_workers(
        self, job: Job, choice: MergeChoice, workers: Sequence[Worker]
    ) -> None:
        present = {each.id: each for each in workers}
        for name in choice.take:
            worker = present.get(name)
            tips = self._worktrees.tips_of(job, name) if worker else []
            if worker is None or tips in ([], [self._repository.commit_of(start_ref(worker))]):
                raise Conflict(
                    f"cannot merge {name}: no branch has changes of this worker; "
                    f"nothing was merged; list the workers: {COMMAND} status {job.id}"
                )

    def _check_included_jobs(self, jobs: MergeChoice, workers: Sequence[Worker]) -> None:
        for child in jobs.take:
            if not any(self._children.has_result(each, child) for each in workers):
                raise Conflict(
                    f"cannot merge child job {child}: it has no result branch; nothing was "
                    "changed; check it: "
                    f"{COMMAND} status {child}"
                )

    def _merge_and_fold(
        self, record: MergeRecord, tree: Tree, job: Job, halted: Halted
    ) -> MergeOutcome:
        try:
            self._worktrees.checkout.check_ways_to_merge(job.root_id)
            workers = list(_workers_to_merge(tree, job, job.facts.taken))
            merged = self._merge(record, tree, job, halted).run(workers)
            self._folding.fold(record, tree, job)
        except RepositoryError as error:
            _record_error(record, error)
            return MergeOutcome(error=error.message)
        failpoints.reached("merge: stored")
        return _with_conflicts_above(merged, record, job)

    def _merge(self, record: MergeRecord, tree: Tree, job: Job, halted: Halted) -> JobMerge:
        return JobMerge(self._repository, self._worktrees, self._gates, record, tree, job, halted)

    def _guarded(self, record: MergeRecord, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except RepositoryError as error:
            _record_error(record, error)
            return None

    def _remove_worktrees(self, record: MergeRecord, job: Job, workers: Sequence[Worker]) -> None:
        self._gates.clear(job)
        for worker in workers:
            try:
                self._guarded(record, partial(self._worktrees.remove, worker))
            except OSError as error:
                # Do not wait for disk space, because the job was stopped. The work stays in the
                # worktree.
                if job.stop_cause is None or not is_full_disk(error):
                    raise
                where = self._worktrees.directory(worker)
                _record_error(
                    record,
                    RepositoryError(
                        _WITHOUT_SPACE.format(
                            worker=worker.id, at=where, command=COMMAND, job=worker.root_id
                        )
                    ),
                )
        if job.is_root:
            self._guarded(record, partial(self._worktrees.drop_spares, job.id))


def _workers_and_jobs(tree: Tree, job: Job, choice: MergeChoice) -> tuple[MergeChoice, MergeChoice]:
    workers = {each.id for each in tree.workers if each.job_id == job.id}

    def of(is_worker: bool) -> MergeChoice:
        take = tuple(each for each in choice.take if (each in workers) is is_worker)
        leave = tuple(each for each in choice.leave if (each in workers) is is_worker)
        return replace(choice, take=take, leave=leave)

    return of(True), of(False)


def _exclude_by_choice(
    record: MergeRecord, before: MergeRecord | None, worker: Worker, *, by_hand: bool
) -> None:
    """Exclude a worker from the result, because a person requested this.

    If gates or a conflict excluded the worker in the earlier merge, keep this cause, which applies
    again if the person withdraws the request. ``before``: the record of the earlier merge.
    ``by_hand``: True if the job has the merge strategy ``manual``.
    """
    missing = missing_from(before) if before else ()
    earlier = next((each for each in missing if each.worker_id == worker.id), None)
    cause = LossCause.MANUAL if by_hand else LossCause.CHOSEN
    if earlier and earlier.cause in (LossCause.CONFLICT, LossCause.REFUSED):
        cause = earlier.cause
    record.exclude(worker, "excluded by you", cause)
    record.chosen.append(worker.id)
    if earlier and earlier.resolvable and cause is LossCause.CONFLICT:
        record.resolvable.append(worker.id)


def _with_conflicts_above(merged: MergeOutcome, record: MergeRecord, job: Job) -> MergeOutcome:
    handed = tuple(record.handed["paths"]) if record.handed else ()
    overruled = (*merged.overruled, *overruled_above(record, job))
    return replace(merged, not_in_parent=handed, overruled=overruled)


def _record_error(record: MergeRecord, error: RepositoryError) -> None:
    logger.warning("a step of a merge failed: %s", error, extra={"job_id": record.job_id})
    record.errors.append(error.message)


def _new_record(job: Job, base: str) -> MergeRecord:
    strategy, history = job.config.merge_strategy, job.config.history
    return MergeRecord(job_id=job.id, strategy=strategy, base=base, history=history)


def _job(tree: Tree, job_id: str) -> Job:
    return next(each for each in tree.jobs if each.id == job_id)


def _jobs_above(tree: Tree, job: Job) -> Iterator[str]:
    parents = {each.id: each.parent_job_id for each in tree.jobs}
    above = job.parent_job_id
    while above:
        yield above
        above = parents.get(above)


def _base_commit(tree: Tree, job: Job) -> str:
    """Return the job's base commit. If there is none, return the base commit of a descendant.

    Return "" if neither the job nor a descendant has a base commit.
    """
    if job.config.base:
        return job.config.base
    below = (each for each in tree.jobs if each.parent_job_id == job.id)
    return next((base for each in below if (base := _base_commit(tree, each))), "")


def _workers_to_merge(tree: Tree, job: Job, taken: Collection[str] = ()) -> Iterator[Worker]:
    """Yield the workers to merge, task by task, in the order of the tasks' dependencies.

    For each task, yield the chosen worker, then the other workers that a person selected.
    ``taken``: ids of the workers that a person selected.
    """
    workers = [each for each in tree.workers if each.job_id == job.id and not each.is_adviser]
    for task in in_order(tree.tasks[job.id]):
        own = [each for each in workers if each.task_id == task.id]
        found = chosen(own)
        if found is not None:
            yield found
        yield from (each for each in own if each.id in taken and each is not found)
