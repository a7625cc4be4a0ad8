"""Merges the branches of a job's workers, runs the gates, and stores the job's result."""

import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from itertools import islice

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.file_kinds import language_of
from orchestrator.core.gates.gate import GateCause, GateResult, GateStatus
from orchestrator.core.gates.gate_results import did_not_run
from orchestrator.core.model.attempt.failure import after
from orchestrator.core.model.dag import sources
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import LossCause, UnjudgedFile
from orchestrator.core.model.states import JobStatus
from orchestrator.core.outcome.job.job_outcome import (
    MOST_FILES,
    cover_all_code,
    flaky_gates,
    gate_facts,
    gates_passed,
    is_unjudged,
    job_outcome,
    suppressing_comments,
    unjudged_files,
)
from orchestrator.core.outcome.merge_outcome import MergeOutcome, MergeRejection
from orchestrator.core.ports import Tree
from orchestrator.core.repository.git_refs import (
    adopted_result_ref,
    branch_of,
    hidden,
    merged_refs,
    merging_ref,
    result_branch,
    sent_ref,
    short,
    start_ref,
    worker_branch,
    worker_commit_message,
)
from orchestrator.core.repository.repository import (
    FileConflict,
    Merge,
    MergedFile,
    Repository,
    Strategy,
    merger_of,
)
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.attempts.attempt_gates import gates_of, permission_of
from orchestrator.engine.merge.culprit_search import CulpritSearch, Judge, MergeStep, SearchResult
from orchestrator.engine.merge.linear_history import LINEAR, linear_commit
from orchestrator.engine.merge.lost_lines import LostLines
from orchestrator.engine.merge.merge_gates import (
    Abandoned,
    AllowedTestChanges,
    GateUnfit,
    Halted,
    MergeGates,
)
from orchestrator.engine.merge.merge_messages import failures_in_words
from orchestrator.engine.merge.merge_order import MergePart, best_last, in_order, split
from orchestrator.engine.merge.merge_record import (
    MOST_PATHS,
    MergeRecord,
    both_kept_in,
    conflict_record,
    missing_from,
    overruled_in,
)
from orchestrator.engine.merge.resolver_selection import ResolverSelection, is_refused
from orchestrator.engine.worktrees import conflict_resolution
from orchestrator.engine.worktrees.checkpoint_commits import LEFT
from orchestrator.engine.worktrees.lost_child_changes import LostChildChanges
from orchestrator.engine.worktrees.working_directories import Worktrees

logger = logging.getLogger(__name__)

#: Maximum number of files of a result whose added and removed lines are stored.
MOST_MEASURED = 1_000
#: Reason of a merge rejection if the gates fail only because of changes of other workers.
NOT_TOGETHER = "gates fail after the merge with the changes of other workers"
#: Seconds before each retry of a merge. A retry helps after two temporary errors: another git
#: process holds a lock, or a user's ``git gc --prune=now`` has removed commits that had no ref.
PAUSES = (0.1, 0.3, 1.0, 3.0)


