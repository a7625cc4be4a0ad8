"""The steps of a job's merge, in the order in which they happen.

1. Remove the worktrees of the job's workers.
2. Select the changes to merge (``merge_selection``) and their order (``merge_order``).
3. Merge each worker's changes (``branch_merge``), run the gates on the merged state
   (``merge_gates``), and drop the changes with which the gates fail (``culprit_search``).
4. Store the merged state on the result branch (``result_branch``).
5. Record what the result has and lacks (``merge_record``, ``outcome_facts``), and select the
   workers that get another attempt (``resolver_selection``).
6. For a child job, pass the result to the parent worker (``child_result``).
7. Protect the work of candidates that were not chosen. For a root job, search for changes in the
   user's checkout.

``merge_runner`` starts and ends the merge.
"""

import copy
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import TypeVar

from orchestrator.core import failpoints
from orchestrator.core.errors import Conflict, RepositoryError
from orchestrator.core.model.job import Worker
from orchestrator.core.model.job_facts import CheckoutChange, LossCause
from orchestrator.core.model.user_repository_changes import MOST_STORED, SHARED
from orchestrator.core.outcome.merge_outcome import MergeOutcome, MergeRejection
from orchestrator.core.outcome.shortage_errors import is_full_disk
from orchestrator.core.repository.git_refs import (
    branch_of,
    candidate_refs,
    merging_ref,
    sent_ref,
    short,
    worker_branch,
)
from orchestrator.core.repository.repository import MergeChoice
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.merge.branch_merge import BranchMerge
from orchestrator.engine.merge.child_result import pass_to_parent
from orchestrator.engine.merge.culprit_search import CulpritSearch, SearchResult
from orchestrator.engine.merge.merge_gates import Abandoned, GateUnfit, MergeGates
from orchestrator.engine.merge.merge_order import MergePart
from orchestrator.engine.merge.merge_selection import MergeSelection
from orchestrator.engine.merge.outcome_facts import LostLines, ResultFacts, removed_promises
from orchestrator.engine.merge.record.merge_record import MOST_PATHS, MergeRecord
from orchestrator.engine.merge.record.merge_report_text import failures_in_words
from orchestrator.engine.merge.resolver_selection import ResolverSelection
from orchestrator.engine.merge.result_branch import ResultBranch
from orchestrator.engine.merge.running_merge import RunningMerge
from orchestrator.engine.worktrees import conflict_resolution
from orchestrator.engine.worktrees.user_checkout_changes import worker_ids_at

logger = logging.getLogger(__name__)

T = TypeVar("T")
#: Reason of a merge rejection if the gates fail only because of changes of other workers.
NOT_TOGETHER = "gates fail after the merge with the changes of other workers"
#: Seconds before each retry of a merge. A retry helps after two temporary errors: another git
#: process holds a lock, or a user's ``git gc --prune=now`` has removed commits that had no ref.
PAUSES = (0.1, 0.3, 1.0, 3.0)
_WITHOUT_SPACE = (
    "the worktree of {worker} was not removed, because there is no disk space to commit its files "
    "({at}); free disk space first; then, to commit the files and remove the job: {command} clean "
    "--older-than 1d; or, to discard the job's work: {command} discard {job}"
)


