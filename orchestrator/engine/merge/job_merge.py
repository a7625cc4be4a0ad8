"""Merges the branches of a job's workers, runs the gates, and stores the job's result."""

import logging
import os
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import islice

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.gate import GateCause, GateResult, GateStatus
from orchestrator.core.gates.gate_results import did_not_run
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import LossCause
from orchestrator.core.model.states import JobStatus
from orchestrator.core.outcome.job.job_outcome import job_outcome
from orchestrator.core.outcome.merge_outcome import MergeOutcome, MergeRejection
from orchestrator.core.ports import Tree
from orchestrator.core.repository.git_refs import (
    branch_of,
    hidden,
    merged_refs,
    merging_ref,
    result_branch,
    sent_ref,
    short,
)
from orchestrator.core.repository.repository import FileConflict, Repository, Strategy
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.attempts.attempt_gates import gates_of, permission_of
from orchestrator.engine.merge.branch_merge import BranchMerge
from orchestrator.engine.merge.culprit_search import CulpritSearch, Judge, SearchResult
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
from orchestrator.engine.merge.merge_order import MergePart
from orchestrator.engine.merge.merge_record import (
    MOST_PATHS,
    MergeRecord,
    conflict_record,
    missing_from,
)
from orchestrator.engine.merge.part_selection import PartSelection
from orchestrator.engine.merge.resolver_selection import ResolverSelection
from orchestrator.engine.merge.result_facts import ResultFacts
from orchestrator.engine.worktrees import conflict_resolution
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


