"""Facts about the merged result of a job, such as files that no gate judged."""

import os
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.core.gates.file_kinds import language_of
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import UnjudgedFile
from orchestrator.core.outcome.job.job_outcome import (
    MOST_FILES,
    cover_all_code,
    flaky_gates,
    gate_facts,
    gates_passed,
    is_unjudged,
    suppressing_comments,
    unjudged_files,
)
from orchestrator.core.outcome.merge_outcome import MergeOutcome, MergeRejection
from orchestrator.core.ports import Tree
from orchestrator.core.repository.git_refs import worker_branch
from orchestrator.core.repository.repository import Repository
from orchestrator.engine.merge.culprit_search import SearchResult
from orchestrator.engine.merge.merge_record import (
    MergeRecord,
    both_kept_in,
    missing_from,
    overruled_in,
)
from orchestrator.engine.worktrees.working_directories import Worktrees


class ResultFacts:
    """Reads the facts of a merged result, after the merge is recorded."""

    def __init__(
        self,
        repository: Repository,
        worktrees: Worktrees,
        record: MergeRecord,
        tree: Tree,
        job: Job,
        search: SearchResult,
        inside: Sequence[Worker],
    ) -> None:
        """``search``: has the merged state and the results of the gates.

        ``inside``: the workers whose changes are merged.
        """
        self._repository = repository
        self._worktrees = worktrees
        self._record = record
        self._tree = tree
        self._job = job
        self._search = search
        self._inside = inside

    def outcome(self, refusals: Sequence[MergeRejection], *, has_unrun: bool) -> MergeOutcome:
        """Return the outcome of the merge. ``has_unrun``: True if gates were skipped."""
        repository, record, inside = self._repository, self._record, self._inside
        commit, results = self._search.commit, self._search.results
        touched = repository.differing_paths(record.base, commit) if inside else {}
        project = repository.project_path("") or "."
        files = {os.path.relpath(each, project): each for each in touched}
        unjudged, passed_over = self._unjudged_code(files, has_unrun)
        return MergeOutcome(
            refusals=refusals,
            missing=missing_from(record),
            overruled=overruled_in(record),
            both_kept=both_kept_in(record),
            by_driver=tuple(repository.merged_by_drivers(record.base, commit)),
            undone=tuple(self._undone_workers(files)),
            gates=gate_facts(touched, results, inside),
            gates_passed=gates_passed(results, inside),
            flaky=flaky_gates(results),
            unjudged=unjudged,
            unjudged_files=tuple(passed_over[:MOST_FILES]),
            switched_off=suppressing_comments(results, inside),
            has_result=bool(record.merged),
            files=tuple(files),
        )

    def _undone_workers(self, files: Mapping[str, str]) -> Iterator[str]:
        """Yield the ids of merged workers whose changes are all missing in the result.

        A worker's changes can be undone without a conflict only by a worker that started from these
        changes. So only workers with dependent workers are checked.

        ``files``: the changed files of the result; keys: paths in the project, values: paths in the
        repository.
        """
        needed = {each for task in self._tree.tasks[self._job.id] for each in task.depends_on}
        changed = {*files.values()}
        for worker in (each for each in self._inside if each.task_id in needed):
            # Check the stored paths first, because reading all paths requires a git process. The
            # stored paths may be incomplete.
            if not changed.isdisjoint(worker.touched_files):
                continue
            made = {*self._worktrees.touched(worker)}
            if made and made.isdisjoint(changed):
                result, branch = self._search.commit, worker_branch(worker)
                differing = self._repository.differing_paths(result, branch)
                if made <= {*differing}:
                    yield worker.id

    def _unjudged_code(
        self, files: Mapping[str, str], has_unrun: bool
    ) -> tuple[bool, Sequence[UnjudgedFile]]:
        """Return which changed code no gate judged, as two values.

        1. True if no gate judged any changed code.
        2. The changed files that no gate judged; empty if the files are unknown.

        ``files``: the changed files; keys: paths in the project, values: paths in the repository.
        ``has_unrun``: True if gates were skipped.
        """
        # A job without gates requires no judgment.
        if not self._job.config.gates:
            return False, ()
        lacking = {each.id for each in self._tree.jobs if each.facts.unjudged}
        if is_unjudged(files.values(), self._search.results, self._inside, lacking):
            return True, ()
        if has_unrun or not any(map(language_of, files)):
            return False, ()
        there = {*self._repository.gate_files(self._search.commit).paths()}
        changed = {path: name for path, name in files.items() if path in there}
        children = {name for each in self._inside for name in each.child_job_ids}
        below = [each.facts for each in self._tree.jobs if each.id in children]
        passed_over = unjudged_files(changed, self._search.results, self._inside, below)
        return cover_all_code(passed_over, changed), passed_over
