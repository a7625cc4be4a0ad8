"""Reads what workers changed, from the commits of their branches."""

from collections.abc import Collection, Sequence

from orchestrator.core.model.job import Worker
from orchestrator.core.repository.git_refs import (
    ChildResult,
    branch_of,
    child_refs,
    child_results,
    start_ref,
    worker_branch,
)
from orchestrator.core.repository.repository import Repository

#: Maximum number of files that are listed individually.
MOST_FILES = 10_000


class WorkerBranches:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def omitted(self, worker: Worker, dependencies: Sequence[str]) -> tuple[str, ...]:
        """Return the dependencies whose changes are not in the worker's start commit.

        These changes conflict with changes of other dependencies.

        ``dependencies``: ids of the workers that ran the dependencies. Raise RepositoryError if git
        fails.
        """
        if len(dependencies) < 2:
            # The changes of a single dependency cannot conflict.
            return ()
        start = self._repository.commit_of(start_ref(worker))
        tips = [
            self._repository.commit_of(branch_of(worker.root_id, each)) for each in dependencies
        ]
        return tuple(
            each
            for each, tip in zip(dependencies, tips, strict=True)
            if tip and start and not self._repository.contains(start, tip)
        )

    def patch(self, worker: Worker, most_bytes: int) -> str:
        """Return an ended worker's changes as a patch of at most ``most_bytes`` bytes.

        Return "" if the worker had no worktree.
        """
        start = self._repository.commit_of(start_ref(worker))
        tip = self._repository.commit_of(worker_branch(worker))
        return self._repository.patch(start, tip, most_bytes) if start and tip else ""

    def has_moved(self, worker: Worker) -> bool:
        """True if the worker's branch has moved since the worker's latest attempt.

        For example, a person has committed on the branch.
        """
        last_commit = worker.delivery.commit if worker.delivery else ""
        return (
            bool(last_commit) and self._repository.commit_of(worker_branch(worker)) != last_commit
        )

    def span(self, worker: Worker) -> tuple[str, str]:
        """Return the worker's start commit and its branch head.

        Without a stored start commit, both values are the branch head; "" without a branch. Raise
        RepositoryError if git fails.
        """
        tip = self._repository.commit_of(worker_branch(worker))
        return self._repository.commit_of(start_ref(worker)) or tip, tip

    def touched(self, worker: Worker, base: str = "") -> Collection[str]:
        """Return every path that the worker's branch changes or removes; empty without a branch.

        ``base``: the commit to compare with if the worker's start commit is not stored. Raise
        RepositoryError if git fails.
        """
        start = self._repository.commit_of(start_ref(worker)) or base
        tip = self._repository.commit_of(worker_branch(worker))
        return self._repository.differing_paths(start, tip) if start and tip else ()

    def own_files(self, worker: Worker) -> Sequence[str]:
        """Return the files that the worker's branch changes, at most ``MOST_FILES``.

        Files that only child jobs changed are omitted.
        """
        start = self._repository.commit_of(start_ref(worker))
        tip = self._repository.commit_of(worker_branch(worker))
        child_files = self.files_of_children(worker, start, tip)
        files = self._repository.changed_paths(start or tip, tip)
        return tuple(each for each in files if each not in child_files)[:MOST_FILES]

    def files_of_children(self, worker: Worker, start: str, tip: str) -> set[str]:
        """Return the files that only the worker's child jobs changed or removed.

        Files that the worker itself also changed are omitted. ``start``, ``tip``: the worker's
        start commit and branch head; "" without a worktree.
        """
        child_paths: set[str] = set()
        for child in self.children(worker):
            paths = set(self._repository.differing_paths(child.base, child.result))
            # Without a worktree, ``start`` and ``tip`` are empty. The worker itself then changed no
            # file.
            paths -= set(self._repository.differing_paths(start, child.base)) if start else set()
            child_paths |= paths - (
                set(self._repository.differing_paths(child.result, tip)) if tip else set()
            )
        return child_paths

    def children(self, worker: Worker) -> list[ChildResult]:
        return child_results(self._repository.commits_below(child_refs(worker.root_id, worker.id)))