class BranchMerge:
    def __init__(self, repository: Repository, worktrees: Worktrees, gates: MergeGates) -> None:
        self._repository = repository
        self._worktrees = worktrees
        self._gates = gates
        self._resolver_selection = ResolverSelection(repository, worktrees)
        self.children = LostChildChanges(repository, worktrees)

    def merge(
        self,
        record: MergeRecord,
        tree: Tree,
        job: Job,
        workers: Sequence[Worker],
        halted: Halted,
        left: Collection[str] = (),
    ) -> MergeOutcome:
        """Merge the changes of ``workers`` one after another, and return the outcome.

        Store the outcome in ``record``. Store the merged state on the job's result branch; without
        a merged change, remove this branch.

        ``halted``: returns True if the merge is no longer needed. ``left``: ids of child jobs that
        a person chose to exclude. Raise RepositoryError.
        """
        parts = self._parts_to_merge(record, tree, job, workers)
        unrun = () if record.again else _skipped_gates(tree, job)
        try:
            judge = self._judge(record, tree, job, parts, halted, unrun)
            search = self._merge_with_retries(record, job, parts, judge)
        except (GateUnfit, Abandoned) as error:
            for part in parts:
                retry = f"; retry: {COMMAND} merge {job.id}"
                why = f"{error}{retry * isinstance(error, Abandoned)}"
                exclude(record, part.worker, why, LossCause.REFUSED)
            return MergeOutcome(error=str(error))
        self._record_steps(record, tree, job, search)
        self._resolver_selection.note_hindrances(record, tree, job, search)
        if job.config.merge_strategy == Strategy.MANUAL:
            names = [*record.merged, *record.left_out]
            record.left_out = {name: short(branch_of(job.root_id, name)) for name in names}
            record.merged = []
            return MergeOutcome(missing=missing_from(record))
        inside = [part.worker for part in parts if part.worker.id in record.merged]
        for worker in inside:
            found = self.children.of(tree, worker, left)
            record.undone += [
                each for each in found if each["child_job_id"] not in job.facts.taken_jobs
            ]
        return self._outcome(record, tree, job, search, inside, has_unrun=bool(unrun))

    def _parts_to_merge(
        self, record: MergeRecord, tree: Tree, job: Job, workers: Sequence[Worker]
    ) -> Sequence[MergePart]:
        """Return the changes that can be merged, in the order of the merge.

        Record all other changes in ``record``, each with the reason why it is excluded.
        """
        for worker in _refused_before(tree, job, workers):
            self._exclude_refused(record, job, worker, worker.gates)
        present = [each for each in workers if self._is_present(record, tree, job, each)]
        losers = self._other_candidates(tree, job, workers)
        present = [
            each
            for each in present
            if not self._excluded_as_built_on_loser(record, tree, losers, each)
        ]
        parts = _complete_parts(record, tree, job, present)
        if job.config.merge_strategy == Strategy.THEIRS:
            # The later part wins a conflict, so parts with better evidence come later.
            parts = best_last(parts)
        return in_order(parts, self._is_built_on_others)

    def _outcome(
        self,
        record: MergeRecord,
        tree: Tree,
        job: Job,
        search: SearchResult,
        inside: Sequence[Worker],
        *,
        has_unrun: bool,
    ) -> MergeOutcome:
        """Return the outcome of a merge.

        ``search``: the search for the changes with which the gates fail. ``inside``: the workers
        whose changes are merged. ``has_unrun``: True if gates were skipped.
        """
        refused = [
            self._rejection(record, search, part, results) for part, results in search.culprits
        ]
        refusals = [*refused, *self._resolver_selection.rejections(record, job, search)]
        touched = self._repository.differing_paths(record.base, search.commit) if inside else {}
        project = self._repository.project_path("") or "."
        files = {os.path.relpath(each, project): each for each in touched}
        unjudged, passed_over = self._unjudged_code(tree, job, search, inside, files, has_unrun)
        return MergeOutcome(
            refusals=refusals,
            missing=missing_from(record),
            overruled=overruled_in(record),
            both_kept=both_kept_in(record),
            by_driver=tuple(self._repository.merged_by_drivers(record.base, search.commit)),
            undone=tuple(self._undone_workers(tree, job, inside, files, search.commit)),
            gates=gate_facts(touched, search.results, inside),
            gates_passed=gates_passed(search.results, inside),
            flaky=flaky_gates(search.results),
            unjudged=unjudged,
            unjudged_files=tuple(passed_over[:MOST_FILES]),
            switched_off=suppressing_comments(search.results, inside),
            has_result=bool(record.merged),
            files=tuple(files),
        )

    def _undone_workers(
        self,
        tree: Tree,
        job: Job,
        inside: Sequence[Worker],
        files: Mapping[str, str],
        result: str,
    ) -> Iterator[str]:
        """Yield the ids of merged workers whose changes are all missing in the result.

        Check only workers on which another worker depends. Only a dependent worker can undo changes
        without a conflict.

        ``inside``: the merged workers. ``files``: the changed files of the result; keys: paths in
        the project, values: paths in the repository. ``result``: the commit of the result.
        """
        needed = {each for task in tree.tasks[job.id] for each in task.depends_on}
        for worker in (each for each in inside if each.task_id in needed):
            # Check the stored paths first, because reading all paths requires a git process. The
            # stored paths may be incomplete.
            if not files.keys().isdisjoint(worker.touched_files):
                continue
            made = {*self._worktrees.touched(worker)}
            if made and made.isdisjoint(files.values()):
                differing = self._repository.differing_paths(result, worker_branch(worker))
                if made <= {*differing}:
                    yield worker.id

    def _unjudged_code(
        self,
        tree: Tree,
        job: Job,
        search: SearchResult,
        inside: Sequence[Worker],
        files: Mapping[str, str],
        has_unrun: bool,
    ) -> tuple[bool, Sequence[UnjudgedFile]]:
        """Return two values: True if no gate judged the code, and the files that no gate judged.

        If the files are unknown, the second value is empty.

        ``search``: has the results of the gates. ``inside``: the workers whose changes are merged.
        ``files``: the changed files; keys: paths in the project, values: paths in the repository.
        ``has_unrun``: True if gates were skipped.
        """
        # A job without gates requires no judgment.
        if not job.config.gates:
            return False, ()
        lacking = {each.id for each in tree.jobs if each.facts.unjudged}
        if is_unjudged(files.values(), search.results, inside, lacking):
            return True, ()
        if has_unrun or not any(map(language_of, files)):
            return False, ()
        there = {*self._repository.gate_files(search.commit).paths()}
        changed = {path: name for path, name in files.items() if path in there}
        children = {name for each in inside for name in each.child_job_ids}
        below = [each.facts for each in tree.jobs if each.id in children]
        passed_over = unjudged_files(changed, search.results, inside, below)
        return cover_all_code(passed_over, changed), passed_over

    def _is_present(self, record: MergeRecord, tree: Tree, job: Job, worker: Worker) -> bool:
        """True if the worker's changes are available, or if the worker needs no worktree.

        If the branch was removed, restore it from a checkpoint. Without a checkpoint, exclude the
        worker in ``record``, and return False.
        """
        task = next(each for each in tree.tasks[job.id] if each.id == worker.task_id)
        branch = worker_branch(worker)
        if self._repository.commit_of(branch) or not self._worktrees.rule.wanted(job, task, worker):
            return True
        kept = self._worktrees.checkpoints.refs_of(worker)
        commit = kept.get(after(worker.attempt))
        if commit and not any(LEFT in name for name in kept):
            self._repository.set_ref(branch, commit)
            return True
        reason = "the branch and the checkpoints of the worker were removed"
        exclude(record, worker, reason, LossCause.NO_BRANCH)
        record.gone.append(worker.id)
        return False

    def _other_candidates(
        self, tree: Tree, job: Job, inside: Sequence[Worker]
    ) -> dict[str, Worker]:
        """Return the candidates that were not chosen and have changes. The keys are branch heads.

        ``inside``: the workers whose changes are merged. These workers are omitted.
        """
        losers = (each for each in tree.workers if each.job_id == job.id and each.chosen is False)
        tips = {self._repository.commit_of(worker_branch(each)): each for each in losers}
        return {
            tip: each
            for tip, each in tips.items()
            if tip and each not in inside and tip != self._repository.commit_of(start_ref(each))
        }

    def _excluded_as_built_on_loser(
        self, record: MergeRecord, tree: Tree, losers: Mapping[str, Worker], worker: Worker
    ) -> bool:
        """Exclude the worker if it started from changes of a candidate that is no longer chosen.

        Return True if the worker was excluded. ``losers``: the candidates that are not chosen; the
        keys are branch heads.
        """
        tasks = {each.id: each for each in tree.tasks[worker.job_id]}
        needs = sources(tasks, tasks[worker.task_id])
        start = self._repository.commit_of(start_ref(worker)) if needs else ""
        for tip, loser in losers.items():
            if start and loser.task_id in needs and self._repository.contains(start, tip):
                why = f"depends on {loser.id}, which is no longer the chosen candidate"
                exclude(record, worker, why, LossCause.BUILDS_ON)
                return True
        return False

    def _merge_with_retries(
        self, record: MergeRecord, job: Job, parts: Sequence[MergePart], judge: Judge
    ) -> SearchResult:
        for pause in PAUSES:
            try:
                return self._merge_and_store(record, job, parts, judge)
            except RepositoryError as error:
                about = {"job_id": job.id}
                logger.warning(
                    "cannot merge a job; retrying in %g s: %s", pause, error, extra=about
                )
            time.sleep(pause)
            self._worktrees.checkout.restore_git_files(job.root_id)
        return self._merge_and_store(record, job, parts, judge)

    def _merge_and_store(
        self, record: MergeRecord, job: Job, parts: Sequence[MergePart], judge: Judge
    ) -> SearchResult:
        add = partial(self._merge_step, job)
        search = CulpritSearch(record.base, parts, add, judge).run()
        failpoints.reached("merge: done")
        manual = job.config.merge_strategy == Strategy.MANUAL
        self._store_result(record, job, search, record.base if manual else search.commit)
        with suppress(RepositoryError):
            # Remove a ref that is no longer needed. Another process may have locked packed refs, so
            # that the removal fails. The result is then still valid.
            self._repository.delete_ref(merging_ref(job.root_id, job.id))
        return search

    def _is_built_on_others(self, worker: Worker) -> bool:
        return bool(self._repository.commit_of(adopted_result_ref(worker)))

    def _judge(
        self,
        record: MergeRecord,
        tree: Tree,
        job: Job,
        parts: Sequence[MergePart],
        halted: Halted,
        unrun: Sequence[GateResult],
    ) -> Judge:
        """Return a function that runs the gates on a commit and returns their results.

        ``parts``: the changes to merge, whose tasks decide which tests may change. ``unrun``:
        results of skipped gates, which the returned function adds to its results.
        """
        sound: set[str] = set()
        allowed = self._allowed_changes(tree, job, parts)
        names = {each.name for each in unrun}
        gates = tuple(each for each in job.config.gates if each.name not in names)
        judged = replace(job, config=replace(job.config, gates=gates))

        def judge(commit: str) -> Sequence[GateResult]:
            if halted():
                raise Abandoned("the job was stopped before it was merged")
            if job.config.merge_strategy == Strategy.MANUAL:
                return ()
            results = self._gates.judge(judged, record.base, commit, allowed, halted, sound)
            return [*results, *unrun]

        return judge

    def _allowed_changes(
        self, tree: Tree, job: Job, parts: Sequence[MergePart]
    ) -> AllowedTestChanges:
        tasks = {task.id: task for task in tree.tasks[job.id]}
        permissions, vanishing = [], set[str]()
        for part in parts:
            task = tasks[part.worker.task_id]
            judged = self._worktrees.of_children(part.worker, *self._worktrees.span(part.worker))
            permissions.append(permission_of(task, frozenset(judged)))
            own = gates_of(job, task, has_worktree=True)
            vanishing.update(gate.name for gate in own if gate.tests_may_vanish)
        return AllowedTestChanges(tuple(permissions), frozenset(vanishing))

    def _merge_step(self, job: Job, tip: str, part: MergePart, may_unite: bool) -> MergeStep:
        """Merge a worker's branch heads into the commit ``tip``, except heads that conflict.

        Return the step with the new merged state. ``may_unite``: True to allow a merge that keeps
        the lines of both sides, if both sides added lines in the same place.
        """
        force = job.config.merge_strategy == Strategy.THEIRS
        union = may_unite and job.config.merge_strategy == Strategy.AUTO
        message = worker_commit_message(
            f"Merge {part.worker.id}: {part.worker.task_id}", part.worker
        )
        conflicts: list[FileConflict] = []
        files: list[MergedFile] = []
        is_whole = True
        start = self._repository.commit_of(start_ref(part.worker))
        tips = self._heads_to_merge(job, part.worker)
        children = self._worktrees.children(part.worker) if len(tips) > 1 else []
        child_of = {each.result: each.job_id for each in children}
        for commit in tips:
            self._fold(part.worker, commit)
            merged = self._repository.merge(
                tip, commit, message, merger_of(job), force=force, union=union
            )
            conflicts += _with_child_job(merged.conflicts, child_of.get(commit, ""))
            files += merged.files
            is_whole = is_whole and bool(merged.commit)
            tip = merged.commit or tip
        for child in job.facts.taken_jobs:
            again = self._merge_again(job, tip, part.worker, child, tips[0], message)
            conflicts += _with_child_job(again.conflicts, child)
            is_whole = is_whole and bool(again.commit)
            tip = again.commit or tip
        self._repository.set_ref(merging_ref(job.root_id, job.id), tip)
        return MergeStep(
            part=part,
            commit=tip,
            has_changes=any(commit != start for commit in tips),
            is_whole=is_whole,
            conflicts=tuple(conflicts),
            files=tuple(files),
        )

    def _merge_again(
        self, job: Job, tip: str, worker: Worker, child: str, own: str, message: str
    ) -> Merge:
        """Merge a child job's changes into ``tip``, although the parent worker discarded them.

        ``child``: id of the child job. ``worker``: the parent worker. ``own``: the head of the
        parent worker's branch. This branch is not moved, so that a later merge can exclude the
        changes again.
        """
        again = self.children.merge_again(job, worker, child, own)
        if again is None:
            return Merge(commit=tip)
        if not again.commit:
            return again
        force = job.config.merge_strategy == Strategy.THEIRS
        return self._repository.merge(tip, again.commit, message, merger_of(job), force=force)

    def _heads_to_merge(self, job: Job, worker: Worker) -> Sequence[str]:
        if conflict_resolution.unresolved(self._repository, worker):
            return [conflict_resolution.own_tip(self._repository, worker)]
        return self._worktrees.tips_of(job, worker.id)

    def _fold(self, worker: Worker, commit: str) -> None:
        """Fast-forward the worker's branch to ``commit``, if possible.

        Do nothing if the worker still has a worktree, or if ``commit`` does not contain the branch.
        """
        branch = worker_branch(worker)
        tip = self._repository.commit_of(branch)
        lives = os.path.lexists(self._worktrees.directory(worker))
        if tip and tip != commit and not lives and self._repository.contains(commit, tip):
            self._repository.set_ref(branch, commit)

    def _record_steps(
        self, record: MergeRecord, tree: Tree, job: Job, search: SearchResult
    ) -> None:
        before = record.base
        losses = LostLines(self._repository, self._worktrees, record.base)
        for step in search.steps:
            worker = step.part.worker
            if not step.is_whole:
                left = ", ".join(
                    conflict_resolution.unresolved(self._repository, worker)[:MOST_PATHS]
                )
                why = f"unresolved conflicts in {left}" if left else ""
                exclude(record, worker, why, LossCause.CONFLICT)
            if step.has_changes and (step.is_whole or step.commit != before):
                record.merged.append(worker.id)
            named = (losses.with_writers(each) for each in step.conflicts)
            conflicts = [self._with_child_workers(tree, each) for each in named]
            record.conflicts += [conflict_record(worker, each, step.is_whole) for each in conflicts]
            record.files += [{"worker_id": worker.id, **asdict(each)} for each in step.files]
            losses.add(worker)
            before = step.commit
        for part, results in search.culprits:
            self._exclude_refused(record, job, part.worker, results)
        inside = {step.part.worker.task_id for step in search.steps}
        for part in search.dropped:
            lacking = min(part.depends_on.difference(inside))
            exclude(record, part.worker, _depends_on(lacking), LossCause.BUILDS_ON)
        record.gates = [{**asdict(each), "outcome": each.outcome} for each in search.results]

    def _with_child_workers(self, tree: Tree, conflict: FileConflict) -> FileConflict:
        if not conflict.child_job_id:
            return conflict
        workers = (each for each in tree.workers if each.job_id == conflict.child_job_id)
        names = (each.id for each in workers if conflict.path in self._worktrees.touched(each))
        return replace(conflict, child_workers=tuple(names))

    def _exclude_refused(
        self, record: MergeRecord, job: Job, worker: Worker, results: Sequence[GateResult]
    ) -> None:
        exclude(record, worker, failures_in_words(results) or worker.reason, LossCause.REFUSED)
        self._resolver_selection.note_resolvable(record, job, worker)

    def _store_result(
        self, record: MergeRecord, job: Job, search: SearchResult, commit: str
    ) -> None:
        branch = result_branch(job.root_id, job.id)
        before = self._repository.commit_of(branch)
        if commit != record.base and job.config.history == LINEAR:
            commit = linear_commit(self._repository, job, record.base, search.steps)
        if before and record.again:
            self._save_earlier_result(record, job, before)
        if commit == record.base:
            self._repository.delete_ref(branch)
            return
        self._repository.set_ref(branch, commit)
        self._repository.set_ref(f"{hidden(job.root_id)}base/{job.id}", record.base)
        record.branch, record.commit = short(branch), commit
        self._measure(record)

    def _measure(self, record: MergeRecord) -> None:
        lines = self._repository.changed_line_counts(record.base, record.commit)
        project = self._repository.project_path("") or "."
        first = islice(lines.items(), MOST_MEASURED)
        record.lines = {os.path.relpath(path, project): list(each) for path, each in first}
        counts = lines.values()
        record.size = {
            "files": len(lines),
            "added": sum(added for added, _ in counts),
            "removed": sum(removed for _, removed in counts),
        }

    def _save_earlier_result(self, record: MergeRecord, job: Job, before: str) -> None:
        kept = self._repository.commits_below(merged_refs(job.root_id, job.id))
        known = next((name for name, commit in kept.items() if commit == before), "")
        record.earlier = known or f"{merged_refs(job.root_id, job.id)}{len(kept) + 1}"
        self._repository.set_ref(record.earlier, before)

    def _rejection(
        self,
        record: MergeRecord,
        search: SearchResult,
        part: MergePart,
        results: Sequence[GateResult],
    ) -> MergeRejection:
        if record.commit and not record.again:
            # Use ``search.commit``, because the history of ``record.commit`` may be rewritten (with
            # the setting ``history: linear``), and then lacks the workers' own commits.
            self._repository.set_ref(sent_ref(part.worker), search.commit)
        is_alone = len(search.steps) + len(search.culprits) == 1
        what = "gates fail on the merged result" if is_alone else NOT_TOGETHER
        why = f"{what}: {failures_in_words(results)}"
        return MergeRejection(worker_id=part.worker.id, reason=why, gates=tuple(results))


