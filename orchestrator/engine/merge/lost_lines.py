"""Finds workers whose lines were replaced by the lines of another worker in a merge."""

from dataclasses import replace

from orchestrator.core.model.job import Worker
from orchestrator.core.repository.git_refs import worker_branch
from orchestrator.core.repository.repository import FileConflict, LostHunk, Repository
from orchestrator.engine.worktrees.working_directories import Worktrees


class LostLines:
    """Finds the workers whose lines a merge replaced.

    Call ``add`` for each worker, in the order in which the workers are merged.
    """

    def __init__(self, repository: Repository, worktrees: Worktrees, base: str) -> None:
        self._repository = repository
        self._worktrees = worktrees
        self._base = base
        self._before: list[Worker] = []
        self._origins: dict[str, str] = {}
        self._touched: dict[str, frozenset[str]] = {}

    def add(self, worker: Worker) -> None:
        self._before.append(worker)

    def with_writers(self, conflict: FileConflict) -> FileConflict:
        """Return the conflict, with the writers of each lost hunk in the hunk's field ``workers``.

        If a hunk's writers are unknown, the field has all workers that changed the file and that
        were passed to ``add``.
        """
        if not conflict.lost:
            return conflict
        lost = (
            replace(each, workers=self._workers_that_lost(conflict.path, each))
            for each in conflict.lost
        )
        return replace(conflict, lost=tuple(lost))

    def _workers_that_lost(self, path: str, lost: LostHunk) -> tuple[str, ...]:
        by_line = dict.fromkeys(filter(None, map(self._cached_writer, lost.commits)))
        if by_line:
            return tuple(by_line)
        return tuple(each.id for each in self._before if path in self._changed_paths(each))

    def _cached_writer(self, commit: str) -> str:
        if commit not in self._origins:
            self._origins[commit] = self._writer_of(commit)
        return self._origins[commit]

    def _writer_of(self, commit: str) -> str:
        contains = self._repository.contains
        if contains(self._base, commit):
            return ""
        tips = ((each.id, self._repository.commit_of(worker_branch(each))) for each in self._before)
        return next((name for name, tip in tips if tip and contains(tip, commit)), "")

    def _changed_paths(self, worker: Worker) -> frozenset[str]:
        if worker.id not in self._touched:
            self._touched[worker.id] = frozenset(self._worktrees.touched(worker, self._base))
        return self._touched[worker.id]