class JobMerge:
    """Merges the changes of one job. Each step can be repeated after a crash."""

    def __init__(self, merge: RunningMerge) -> None:
        self._merge = merge
        self._resolvers = ResolverSelection(merge)
        self._selection = MergeSelection(merge, self._resolvers)
        self._result_branch = ResultBranch(merge)

    def run(self) -> MergeOutcome:
        """Merge a job whose workers have ended, and remove the job's worktrees. Idempotent.

        For a root job, also search for changes in the user's checkout. If git fails in a step, the
        error is stored in the merge record. Raise OSError if a file operation fails.
        """
        merge, checkout = self._merge, self._merge.worktrees.checkout
        self._guarded(lambda: checkout.restore_git_files(merge.job.root_id))
        self._guarded(self._remove_worktrees)
        outcome = self._merge_and_pass_to_parent()
        self._guarded(self._protect_other_candidates)
        if merge.job.is_root:
            outcome = self._guarded(partial(self._with_checkout_changes, outcome)) or outcome
        removed = self._guarded(lambda: removed_promises(merge, outcome.files))
        return replace(outcome, removed=removed or {})

    def run_again(self, choice: MergeChoice, earlier: MergeRecord | None) -> MergeOutcome:
        """Merge the branches of an ended job again, with a person's choices.

        ``earlier``: the record of the earlier merge; None if there is no record. Raise
        RepositoryError if git fails, or Conflict if the merge is not possible. After a Conflict,
        nothing is changed.
        """
        merge, record = self._merge, self._merge.record
        workers = self._selection.workers_by_choice(choice, earlier)
        if earlier:
            record.leaks, record.put_back = earlier.leaks, earlier.put_back
        outcome = self._merge_workers(workers, choice.exclude)
        if outcome.error:
            raise Conflict(outcome.error)
        by_default = {each.id for each in self._selection.workers()}
        outcome = replace(
            outcome,
            taken=tuple(each.id for each in workers if each.id not in by_default),
            taken_jobs=merge.job.facts.taken_jobs,
            removed=removed_promises(merge, outcome.files),
        )
        self._guarded(self._protect_other_candidates)
        self._guarded(partial(pass_to_parent, merge))
        return self._with_parent_conflicts(outcome)

    def _guarded(self, step: Callable[[], T]) -> T | None:
        """Run a step. If git fails, record the error, and return None."""
        try:
            return step()
        except RepositoryError as error:
            self._record_error(error)
            return None

    def _record_error(self, error: RepositoryError) -> None:
        record = self._merge.record
        logger.warning("a step of a merge failed: %s", error, extra={"job_id": record.job_id})
        record.errors.append(error.message)

    def _remove_worktrees(self) -> None:
        """Remove the worktrees of the job's workers, and the gates' worktree of a crashed merge.

        For a root job, also remove the job tree's spare worktrees.
        """
        merge, worktrees = self._merge, self._merge.worktrees
        merge.repository.remove_detached_worktree(merge.gate_worktree)
        for worker in merge.workers:
            try:
                self._guarded(partial(worktrees.remove, worker))
            except OSError as error:
                # Do not wait for disk space, because the job was stopped. The work stays in the
                # worktree.
                if merge.job.stop_cause is None or not is_full_disk(error):
                    raise
                directory = worktrees.directory(worker)
                message = _WITHOUT_SPACE.format(
                    worker=worker.id, at=directory, command=COMMAND, job=worker.root_id
                )
                self._record_error(RepositoryError(message))
        if merge.job.is_root:
            self._guarded(partial(worktrees.drop_spares, merge.job.id))

    def _merge_and_pass_to_parent(self) -> MergeOutcome:
        job, checkout = self._merge.job, self._merge.worktrees.checkout
        try:
            checkout.check_ways_to_merge(job.root_id)
            outcome = self._merge_workers(self._selection.workers(job.facts.taken))
            self._with_retries(self._with_new_record(partial(pass_to_parent, self._merge)))
        except RepositoryError as error:
            self._record_error(error)
            return MergeOutcome(error=error.message)
        failpoints.reached("merge: stored")
        return self._with_parent_conflicts(outcome)

    def _merge_workers(
        self, workers: Sequence[Worker], excluded_jobs: Collection[str] = ()
    ) -> MergeOutcome:
        """Merge the changes of ``workers`` one after another, and return the outcome.

        Store the merged state on the job's result branch; without a merged change, remove this
        branch.

        ``excluded_jobs``: ids of child jobs that a person chose to exclude. Raise RepositoryError
        if git fails.
        """
        merge, record = self._merge, self._merge.record
        parts = self._selection.parts(workers)
        try:
            gates = MergeGates(merge, parts)
            search = self._with_retries(partial(self._merge_and_store, parts, gates))
        except (GateUnfit, Abandoned) as error:
            is_abandoned = isinstance(error, Abandoned)
            retry = f"; retry: {COMMAND} merge {merge.job.id}" if is_abandoned else ""
            for part in parts:
                record.exclude(part.worker, f"{error}{retry}", LossCause.REFUSED)
            return MergeOutcome(error=str(error))
        recorded = partial(self._recorded, search, parts, excluded_jobs, bool(gates.skipped))
        return self._with_retries(self._with_new_record(recorded))

    def _recorded(
        self,
        search: SearchResult,
        parts: Sequence[MergePart],
        excluded_jobs: Collection[str],
        has_skipped: bool,
    ) -> MergeOutcome:
        """Record what the stored result has and lacks, and return the outcome.

        ``has_skipped``: True if gates were skipped.
        """
        merge, record = self._merge, self._merge.record
        self._record_steps(search)
        self._resolvers.note_hindrances(search)
        if merge.is_manual:
            names = [*record.merged, *record.left_out]
            record.left_out = {name: short(branch_of(merge.job.root_id, name)) for name in names}
            record.merged = []
            return MergeOutcome(missing=record.missing())
        merged = [part.worker for part in parts if part.worker.id in record.merged]
        self._record_undone_children(search, merged, excluded_jobs)
        facts = ResultFacts(merge, search, merged)
        return facts.outcome(self._rejections(search), has_skipped=has_skipped)

    def _with_new_record(self, step: Callable[[], T]) -> Callable[[], T]:
        """Return ``step`` so that each call begins with the present content of the record."""
        record = self._merge.record
        content = asdict(record)

        def repeatable() -> T:
            for name, value in copy.deepcopy(content).items():
                setattr(record, name, value)
            return step()

        return repeatable

    def _with_retries(self, step: Callable[[], T]) -> T:
        """Run a step that can be repeated. If git fails, pause and repeat the step.

        Raise RepositoryError if git fails in each call.
        """
        job_id, checkout = self._merge.job.id, self._merge.worktrees.checkout
        for pause in PAUSES:
            try:
                return step()
            except RepositoryError as error:
                logger.warning(
                    "cannot merge a job; retrying in %g s: %s",
                    pause,
                    error,
                    extra={"job_id": job_id},
                )
            time.sleep(pause)
            checkout.restore_git_files(self._merge.job.root_id)
        return step()

    def _merge_and_store(self, parts: Sequence[MergePart], gates: MergeGates) -> SearchResult:
        job, base = self._merge.job, self._merge.record.base
        search = CulpritSearch(base, parts, BranchMerge(self._merge).add, gates.judge).run()
        failpoints.reached("merge: done")
        self._result_branch.store(search)
        with suppress(RepositoryError):
            # Remove a ref that is no longer needed. Another process may have locked packed refs, so
            # that the removal fails. The result is then still valid.
            self._merge.repository.delete_ref(merging_ref(job.root_id, job.id))
        return search

    def _record_steps(self, search: SearchResult) -> None:
        """Record which parts are in the result, and why the other parts are excluded."""
        record = self._merge.record
        state = record.base
        lost_lines = LostLines(self._merge)
        for step in search.steps:
            worker = step.part.worker
            if not step.is_whole:
                paths = conflict_resolution.unresolved(self._merge.repository, worker)[:MOST_PATHS]
                why = f"unresolved conflicts in {', '.join(paths)}" if paths else ""
                record.exclude(worker, why, LossCause.CONFLICT)
            if step.has_changes and (step.is_whole or step.commit != state):
                record.merged.append(worker.id)
            conflicts = [lost_lines.with_workers(each, worker) for each in step.conflicts]
            record.add_conflicts(worker, conflicts, resolved=step.is_whole)
            record.files += [{"worker_id": worker.id, **asdict(each)} for each in step.files]
            lost_lines.add(worker)
            state = step.commit
        for part, results in search.culprits:
            self._selection.exclude_rejected(part.worker, results)
        merged_tasks = {step.part.worker.task_id for step in search.steps}
        for part in search.dropped:
            missing_task = min(part.depends_on.difference(merged_tasks))
            self._selection.exclude_dependent(part.worker, missing_task)
        record.gates = [{**asdict(each), "outcome": each.outcome} for each in search.results]

    def _record_undone_children(
        self, search: SearchResult, merged: Sequence[Worker], excluded_jobs: Collection[str]
    ) -> None:
        merge = self._merge
        # Omit child jobs whose changes conflict with the worker's branch. The branch never had
        # these changes, so the worker did not undo them.
        conflicting_jobs = {child for step in search.steps for child in step.conflicting_jobs}
        for worker in merged:
            merge.record.undone += [
                each
                for each in merge.child_changes.of(merge.tree, worker, excluded_jobs)
                if each["child_job_id"] not in {*merge.job.facts.taken_jobs, *conflicting_jobs}
            ]

    def _rejections(self, search: SearchResult) -> list[MergeRejection]:
        """Return the rejections of culprits and of workers whose conflicts an agent can resolve."""
        is_alone = len(search.steps) + len(search.culprits) == 1
        why = "gates fail on the merged result" if is_alone else NOT_TOGETHER
        rejections = []
        for part, results in search.culprits:
            if self._merge.record.commit and not self._merge.record.again:
                # Use ``search.commit``, because the history of ``record.commit`` may be rewritten
                # (with the setting ``history: linear``), and then lacks the workers' own commits.
                self._merge.repository.set_ref(sent_ref(part.worker), search.commit)
            rejections.append(
                MergeRejection(
                    worker_id=part.worker.id,
                    reason=f"{why}: {failures_in_words(results)}",
                    gates=tuple(results),
                )
            )
        return [*rejections, *self._resolvers.rejections(search)]

    def _with_parent_conflicts(self, outcome: MergeOutcome) -> MergeOutcome:
        """Return the outcome, with the conflicts between the result and the parent worker."""
        merge, record = self._merge, self._merge.record
        not_in_parent = tuple(record.handed["paths"]) if record.handed else ()
        overruled = (*outcome.overruled, *record.overruled_in_parent(merge.job))
        return replace(outcome, not_in_parent=not_in_parent, overruled=overruled)

    def _protect_other_candidates(self) -> None:
        """Set one ref for each candidate that was not chosen, so that git keeps the work.

        Remove the chosen candidate's ref. Idempotent. Raise RepositoryError if git fails.
        """
        repository, job = self._merge.repository, self._merge.job
        for worker in self._merge.workers:
            ref = f"{candidate_refs(job.root_id)}{worker.id}"
            if worker.chosen is False and (tip := repository.commit_of(worker_branch(worker))):
                repository.set_ref(ref, tip)
            elif worker.chosen and repository.commit_of(ref):
                # The candidate got this ref when another candidate was chosen.
                repository.delete_ref(ref)

    def _with_checkout_changes(self, outcome: MergeOutcome) -> MergeOutcome:
        """Return the outcome of a root job, with the changes in the user's checkout."""
        merge, checkout = self._merge, self._merge.worktrees.checkout
        merge.record.put_back.extend(checkout.restore_git_files(merge.job.id))
        changes, state = checkout.changes(merge.job.id)
        tasks = (task for each in merge.tree.tasks.values() for task in each)
        is_in_project = any(task.works_in_project for task in tasks)
        if is_in_project:
            # Tasks with ``workdir: project`` may change files and branches of the user. Such
            # changes are reported elsewhere, as changes of these tasks.
            changes = [each for each in changes if each.kind in SHARED or each.worker_id]
        merge.record.leaks.extend(map(str, changes))
        of_job = [each for each in changes if each.is_of_job]
        of_job = of_job if checkout.has_recorded_state(merge.job.id) else []
        files = () if is_in_project else tuple(self._changed_files(state))
        return replace(outcome, repository_changes=tuple(of_job[:MOST_STORED]), checkout=files)

    def _changed_files(self, state: Mapping[str, str] | None) -> Iterator[CheckoutChange]:
        """Yield files of the checkout that changed during an attempt, and that no worker reported.

        Each item names the workers that ran when the file changed. ``state``: the checkout's
        current state; None if unknown.
        """
        tree, checkout = self._merge.tree, self._merge.worktrees.checkout
        deliveries = (each.delivery for each in tree.workers)
        reported = {path for each in deliveries if each for path in each.outside}
        changed = checkout.changed_files(self._merge.job.id, 0.0, state)
        for path, changed_at in changed.items():
            workers = worker_ids_at(tree.attempts, changed_at)
            if workers and not any(each.endswith(f"/{path}") for each in reported):
                yield CheckoutChange(path=path, workers=tuple(workers))
