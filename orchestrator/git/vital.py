"""What git needs to take a directory for the repository that it is: kept, and put back.

It belongs to the user and to all worktrees, so a worker that breaks it would have all the others
fail. Only what git cannot work with is put back: all else may be what the user meant.
"""

import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.git.noted import note_once
from orchestrator.git.running import ITSELF, Git
from orchestrator.git.vital_files import Before, configure, deciding, present, read, written
from orchestrator.security.paths import read_regular

#: In a root job's directory: files and refs as they were, and a directory for what was broken.
NAME = "repository-before.json"
REFS = "refs-before"
ASIDE = "repository-broken"
#: There: a line for each time.
_TOLD = "told.txt"
_MOST_BYTES = 1024 * 1024
#: Seconds after which it is looked once more: an editor may empty a file before it writes it.
PAUSE_SECONDS = 0.3
#: Root jobs share the repository.
_PUTTING_BACK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Vital:
    #: The root job's directory.
    job: Path

    def note(self, git: Git, common: Path) -> None:
        """As it is before any agent begins. Idempotent: what comes later does not count.

        Raise RepositoryError where git cannot work with it.
        """
        refs = ("for-each-ref", "--format=update %(refname) %(objectname)")
        note_once(self.job / REFS, lambda: git.run(*refs).out)
        note_once(self.job / NAME, lambda: written(git, common))

    def put_back(self) -> Sequence[str]:
        """All that was put back since then, in words. Idempotent."""
        before = read(self.job / NAME)
        if before is not None and not before.is_untouched():
            with _PUTTING_BACK:
                self._put_back(before)
        told = read_regular(self.job / ASIDE / _TOLD, _MOST_BYTES) or b""
        return list(dict.fromkeys(told.decode("utf-8", "replace").splitlines()))

    def _put_back(self, before: Before) -> None:
        if before.is_usable():
            return
        time.sleep(PAUSE_SECONDS)
        gone = list(before.missing())
        for path in gone:
            os.mkdir(path)
        for path in before.unusable():
            what = "could not be used by git" if os.path.lexists(path) else "was gone"
            kept = self._exchange(before, path)
            self._tell(before, path, what, f"it is as before the job{kept}")
        for path in before.configs:
            for mend in (self._settle, self._exchange_config):
                if not before.works():
                    mend(before, path)
        for path in gone:
            self._tell(before, path, "was gone", self._filled(before, path))

    def _settle(self, before: Before, path: str) -> None:
        """Only what decides: the rest of the configuration may be what somebody meant."""
        now, then = deciding(present(path) or b""), deciding(before.files[path] or b"")
        names = [name for name in {**now, **then} if now.get(name) != then.get(name)]
        if not names:
            return
        kept = self._copied(path)
        for name in names:
            configure(path, name, then.get(name))
        what = f"had {', '.join(names)} set so that git did not work"
        self._tell(before, path, what, f"that is as before the job{kept}")

    def _exchange_config(self, before: Before, path: str) -> None:
        """Unless it is something else that git cannot work with."""
        now = present(path)
        kept = self._exchange(before, path)
        if before.works():
            said = f"it is as before the job{kept}"
            self._tell(before, path, "had settings with which git did not work", said)
        elif now is not None:
            _write(path, now, before.modes.get(path, 0o644))

    def _filled(self, before: Before, directory: str) -> str:
        """One that was missing; what is in it then, in words."""
        if not directory.endswith("/refs"):
            return "it is empty now"
        refs = read_regular(self.job / REFS, 64 * _MOST_BYTES) or b""
        with suppress(RepositoryError):
            Git(before.top, {}).run("update-ref", *ITSELF, "--stdin", given=refs)
            return "branches and tags are as before the job"
        return "branches and tags are lost"

    def _exchange(self, before: Before, path: str) -> str:
        """Where it is kept, in words."""
        kept = ""
        if os.path.lexists(path):
            kept = self._copied(path) if present(path) is not None else self._moved(path)
        content = before.files[path]
        if content is None:
            Path(path).unlink(missing_ok=True)
        else:
            _write(path, content, before.modes.get(path, 0o644))
        return kept

    def _copied(self, path: str) -> str:
        place = self._free(path)
        shutil.copyfile(path, place, follow_symlinks=False)
        return f"; what was there is kept as {place}"

    def _moved(self, path: str) -> str:
        """What is no file that can be read; in a pipe there is nothing to keep."""
        if stat.S_ISFIFO(os.lstat(path).st_mode):
            os.unlink(path)
            return ""
        place = self._free(path)
        shutil.move(path, place)
        return f"; what was there is kept as {place}"

    def _free(self, path: str) -> str:
        """A path for it in the job's directory."""
        (self.job / ASIDE).mkdir(exist_ok=True, mode=0o700)
        number = 1
        while os.path.lexists(place := f"{self.job / ASIDE}/{os.path.basename(path)}-{number}"):
            number += 1
        return place

    def _tell(self, before: Before, path: str, what: str, now: str) -> None:
        """In the reports of all jobs whose workers may have done it."""
        at_work = _at_work(self.job.parent)
        line = f"{os.path.relpath(path, before.top)} {what}: {now}"
        for job in {self.job, *(each.parents[2] for each in at_work)}:
            (job / ASIDE).mkdir(exist_ok=True, mode=0o700)
            with (job / ASIDE / _TOLD).open("a", encoding="utf-8", errors="replace") as file:
                file.write(f"{line}{_who(job, at_work)}\n")


def put_back_at_work(workspace: Path) -> None:
    """What any job needs that has a worker with a worktree."""
    for job in dict.fromkeys(each.parents[2] for each in _at_work(workspace)):
        Vital(job).put_back()


def _at_work(workspace: Path) -> Sequence[Path]:
    return sorted(workspace.glob("job_*/depth_*/*/worktree"))


def _who(job: Path, at_work: Sequence[Path]) -> str:
    own = [each.parent.name for each in at_work if each.parents[2] == job]
    others = [
        f"{each.parent.name} of {each.parents[2].name}"
        for each in at_work
        if each.parents[2] != job
    ]
    names = ", ".join([*own, *others])
    return f" (workers with a worktree at that time: {names})" if names else ""


def _write(path: str, content: bytes, mode: int) -> None:
    """Whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
    os.replace(temporary, path)
