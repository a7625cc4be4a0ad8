"""Checks after an attempt whether promised paths exist, and saves files that git ignores."""

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from glob import iglob
from itertools import chain

from orchestrator.core.gates.file_kinds import is_written_by_people
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.delivered_work import (
    HeldBack,
    is_delivered,
    normalized,
)
from orchestrator.core.model.job import TaskSpec, Worker
from orchestrator.core.ports import Workspace
from orchestrator.core.repository.repository import Repository

#: Subdirectory of a worker's directory with saved files: promised files and new sources that git
#: ignores, and large uncommitted files.
SAVED = "files"
#: Maximum number of files that are saved individually.
MOST_SAVED = 1000
#: Names of directories with files that builds, tests, and package managers create. ``is_foreign``
#: knows further directories.
_OUTPUT = frozenset(
    {
        *("target", "out", "obj", "coverage", "htmlcov", "tmp", "temp", "test-results"),
        *("playwright-report", "deps", "Pods", "bower_components"),
    }
)


@dataclass(frozen=True, slots=True)
class PromiseCheck:
    """The outcome of ``Promises.check``: missing paths, ignored paths, and saved files."""

    #: Promised paths that do not exist.
    missing: tuple[str, ...] = ()
    #: Promised paths without a committed file, because git ignores all their files.
    ignored: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()


class Promises:
    def __init__(self, repository: Repository, workspace: Workspace) -> None:
        self._repository = repository
        self._workspace = workspace

    def check(
        self, worker: Worker, task: TaskSpec, directory: str, start: str, tip: str
    ) -> PromiseCheck:
        """Find promised paths that a worktree lacks, and save promised files that git ignores.

        The caller must first commit all changes of the worktree. A path that the worker removed
        does not count as missing. A link to a file outside the worktree counts as missing.
        Idempotent. Raise RepositoryError if git fails, or OSError if a file cannot be saved.

        ``start``, ``tip``: the worker's start commit and branch head.
        """
        if not task.writes:
            return PromiseCheck()
        project_directory = self._repository.project_path(directory)
        prefix = os.path.relpath(project_directory, directory)
        touched = [
            os.path.relpath(path, prefix)
            for path in self._repository.differing_paths(start or tip, tip)
            if not is_hollow(directory, path)
        ]
        lacking = [each for each in task.writes if not is_delivered(each, touched)]
        if not lacking:
            return PromiseCheck()
        ignored = self._repository.ignored_files(directory, [normalized(each) for each in lacking])
        missing = [
            each
            for each in lacking
            if not _is_fulfilled(directory, project_directory, normalized(each))
        ]
        committed = self._repository.gate_files(tip).paths() if ignored else ()
        uncommitted = (
            each
            for each in lacking
            if is_delivered(each, ignored) and not is_delivered(each, committed)
        )
        saved = self._save(worker, project_directory, ignored[:MOST_SAVED])
        return PromiseCheck(tuple(missing), tuple(uncommitted), tuple(saved))

    def save_sources(
        self, worker: Worker, directory: str, ignored: Iterable[str]
    ) -> tuple[str, ...]:
        """Save new sources and documents that git ignores. Return the saved files. Idempotent.

        ``ignored``: all new files that git ignores.
        """
        candidates = (each for each in ignored if is_written_by_people(each))
        sources = [each for each in candidates if _OUTPUT.isdisjoint(each.split("/")[:-1])]
        return tuple(
            self._save(worker, self._repository.project_path(directory), sources[:MOST_SAVED])
        )

    def save_held_back(
        self, worker: Worker, directory: str, held: Sequence[HeldBack]
    ) -> tuple[HeldBack, ...]:
        """Save uncommitted files that no command can create again. Idempotent.

        ``held``: files that are not committed. Return ``held`` with the outcome for each file.
        """
        project_directory = self._repository.project_path(directory)
        prefix = os.path.relpath(project_directory, directory)

        def with_outcome(each: HeldBack) -> HeldBack:
            path = os.path.relpath(each.path, prefix)
            is_here = each.rule.is_of_a_file and not path.startswith("../")
            return replace(
                each, saved=is_here and bool(self._save(worker, project_directory, [path]))
            )

        return tuple(map(with_outcome, held))

    def _save(self, worker: Worker, project_directory: str, paths: Sequence[str]) -> list[str]:
        saved_directory = f"{self._workspace.worker_directory(worker)}/{SAVED}"
        return [
            path
            for path in paths
            if _copy_file(
                f"{project_directory}/{path}", f"{saved_directory}/{path}", project_directory
            )
        ]


def _is_fulfilled(directory: str, project_directory: str, path: str) -> bool:
    """True if a promised path, which may be a pattern, has a file in the worktree."""
    matches = (
        f"{project_directory}/{each}"
        for each in iglob(path, root_dir=project_directory, recursive=True)
    )
    paths = chain([f"{project_directory}/{path}"], matches)
    return any(is_inside(each, directory) and _has_file(each) for each in paths)


def _has_file(path: str) -> bool:
    # A directory without files does not count, because git does not commit such a directory.
    return not os.path.isdir(path) or any(files for _, _, files in os.walk(path))


def is_hollow(directory: str, path: str) -> bool:
    """True if ``path`` is a link whose target is missing, or is outside of ``directory``.

    A commit then contains the link, but not the file.
    """
    full_path = f"{directory}/{path}"
    return os.path.islink(full_path) and not is_inside(full_path, directory)


def is_inside(path: str, directory: str) -> bool:
    top = os.path.realpath(directory)
    return os.path.exists(path) and f"{os.path.realpath(path)}/".startswith(f"{top}/")


def _copy_file(source: str, target: str, directory: str) -> bool:
    if not is_inside(source, directory) or os.path.islink(source) or not os.path.isfile(source):
        return False
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    with suppress(FileNotFoundError):
        os.unlink(target)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # The target is on another file system, or the file system has no hard links.
        shutil.copy2(source, target, follow_symlinks=False)
    return True