class JobMerge:
    """One merge of a job. The outcome is stored in the merge record."""

    def __init__(
        self,
        repository: Repository,
        worktrees: Worktrees,
        gates: MergeGates,
        record: MergeRecord,
        tree: Tree,
        job: Job,
        halted: Halted,
    ) -> None:
        """``halted``: returns True if the merge is no longer needed."""
        self._repository = repository
        self._worktrees = worktrees
        self._gates = gates
        self._record = record
        self._tree = tree
        self._job = job
        self._halted = halted
        self._tasks = {task.id: task for task in tree.tasks[job.id]}
        self._resolvers = ResolverSelection(repository, worktrees, record, tree, job)
        self._selection = PartSelection(repository, worktrees, self._resolvers, record, tree, job)

    @property
    def _is_manual(self) -> bool:
        return self._job.config.merge_strategy == Strategy.MANUAL

    def run(self, workers: Sequence[Worker], left: Collection[str] = ()) -> MergeOutcome:
        """Merge the changes of ``workers`` one after another, and return the outcome.

        Store the merged state on the job's result branch; without a merged change, remove this
        branch.

        ``left``: ids of child jobs that a person chose to exclude. Raise RepositoryError.
        """
        record = self._record
        parts = self._selection.parts(workers)
        unrun = () if record.again else _skipped_gates(self._tree, self._job)
        try:
            search = self._merge_with_retries(parts, self._judge(parts, unrun))
        except (GateUnfit, Abandoned) as error:
            self._exclude_all(parts, error)
            return MergeOutcome(error=str(error))
        self._record_steps(search)
        self._resolvers.note_hindrances(search)
        if self._is_manual:
            names = [*record.merged, *record.left_out]
            branches = {name: short(branch_of(self._job.root_id, name)) for name in names}
            record.left_out, record.merged = branches, []
            return MergeOutcome(missing=missing_from(record))
        inside = [part.worker for part in parts if part.worker.id in record.merged]
        self._record_undone_children(inside, left)
        facts = ResultFacts(
            self._repository, self._worktrees, record, self._tree, self._job, search, inside
        )
        return facts.outcome(self._rejections(search), has_unrun=bool(unrun))

    def _exclude_all(self, parts: Sequence[MergePart], error: Exception) -> None:
        retry = f"; retry: {COMMAND} merge {self._job.id}"
        why = f"{error}{retry * isinstance(error, Abandoned)}"
        for part in parts:
            self._record.exclude(part.worker, why, LossCause.REFUSED)

    def _record_undone_children(self, inside: Sequence[Worker], left: Collection[str]) -> None:
        children = LostChildChanges(self._repository, self._worktrees)
        for worker in inside:
            self._record.undone += [
                each
                for each in children.of(self._tree, worker, left)
                if each["child_job_id"] not in self._job.facts.taken_jobs
            ]

    def _merge_with_retries(self, parts: Sequence[MergePart], judge: Judge) -> SearchResult:
        for pause in PAUSES:
            try:
                return self._merge_and_store(parts, judge)
            except RepositoryError as error:
                about = {"job_id": self._job.id}
                logger.warning(
                    "cannot merge a job; retrying in %g s: %s", pause, error, extra=about
                )
            time.sleep(pause)
            self._worktrees.checkout.restore_git_files(self._job.root_id)
        return self._merge_and_store(parts, judge)

    def _merge_and_store(self, parts: Sequence[MergePart], judge: Judge) -> SearchResult:
        base, job = self._record.base, self._job
        merge = BranchMerge(self._repository, self._worktrees, job)
        search = CulpritSearch(base, parts, merge.add, judge).run()
        failpoints.reached("merge: done")
        self._store_result(search, base if self._is_manual else search.commit)
        with suppress(RepositoryError):
            # Remove a ref that is no longer needed. Another process may have locked packed refs, so
            # that the removal fails. The result is then still valid.
            self._repository.delete_ref(merging_ref(job.root_id, job.id))
        return search

    def _judge(self, parts: Sequence[MergePart], unrun: Sequence[GateResult]) -> Judge:
        """Return a function that runs the gates on a commit and returns their results.

        ``parts``: the changes to merge, whose tasks decide which tests may change. ``unrun``:
        results of skipped gates, which the returned function adds to its results.
        """
        sound: set[str] = set()
        allowed = self._allowed_changes(parts)
        names = {each.name for each in unrun}
        config = self._job.config
        gates = tuple(each for each in config.gates if each.name not in names)
        judged = replace(self._job, config=replace(config, gates=gates))

        def judge(commit: str) -> Sequence[GateResult]:
            if self._halted():
                raise Abandoned("the job was stopped before it was merged")
            if self._is_manual:
                return ()
            base = self._record.base
            results = self._gates.judge(judged, base, commit, allowed, self._halted, sound)
            return [*results, *unrun]

        return judge

    def _allowed_changes(self, parts: Sequence[MergePart]) -> AllowedTestChanges:
        permissions, vanishing = [], set[str]()
        for part in parts:
            task = self._tasks[part.worker.task_id]
            judged = self._worktrees.of_children(part.worker, *self._worktrees.span(part.worker))
            permissions.append(permission_of(task, frozenset(judged)))
            own = gates_of(self._job, task, has_worktree=True)
            vanishing.update(gate.name for gate in own if gate.tests_may_vanish)
        return AllowedTestChanges(tuple(permissions), frozenset(vanishing))

    def _record_steps(self, search: SearchResult) -> None:
        record = self._record
        before = record.base
        losses = LostLines(self._repository, self._worktrees, record.base)
        for step in search.steps:
            worker = step.part.worker
            if not step.is_whole:
                paths = conflict_resolution.unresolved(self._repository, worker)[:MOST_PATHS]
                why = f"unresolved conflicts in {', '.join(paths)}" if paths else ""
                record.exclude(worker, why, LossCause.CONFLICT)
            if step.has_changes and (step.is_whole or step.commit != before):
                record.merged.append(worker.id)
            named = (losses.with_writers(each) for each in step.conflicts)
            conflicts = [self._with_child_workers(each) for each in named]
            record.conflicts += [conflict_record(worker, each, step.is_whole) for each in conflicts]
            record.files += [{"worker_id": worker.id, **asdict(each)} for each in step.files]
            losses.add(worker)
            before = step.commit
        for part, results in search.culprits:
            self._selection.exclude_refused(part.worker, results)
        inside = {step.part.worker.task_id for step in search.steps}
        for part in search.dropped:
            self._selection.exclude_dependent(part.worker, min(part.depends_on.difference(inside)))
        record.gates = [{**asdict(each), "outcome": each.outcome} for each in search.results]

    def _with_child_workers(self, conflict: FileConflict) -> FileConflict:
        if not conflict.child_job_id:
            return conflict
        workers = (each for each in self._tree.workers if each.job_id == conflict.child_job_id)
        names = (each.id for each in workers if conflict.path in self._worktrees.touched(each))
        return replace(conflict, child_workers=tuple(names))

    def _store_result(self, search: SearchResult, commit: str) -> None:
        record, job = self._record, self._job
        branch = result_branch(job.root_id, job.id)
        before = self._repository.commit_of(branch)
        if commit != record.base and job.config.history == LINEAR:
            commit = linear_commit(self._repository, job, record.base, search.steps)
        if before and record.again:
            self._save_earlier_result(before)
        if commit == record.base:
            self._repository.delete_ref(branch)
            return
        self._repository.set_ref(branch, commit)
        self._repository.set_ref(f"{hidden(job.root_id)}base/{job.id}", record.base)
        record.branch, record.commit = short(branch), commit
        self._measure()

    def _measure(self) -> None:
        record = self._record
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

    def _save_earlier_result(self, before: str) -> None:
        refs = merged_refs(self._job.root_id, self._job.id)
        kept = self._repository.commits_below(refs)
        known = next((name for name, commit in kept.items() if commit == before), "")
        self._record.earlier = known or f"{refs}{len(kept) + 1}"
        self._repository.set_ref(self._record.earlier, before)

    def _rejections(self, search: SearchResult) -> list[MergeRejection]:
        refused = [self._rejection(search, part, results) for part, results in search.culprits]
        return [*refused, *self._resolvers.rejections(search)]

    def _rejection(
        self, search: SearchResult, part: MergePart, results: Sequence[GateResult]
    ) -> MergeRejection:
        if self._record.commit and not self._record.again:
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
