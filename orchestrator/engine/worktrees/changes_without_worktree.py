"""Finds changes by workers without a worktree, in the project and in the workers' directories."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import IntEnum
from glob import iglob
from itertools import chain, islice
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.model.attempt.delivered_work import is_delivered, normalized
from orchestrator.core.model.job import TaskSpec, Worker
from orchestrator.core.outcome.shortage_errors import is_shortage
from orchestrator.core.ports import Workspace
from orchestrator.core.repository.repository import Checkout, Repository
from orchestrator.core.text.path_patterns import matches
from orchestrator.engine.worktrees.promised_paths import is_hollow, is_inside
from orchestrator.engine.worktrees.user_checkout_changes import is_in_span
from orchestrator.engine.worktrees.worker_branches import MOST_FILES
from orchestrator.engine.worktrees.worker_changes import WorkerChanges
from orchestrator.engine.worktrees.worker_worktrees import REPORT_NAMES
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.json_file import read_object

logger = logging.getLogger(__name__)

#: Maximum number of files that are compared without a repository.
MOST_COMPARED = 200_000
RECORD_BYTES = 256 * 1024 * 1024
#: Maximum number of files of a promised directory that are checked.
MOST_SOUGHT = 10_000
#: Names of directories that tools fill. These directories are not searched.
_TOOL_DIRECTORIES = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__"}
)

#: Path of the file with the project's state before an attempt: the path of the attempt's control
#: directory, with a suffix. Because of this file, changes that the user made before the attempt do
#: not count as the worker's changes. If the server is restarted, the next server reads the file.
_NAME = "{}.project.json"


class _Promise(IntEnum):
    """State of a promised path, from worst to best."""

    MISSING = 0
    #: The file exists, but nothing shows that the worker wrote it.
    EXISTING = 1
    WRITTEN = 2


class ChangesWithoutWorktree:
    """Finds the changes of workers without a worktree. Any thread may call."""

    def __init__(
        self,
        project: Path,
        home: Path,
        repository: Repository,
        workspace: Workspace,
        never_commit: Sequence[str],
    ) -> None:
        """``never_commit``: patterns of new files that do not count as changes, such as caches."""
        self.project = project
        self._never_commit = never_commit
        self._home = home
        self._repository = repository
        self._workspace = workspace

    def begin(self, worker: Worker) -> None:
        """Record the project's state before an attempt that works in the user's checkout.

        Raise RepositoryError if git fails, or OSError if the state cannot be stored. Idempotent.
        """
        os.makedirs(self._workspace.prepare_worker(worker, {}), 0o700, exist_ok=True)
        state = self._present_state()
        path = Path(self._record_path(worker, worker.attempt))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        record = {"files": dict(state.files), "commit": state.commit}
        replace_file(path, json.dumps(record).encode("utf-8", "surrogateescape"))

    def watch(self, worker: Worker) -> None:
        """Record the project's state before an attempt that works in a plain directory.

        If the disk is full, raise the error. Any other error is only logged.
        """
        try:
            self.begin(worker)
        except (RepositoryError, OSError) as error:
            if is_shortage(error):
                raise
            logger.warning(
                "cannot read the state of the project", extra={"worker": worker.id}, exc_info=True
            )

    def changes(self, worker: Worker, task: TaskSpec) -> WorkerChanges:
        """Return the changes in the project since the worker's first attempt.

        The field ``changed`` is True if a file has changed since the start of the latest attempt.
        The fields ``changed`` and ``touched`` ignore new files that are never committed, such as
        caches.
        """
        promised_paths = {normalized(each) for each in task.writes}
        reports = [each for each in REPORT_NAMES if each not in promised_paths]
        project_paths, has_changed, work = self._changes_in_project(worker, reports)
        files = sorted(each for each in project_paths if os.path.lexists(self.project / each))
        promises = [
            self._promise_state(worker, each, str(self.project), project_paths)
            for each in task.writes
        ]
        return WorkerChanges(
            tuple(files[:MOST_FILES]),
            changed=has_changed,
            has_work=bool(work) or _Promise.WRITTEN in promises,
            missing=_missing_promises(task, promises),
            touched=work,
        )

    def with_shared(self, changes: WorkerChanges, others: Sequence[Worker]) -> WorkerChanges:
        """Return ``changes``, with the field ``checkout`` set.

        The field lists the files in ``changes`` that ``others`` may have changed, too. All removed
        files are listed, because the time of a removal is unknown. ``others``: workers that ran at
        the same time; if there are none, no file is listed.
        """
        paths = sorted({*changes.files, *changes.touched}) if others else []
        times = {path: _changed_at(str(self.project / path)) for path in paths}
        shared = [
            path
            for path in paths
            if not times[path] or any(_worked_at(each, times[path]) for each in others)
        ]
        return replace(changes, checkout=tuple(shared[:MOST_FILES]))

    def is_older(self, path: str, at: float) -> bool:
        """True if a file of the project exists, and has not changed since the Unix time ``at``."""
        written_at = _changed_at(str(self.project / path))
        return 0.0 < written_at <= at

    def removed(self, worker: Worker, task: TaskSpec, others: Iterable[Worker]) -> tuple[str, ...]:
        """Return the promised files that the worker wrote, and that were removed later.

        A file counts as removed if it is in none of these directories: the project, the worker's
        directory, and the directories of the ``others``. Files that existed before the worker began
        are omitted, because their removal is a visible change of the project. After an error, which
        is logged, return no files.
        """
        missing = worker.delivery.missing if worker.delivery else task.writes

        def exists(path: str) -> bool:
            # Use a generator, so that the search ends early in a job with thousands of workers.
            homes = (self._workspace.worker_directory(each) for each in chain([worker], others))
            directories = chain([str(self.project)], homes)
            return any(any(_existing_paths(each, normalized(path))) for each in directories)

        absent_paths = [path for path in task.writes if path not in missing and not exists(path)]
        state_before = self._recorded_state(worker, 1) if absent_paths else None
        if state_before is None:
            return ()
        try:
            changed_paths = self._different_paths(state_before, self._present_state())
        except (RepositoryError, OSError):
            logger.warning(
                "cannot read the state of the project", extra={"worker": worker.id}, exc_info=True
            )
            return ()
        return tuple(path for path in absent_paths if not is_delivered(path, changed_paths))

    def own_changes(
        self, worker: Worker, task: TaskSpec, before: Mapping[str, object], *, builds: bool
    ) -> WorkerChanges:
        """Return a worker's changes in its plain directory and in the project.

        Changes in the project are found only if ``watch`` has recorded the project's state before
        the attempt.

        ``before``: the files of the directory before the attempt. ``builds``: True if the agent is
        expected to change files. The field ``touched`` has the files that gates judge. It includes
        the files in the directory only if ``builds`` is True, or if the project has no git
        repository.
        """
        files = self._workspace.snapshot(worker, task.writes)
        try:
            project_paths, project_changed, project_work = self._changes_in_project(worker)
        except (RepositoryError, OSError):
            logger.warning(
                "cannot read the state of the project", extra={"worker": worker.id}, exc_info=True
            )
            project_paths, project_changed, project_work = set(), False, ()
        directory = self._workspace.worker_directory(worker)
        promises = [
            max(
                self._promise_state(worker, each, directory, files),
                self._promise_state(worker, each, "", project_paths),
            )
            for each in task.writes
        ]
        work, work_before = self._without_caches(files), self._without_caches(before)
        is_result = builds or (bool(files) and not self._repository.exists())
        result = work if is_result else ()
        return WorkerChanges(
            tuple(files),
            changed=work != work_before or project_changed,
            has_work=bool(work or project_work) or _Promise.WRITTEN in promises,
            missing=_missing_promises(task, promises),
            checkout=tuple(sorted(project_paths)),
            touched=(*result, *project_work),
        )

    def _changes_in_project(
        self, worker: Worker, reports: Sequence[str] = ()
    ) -> tuple[set[str], bool, tuple[str, ...]]:
        """Return three values about changes in the project.

        1. All paths that have changed since the start of the worker's first attempt.
        2. True if one of the paths in value 3 has changed since the start of the latest attempt.
        3. The paths in value 1, without new files that are never committed, such as caches of
           tools. Sorted.

        If the project's state was not recorded, the values are empty or False. ``reports``: names
        of the worker's reports. If the worker wrote reports into the project, move the reports to
        its directory, and omit their paths.
        """
        attempt_state = self._recorded_state(worker, worker.attempt)
        if attempt_state is None:
            return set(), False, ()
        present_state = self._present_state()
        latest_paths = self._different_paths(attempt_state, present_state)
        moved_reports = (
            self._move_reports(worker, reports, attempt_state, present_state)
            if latest_paths
            else set()
        )
        first_state = self._recorded_state(worker, 1) or attempt_state
        changed_paths = {
            *self._different_paths(first_state, present_state),
            *latest_paths,
        } - moved_reports
        work = sorted(
            each
            for each in changed_paths
            if not self._is_never_committed(each, present_state, first_state)
        )
        return changed_paths, not (latest_paths - moved_reports).isdisjoint(work), tuple(work)

    def _without_caches(self, files: Mapping[str, object]) -> Mapping[str, object]:
        return {
            path: stamp for path, stamp in files.items() if not matches(path, self._never_commit)
        }

    def _is_never_committed(
        self, path: str, present_state: Checkout, first_state: Checkout
    ) -> bool:
        status = present_state.files.get(path) or first_state.files.get(path, "")
        is_new = status.startswith("? ") or not present_state.commit
        return is_new and matches(path, self._never_commit)

    def _promise_state(
        self, worker: Worker, promised: str, directory: str, touched: Iterable[str]
    ) -> _Promise:
        """Return the state of a promised path: written, existing, or missing.

        In the project, a file that existed before the worker's start counts as missing. A link to a
        file outside the searched directory also counts as missing.

        ``directory``: the directory to search; "" for the project. ``touched``: changed paths in
        this directory.
        """
        top = directory or str(self.project)
        if is_delivered(promised, [each for each in touched if not is_hollow(top, each)]):
            return _Promise.WRITTEN
        # Take the start time from a file, because the file system may use another clock.
        started_at = _changed_at(self._record_path(worker, 1))
        existing_paths = [*_existing_paths(top, normalized(promised))]
        # ``touched`` does not contain files that git ignores. Compare the times of such files.
        if started_at and any(_changed_at(each) >= started_at for each in existing_paths):
            return _Promise.WRITTEN
        return _Promise.EXISTING if directory and existing_paths else _Promise.MISSING

    def _different_paths(self, before: Checkout, now: Checkout) -> set[str]:
        names = {*before.files, *now.files}
        paths = {each for each in names if before.files.get(each) != now.files.get(each)}
        if before.commit and now.commit and before.commit != now.commit:
            committed_paths = self._repository.changed_paths(before.commit, now.commit)
            paths |= {os.path.relpath(each, f"./{now.prefix}") for each in committed_paths}
        return paths

    def _move_reports(
        self, worker: Worker, reports: Sequence[str], before: Checkout, now: Checkout
    ) -> set[str]:
        new_reports = {name for name in reports if name in now.files and name not in before.files}
        untracked = {
            name for name in new_reports if not now.commit or now.files[name].startswith("? ")
        }
        for name in untracked:
            shutil.move(self.project / name, f"{self._workspace.worker_directory(worker)}/{name}")
        return untracked

    def _present_state(self) -> Checkout:
        checkout = self._repository.checkout_files()
        if checkout is not None:
            return checkout
        product_directories = (str(self._home), str(self._workspace.job_directory("x").parent))
        walk = _walk(str(self.project), "", lambda path: path in product_directories)
        return Checkout(dict(islice(walk, MOST_COMPARED)))

    def _recorded_state(self, worker: Worker, attempt: int) -> Checkout | None:
        record = read_object(self._record_path(worker, attempt), RECORD_BYTES) or {}
        try:
            files: Mapping[str, str] = record["files"]
            return Checkout(files, str(record["commit"]))
        except (ValueError, KeyError, TypeError):
            return None

    def _record_path(self, worker: Worker, attempt: int) -> str:
        return _NAME.format(self._workspace.control(worker, attempt))


def _worked_at(worker: Worker, at: float) -> bool:
    return is_in_span(at, worker.started_at or 0.0, worker.ended_at)


def _missing_promises(task: TaskSpec, promises: Sequence[_Promise]) -> tuple[str, ...]:
    pairs = zip(task.writes, promises, strict=True)
    return tuple(path for path, state in pairs if state is _Promise.MISSING)


def _existing_paths(directory: str, path: str) -> Iterator[str]:
    exists = os.path.lexists(f"{directory}/{path}")
    names = iter([path]) if exists else iglob(path, root_dir=directory, recursive=True)
    for name in islice(names, MOST_SOUGHT):
        full_path = f"{directory}/{name}"
        if not is_inside(full_path, directory):
            continue
        yield full_path
        files_below = (f"{top}/{each}" for top, _, files in os.walk(full_path) for each in files)
        yield from islice(files_below, MOST_SOUGHT)


def _changed_at(path: str) -> float:
    """Return the Unix time at which a file changed; 0.0 if the file does not exist."""
    try:
        return os.lstat(path).st_ctime
    except (OSError, ValueError):
        return 0.0


def _walk(
    directory: str, prefix: str, is_product: Callable[[str], bool]
) -> Iterator[tuple[str, str]]:
    """Yield the path and the state of the files below a directory.

    Omit caches, directories of tools such as ``node_modules``, and directories for which
    ``is_product`` returns True: those with the product's own files.
    """
    try:
        with os.scandir(directory) as scan:
            entries = sorted(scan, key=lambda each: each.name)
    except OSError:
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            is_cache = entry.name in _TOOL_DIRECTORIES or entry.name.endswith("_cache")
            if not is_cache and not is_product(entry.path):
                yield from _walk(entry.path, f"{name}/", is_product)
        else:
            status = entry.stat(follow_symlinks=False)
            yield name, f"{status.st_size} {status.st_mtime_ns}"
