"""What workers change in the user's checkout whose task says ``workdir: project``."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from orchestrator.core.model import Worker
from orchestrator.core.ports import Workspace
from orchestrator.core.repository import Checkout, Repository
from orchestrator.engine.worktrees import LEFT, MOST_FILES, Changes
from orchestrator.security.paths import read_regular, write_private

#: Without a repository more files than this are not compared.
MOST_COMPARED = 200_000
RECORD_BYTES = 256 * 1024 * 1024
#: Directories that tools fill.
_PASSED_OVER = frozenset({".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__"})

#: What the user had changed before is not the worker's: the state before each attempt is a file
#: beside the attempt's exit record, so that the next server compares with it, too.
_NAME = "{}.project.json"


class ProjectWork:
    """Any thread may call."""

    def __init__(self, project: Path, home: Path, repository: Repository, space: Workspace) -> None:
        self.project = project
        self._home = home
        self._repository = repository
        self._workspace = space

    def begin(self, worker: Worker) -> None:
        """Note the state before an attempt. Idempotent. Raise OSError or RepositoryError."""
        os.makedirs(self._workspace.prepare_worker(worker, {}), 0o700, exist_ok=True)
        now = self._now()
        path = Path(self._path(worker, worker.attempt))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        record = {"files": dict(now.files), "commit": now.commit}
        write_private(path, json.dumps(record).encode("utf-8", "surrogateescape"))

    def changes(self, worker: Worker) -> Changes:
        """What differs since then: in all attempts, and whether the latest did any of it."""
        before = self._before(worker, worker.attempt)
        if before is None:
            return Changes((), changed=False)
        now = self._now()
        latest = self._different(before, now)
        moved = self._take_left(worker, before, now) if latest else set()
        first = self._before(worker, 1) or before
        found = {*self._different(first, now), *latest} - moved
        files = sorted(each for each in found if os.path.lexists(self.project / each))
        own = tuple(files[:MOST_FILES])
        return Changes(own, changed=bool(latest - moved), has_work=bool(found))

    def _different(self, before: Checkout, now: Checkout) -> set[str]:
        names = {*before.files, *now.files}
        found = {each for each in names if before.files.get(each) != now.files.get(each)}
        if before.commit and now.commit and before.commit != now.commit:
            committed = self._repository.changed(before.commit, now.commit)
            found |= {os.path.relpath(each, f"./{now.prefix}") for each in committed}
        return found

    def _take_left(self, worker: Worker, before: Checkout, now: Checkout) -> set[str]:
        """Its report is for the orchestrator, unless the project has such a file itself."""
        made = {name for name in LEFT if name in now.files and name not in before.files}
        untracked = {name for name in made if not now.commit or now.files[name].startswith("? ")}
        for name in untracked:
            shutil.move(self.project / name, f"{self._workspace.worker_directory(worker)}/{name}")
        return untracked

    def _now(self) -> Checkout:
        found = self._repository.checkout_files()
        if found is not None:
            return found
        ours = (str(self._home), str(self._workspace.job_directory("x").parent))
        walk = _walk(str(self.project), "", lambda path: path in ours)
        return Checkout(dict(islice(walk, MOST_COMPARED)))

    def _before(self, worker: Worker, attempt: int) -> Checkout | None:
        try:
            found = json.loads(read_regular(Path(self._path(worker, attempt)), RECORD_BYTES) or b"")
            files: Mapping[str, str] = found["files"]
            return Checkout(files, str(found["commit"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _path(self, worker: Worker, attempt: int) -> str:
        return _NAME.format(self._workspace.control(worker, attempt))


def _walk(directory: str, prefix: str, is_ours: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda each: each.name)
    except OSError:
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            is_cache = entry.name in _PASSED_OVER or entry.name.endswith("_cache")
            if not is_cache and not is_ours(entry.path):
                yield from _walk(entry.path, f"{name}/", is_ours)
        else:
            seen = entry.stat(follow_symlinks=False)
            yield name, f"{seen.st_size} {seen.st_mtime_ns}"
