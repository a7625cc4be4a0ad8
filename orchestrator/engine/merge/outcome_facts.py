"""Facts about a merge: writers of replaced lines, files that no gate judged, removed files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from orchestrator.core.gates.file_kinds import language_of
from orchestrator.core.model.attempt.delivered_work import is_delivered
from orchestrator.core.model.job import Worker
from orchestrator.core.model.job_facts import UnjudgedFile
from orchestrator.core.outcome.job.gate_facts import (
    flaky_gates,
    gate_facts,
    gates_passed,
    suppressing_comments,
)
from orchestrator.core.outcome.job.unjudged_code import (
    MOST_FILES,
    cover_all_code,
    is_unjudged,
    unjudged_files,
)
from orchestrator.core.outcome.job.unmerged_changes import has_worktree
from orchestrator.core.outcome.merge_outcome import MergeOutcome, MergeRejection
from orchestrator.core.repository.git_refs import worker_branch
from orchestrator.core.repository.repository import FileConflict, LostHunk
from orchestrator.engine.merge.culprit_search import SearchResult
from orchestrator.engine.merge.running_merge import RunningMerge


class LostLines:
    """Finds the workers whose lines conflict in a merge, or were replaced by the merge.

    Call ``add`` for each worker, in the order in which the workers are merged.
    """

    def __init__(self, merge: RunningMerge) -> None:
        self._merge = merge
        self._before: list[Worker] = []
        self._writers: dict[str, str] = {}
        self._touched: dict[str, frozenset[str]] = {}

    def add(self, worker: Worker) -> None:
        self._before.append(worker)

    def with_workers(self, conflict: FileConflict, worker: Worker) -> FileConflict:
        """Return a conflict of ``worker``, with the ids of other workers in two fields.

        - ``workers`` of each lost hunk: the hunk's writers. If they are unknown: all workers that
          changed the file and were merged earlier.
        - ``child_workers``: if a child job conflicts, its workers that changed the file.
        """
        # A child job's result is merged after the changes of its parent worker.
        before = [*self._before, worker] if conflict.child_job_id else self._before
        lost = (
            replace(hunk, workers=self._writers_of_hunk(conflict.path, hunk, before))
            for hunk in conflict.lost
        )
        conflict = replace(conflict, lost=tuple(lost))
        if not conflict.child_job_id:
            return conflict
        merge = self._merge
        workers = (each for each in merge.tree.workers if each.job_id == conflict.child_job_id)
        branches = merge.worktrees.branches
        names = (each.id for each in workers if conflict.path in branches.touched(each))
        return replace(conflict, child_workers=tuple(names))

    def _writers_of_hunk(
        self, path: str, hunk: LostHunk, before: Sequence[Worker]
    ) -> tuple[str, ...]:
        """Return the ids of the workers that wrote a lost hunk, or else that changed its file.

        ``before``: the workers whose changes were merged before the hunk was lost.
        """
        writers = dict.fromkeys(self._cached_writer(each, before) for each in hunk.commits)
        writers.pop("", None)
        if writers:
            return tuple(writers)
        return tuple(each.id for each in before if path in self._changed_paths(each))

    def _cached_writer(self, commit: str, before: Sequence[Worker]) -> str:
        if commit not in self._writers:
            self._writers[commit] = self._writer_of(commit, before)
        return self._writers[commit]

    def _writer_of(self, commit: str, before: Sequence[Worker]) -> str:
        repository = self._merge.repository
        if repository.contains(self._merge.record.base, commit):
            return ""
        tips = ((each.id, repository.commit_of(worker_branch(each))) for each in before)
        return next((name for name, tip in tips if tip and repository.contains(tip, commit)), "")

    def _changed_paths(self, worker: Worker) -> frozenset[str]:
        if worker.id not in self._touched:
            paths = self._merge.worktrees.branches.touched(worker, self._merge.record.base)
            self._touched[worker.id] = frozenset(paths)
        return self._touched[worker.id]


class ResultFacts:
    """Reads the facts of a merged result, after the merge is recorded."""

    def __init__(self, merge: RunningMerge, search: SearchResult, merged: Sequence[Worker]) -> None:
        """``search``: the merged state, and the parts that it lacks.

        ``merged``: the workers whose changes are merged.
        """
        self._merge = merge
        self._search = search
        self._merged = merged

    def outcome(self, rejections: Sequence[MergeRejection], *, has_skipped: bool) -> MergeOutcome:
        """Return the outcome of the merge. ``has_skipped``: True if gates were skipped."""
        repository, record, merged = self._merge.repository, self._merge.record, self._merged
        commit, results = self._search.commit, self._search.results
        touched = repository.differing_paths(record.base, commit) if merged else {}
        project = repository.project_path("") or "."
        files = {os.path.relpath(each, project): each for each in touched}
        all_unjudged, unjudged = self._unjudged_code(files, has_skipped)
        return MergeOutcome(
            rejections=rejections,
            missing=record.missing(),
            overruled=record.overruled(),
            both_kept=record.both_kept(),
            by_driver=tuple(repository.merged_by_drivers(record.base, commit)),
            undone=tuple(self._undone_workers(files)),
            gates=gate_facts(touched, results, merged),
            gates_passed=gates_passed(results, merged),
            flaky=flaky_gates(results),
            unjudged=all_unjudged,
            unjudged_files=tuple(unjudged[:MOST_FILES]),
            switched_off=suppressing_comments(results, merged),
            has_result=bool(record.merged),
            files=tuple(files),
        )

    def _undone_workers(self, files: Mapping[str, str]) -> Iterator[str]:
        """Yield the ids of merged workers whose changes are all missing in the result.

        To undo these changes without a conflict, another worker must have started from them.
        Therefore only workers on which other workers depend are checked.

        ``files``: the changed files of the result; keys: paths in the project, values: paths in the
        repository.
        """
        needed = {each for task in self._merge.tasks.values() for each in task.depends_on}
        changed = {*files.values()}
        for worker in (each for each in self._merged if each.task_id in needed):
            # Check the stored paths first, because reading all paths requires a git process. The
            # stored paths may be incomplete.
            if not changed.isdisjoint(worker.touched_files):
                continue
            touched = {*self._merge.worktrees.branches.touched(worker)}
            if touched and touched.isdisjoint(changed):
                result, branch = self._search.commit, worker_branch(worker)
                differing = self._merge.repository.differing_paths(result, branch)
                if touched <= {*differing}:
                    yield worker.id

    def _unjudged_code(
        self, files: Mapping[str, str], has_skipped: bool
    ) -> tuple[bool, Sequence[UnjudgedFile]]:
        """Return which changed code no gate judged, as two values.

        1. True if no gate judged any changed code.
        2. The changed files that no gate judged; empty if the files are unknown.

        ``files``: the changed files; keys: paths in the project, values: paths in the repository.
        ``has_skipped``: True if gates were skipped.
        """
        # A job without gates requires no judgment.
        if not self._merge.job.config.gates:
            return False, ()
        lacking = {each.id for each in self._merge.tree.jobs if each.facts.unjudged}
        if is_unjudged(files.values(), self._search.results, self._merged, lacking):
            return True, ()
        if has_skipped or not any(map(language_of, files)):
            return False, ()
        existing = {*self._merge.repository.gate_files(self._search.commit).paths()}
        changed = {path: name for path, name in files.items() if path in existing}
        children = {child_id for worker in self._merged for child_id in worker.child_job_ids}
        facts = [each.facts for each in self._merge.tree.jobs if each.id in children]
        unjudged = unjudged_files(changed, self._search.results, self._merged, facts)
        return cover_all_code(unjudged, changed), unjudged


def removed_promises(
    merge: RunningMerge, files: Sequence[str] = ()
) -> Mapping[str, tuple[str, ...]]:
    """Return the promised files that workers created, but that the job's result lacks.

    Keys: worker ids; values: the worker's files. ``files``: the files that the result changes.
    """
    workers = [each for each in merge.workers if each.belongs_to_result and not each.is_adviser]
    without_worktree = [each for each in workers if not has_worktree(each)]
    removed = {
        each.id: merge.without_worktree.removed(each, merge.tasks[each.task_id], without_worktree)
        for each in without_worktree
    }
    if merge.record.commit:
        result = merge.repository.gate_files(merge.record.commit)
        for worker in workers:
            if worker.id in merge.record.merged and has_worktree(worker):
                writes = merge.tasks[worker.task_id].writes
                unchanged = [path for path in writes if not is_delivered(path, files)]
                absent = [path for path in unchanged if not is_delivered(path, result.paths())]
                removed[worker.id] = _created_paths(merge, worker, absent)
    lacking = {
        name: tuple(path for path in paths if not is_delivered(path, files))
        for name, paths in removed.items()
    }
    return {name: paths for name, paths in lacking.items() if paths}


def _created_paths(merge: RunningMerge, worker: Worker, promised: Sequence[str]) -> tuple[str, ...]:
    """Return the promised files that the worker's branch has."""
    branch = worker_branch(worker)
    created = merge.repository.gate_files(branch).paths() if promised else ()
    return tuple(path for path in promised if is_delivered(path, created))