def _skipped_gates(tree: Tree, job: Job) -> tuple[GateResult, ...]:
    """Return a result for each gate that is skipped because the job tree was cancelled.

    The scan for secrets is never skipped. Return no results if the job's own outcome is not
    ``cancelled``. An example is a job whose tasks had all succeeded when the tree was cancelled.
    """
    own = [each for each in tree.workers if each.job_id == job.id and not each.is_planner]
    if not tree.root.cancelled or job_outcome(own, job.cancelled) is not JobStatus.CANCELLED:
        return ()
    why = f"the job was cancelled before the gate ran; to run the gate: {COMMAND} merge {job.id}"
    gates = (each for each in job.config.gates if not each.is_secret_scan)
    results = (did_not_run(gate, GateCause.KILLED, why) for gate in gates)
    # A skipped gate does not block the merge. Blocking is unnecessary, because a cancelled job
    # never counts as successful.
    return tuple(replace(each, status=GateStatus.SKIPPED) for each in results)


def _refused_before(tree: Tree, job: Job, workers: Sequence[Worker]) -> Iterator[Worker]:
    """Yield the job's workers whose changes failed the gates in an earlier merge.

    Omit a worker if ``workers`` contains a worker of the same task.
    """
    done = {each.task_id for each in workers}
    for each in tree.workers:
        if is_refused(each) and each.job_id == job.id and each.task_id not in done:
            yield each


def _with_child_job(conflicts: Sequence[FileConflict], job_id: str) -> Iterator[FileConflict]:
    for each in conflicts:
        yield replace(each, child_job_id=job_id) if job_id else each


def exclude(record: MergeRecord, worker: Worker, why: str, cause: LossCause) -> None:
    """Record that a worker is excluded from the result. The changes stay on the worker's branch.

    ``why``: the reason for readers; may be empty.
    """
    record.left_out[worker.id] = short(worker_branch(worker))
    record.causes[worker.id] = cause
    if why:
        record.reasons[worker.id] = why


def _complete_parts(
    record: MergeRecord, tree: Tree, job: Job, workers: Sequence[Worker]
) -> Sequence[MergePart]:
    tasks = tree.tasks[job.id]
    by_id = {task.id: task for task in tasks}
    depends_on = {task.id: frozenset(sources(by_id, task)) for task in tasks}
    whole, without = split([MergePart(each, depends_on[each.task_id]) for each in workers], tasks)
    for part, task_id in without:
        exclude(record, part.worker, _depends_on(task_id), LossCause.BUILDS_ON)
    return whole


def _depends_on(task_id: str) -> str:
    return f"depends on task {task_id!r}, which is not in the result"
