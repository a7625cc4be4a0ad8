"""Restores the files by which git recognizes a repository: HEAD, configuration, branches, and tags.

All worktrees share these files, so one broken file would stop all workers. Only files that git
cannot use are restored, because any other change may be the user's intention. Broken files are
saved in the job's directory, with a list of the repairs.
"""

import os
import shutil
import stat
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.git.command.frozen_config import write_once
from orchestrator.git.command.runner import ITSELF, Git
from orchestrator.git.commits.commit_creation import unused_name
from orchestrator.git.repair.git_directory_snapshot import (
    GitDirectorySnapshot,
    admin_of,
    configure,
    deciding,
    read,
    regular_content,
    snapshot_json,
)
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.untrusted_files import read_regular

#: Name of the directory with broken files in a root job's directory.
BROKEN = "repository-broken"
#: Name of a file in the directory ``BROKEN``, with one line for each repair.
_NOTES = "told.txt"
_MOST_NOTE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BrokenFiles:
    #: The root job's directory.
    job: Path

    def notes(self) -> list[str]:
        content = read_regular(self.job / BROKEN / _NOTES, _MOST_NOTE_BYTES) or b""
        return list(dict.fromkeys(content.decode("utf-8", "replace").splitlines()))

    def note(self, line: str) -> None:
        """Record a repair in the directory of each job whose workers may have broken the file.

        The reports of these jobs show the record. ``line``: a text about the repair.
        """
        working = worktrees_of_jobs(self.job.parent)
        for job in {self.job, *(each.parents[2] for each in working)}:
            (job / BROKEN).mkdir(exist_ok=True, mode=0o700)
            with (job / BROKEN / _NOTES).open("a", encoding="utf-8", errors="replace") as file:
                file.write(f"{line}{_active_workers(job, working)}\n")

    def save(self, path: str) -> str:
        """Save a broken file in the job's directory, so that a new file can replace it.

        Return a text for the end of a message, with the path of the copy; "" if there is no copy.
        """
        if not os.path.lexists(path):
            return ""
        (self.job / BROKEN).mkdir(exist_ok=True, mode=0o700)
        place = unused_name(f"{self.job / BROKEN}/{os.path.basename(path)}")
        mode = os.lstat(path).st_mode
        if stat.S_ISFIFO(mode):
            # A FIFO has no content to save.
            os.unlink(path)
            return ""
        if stat.S_ISREG(mode) and os.access(path, os.R_OK):
            shutil.copyfile(path, place)
        else:
            shutil.move(path, place)
        return f"; the former content is saved as {place}"


def worktrees_of_jobs(workspace: Path) -> Sequence[Path]:
    return sorted(workspace.glob("job_*/depth_*/*/worktree"))


def _active_workers(job: Path, working: Sequence[Path]) -> str:
    own = [each.parent.name for each in working if each.parents[2] == job]
    others = [
        f"{each.parent.name} of {each.parents[2].name}"
        for each in working
        if each.parents[2] != job
    ]
    names = ", ".join([*own, *others])
    return f" (workers with a worktree at that time: {names})" if names else ""


#: Command that lists all refs. Its output has the format of the file ``packed-refs``.
_LIST_REFS = ("for-each-ref", "--format=%(objectname) %(refname)")


def refs_as_text(git: Git) -> bytes:
    """Return all refs as text, in the format of a packed-refs file.

    Raise RepositoryError if git recognizes no repository in the directory itself.
    """
    # The variable prevents git from using the repository of a parent directory.
    return git.run(*_LIST_REFS, env={"GIT_CEILING_DIRECTORIES": os.path.dirname(git.directory)}).out


def parsed_refs(content: bytes) -> dict[str, str]:
    """Return the refs in the content of a packed-refs file, with their commits.

    Invalid lines are omitted.
    """
    lines = content.decode("utf-8", "surrogateescape").split("\n")[:-1]
    pairs = (line.split(" ", 1) for line in lines if line[:1] not in ("#", "^"))
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2 and pair[1].startswith("refs/")}


def restore_refs(git: Git, refs: Mapping[str, str], *, missing: bool) -> None:
    """Set refs to their saved commits. A ref that cannot be set is skipped.

    ``missing``: True to restore only refs that no longer exist.
    """
    existing = parsed_refs(refs_as_text(git)) if missing else {}
    for name in refs.keys() - existing.keys():
        git.ask("update-ref", *ITSELF, name, refs[name])


#: Name of the file with the repository's snapshot from the job's start, in a root job's directory.
NAME = "repository-before.json"
REFS = "refs-before"
INDEX = "index-before"
_MOST_BYTES = 64 * 1024 * 1024
#: Maximum size of a saved index in bytes (about 150,000 files). A larger index is not saved with
#: every job.
_LARGEST_INDEX = 16 * 1024 * 1024
#: Seconds between the first and the second check of a file. An editor may empty a file before it
#: writes the new content.
PAUSE_SECONDS = 0.3
#: One lock for all root jobs, because they share the repository.
_RESTORING = threading.Lock()


@dataclass(frozen=True, slots=True)
class RepositoryBackup:
    #: The root job's directory.
    job: Path

    def note(self, git: Git, common: Path) -> None:
        """Back up the repository before any agent starts. Idempotent: only the first call writes.

        Raise RepositoryError if git cannot use the repository in its current state.
        """
        if (self.job / NAME).exists():
            return
        refs = refs_as_text(git)
        content = snapshot_json(git, common)
        index = f"{admin_of(git)}/index"
        write_once(self.job / REFS, lambda: refs)
        write_once(self.job / INDEX, lambda: _index_content(index))
        write_once(self.job / NAME, lambda: content)

    def restore(self) -> Sequence[str]:
        """Restore the repository. Idempotent.

        Return a text for each repair since the job's start. Raise RepositoryError if the repository
        no longer exists.
        """
        snapshot = read(self.job / NAME)
        if snapshot is not None and not snapshot.is_untouched():
            with _RESTORING:
                _Restoration(snapshot, BrokenFiles(self.job)).restore()
        return BrokenFiles(self.job).notes()


@dataclass(frozen=True, slots=True)
class _Restoration:
    before: GitDirectorySnapshot
    broken_files: BrokenFiles

    def restore(self) -> None:
        if not os.path.isdir(self.before.common):
            raise RepositoryError(f"the repository {self.before.common} no longer exists")
        if self.before.is_usable():
            return
        time.sleep(PAUSE_SECONDS)
        refs_are_gone = self._make_directories()
        for path in self.before.unusable():
            what = _fault(path, "could not be used by git")
            self._note(path, what, f"restored to its state before the job{self._exchange(path)}")
        for path in self.before.config_paths:
            for repair in (self._restore_deciding_settings, self._exchange_config):
                if not self.before.is_recognized():
                    repair(path)
        if self.before.is_recognized():
            if not self.before.can_read_index():
                self._exchange_index()
            if refs_are_gone or not self.before.can_read_refs():
                self._restore_refs(refs_are_gone)

    def _make_directories(self) -> bool:
        """Create missing directories. Return True if the directory of the refs was missing."""
        missing = list(self.before.missing())
        for path in missing:
            what = _fault(path, "was not a directory")
            copy_note = self.broken_files.save(path)
            if os.path.isfile(path):
                os.unlink(path)
            os.mkdir(path)
            content = "with its content from before the job" if path.endswith("/refs") else "empty"
            self._note(path, what, f"recreated {content}{copy_note}")
        # With a reftable, this directory is always empty.
        in_table = os.path.isdir(f"{self.before.common}/reftable")
        return f"{self.before.common}/refs" in missing and not in_table

    def _restore_deciding_settings(self, path: str) -> None:
        # Restore only the settings by which git recognizes the repository, because the user may
        # have changed other settings.
        now, then = deciding(regular_content(path) or b""), deciding(self.before.files[path] or b"")
        names = [name for name in {**now, **then} if now.get(name) != then.get(name)]
        if not names:
            return
        copy_note = self.broken_files.save(path)
        for name in names:
            configure(path, name, then.get(name))
        what = f"had invalid values of {', '.join(names)}"
        self._note(path, what, f"restored to their values before the job{copy_note}")

    def _exchange_config(self, path: str) -> None:
        # If git still fails with the saved configuration, another file is the cause, so undo the
        # exchange.
        now = regular_content(path)
        copy_note = self._exchange(path)
        if self.before.is_recognized():
            what = "had invalid settings"
            self._note(path, what, f"restored to its state before the job{copy_note}")
        elif now is not None:
            replace_file(Path(path), now, mode=self.before.modes.get(path, 0o644))

    def _exchange(self, path: str) -> str:
        copy_note, content = self.broken_files.save(path), self.before.files[path]
        if content is None:
            Path(path).unlink(missing_ok=True)
        else:
            replace_file(Path(path), content, mode=self.before.modes.get(path, 0o644))
        return copy_note

    def _exchange_index(self) -> None:
        path = self.before.index
        content = read_regular(self.broken_files.job / INDEX, _LARGEST_INDEX)
        if content:
            what = _fault(path, "could not be used by git")
            copy_note = self.broken_files.save(path)
            replace_file(Path(path), content, mode=0o644)
            self._note(path, what, f"restored to its state before the job{copy_note}")

    def _restore_refs(self, all_gone: bool) -> None:
        """Restore refs after a fault.

        ``all_gone``: True if the directory of the refs was missing. In this case, each ref gets its
        commit from before the job. A ref that was created since then gets the commit in its line of
        the packed-refs file.

        ``all_gone`` is False if the packed-refs file is broken. In this case, only missing refs are
        restored. Each gets the commit in its line of the packed-refs file. If the line is
        unreadable, the ref gets its commit from before the job.
        """
        git, path = Git(self.before.top, {}), self.before.packed_refs
        refs = parsed_refs(read_regular(self.broken_files.job / REFS, _MOST_BYTES) or b"")
        if all_gone and self.before.can_read_refs():
            restore_refs(git, refs, missing=False)
            return
        packed = parsed_refs(read_regular(path, _MOST_BYTES) or b"")
        copy_note = self.broken_files.save(path)
        Path(path).unlink(missing_ok=True)
        refs = {**packed, **refs} if all_gone else {**refs, **packed}
        restore_refs(git, refs, missing=not all_gone)
        what = "refs were restored; unreadable refs have their state before the job"
        self._note(path, "could not be used by git", f"{what}{copy_note}")

    def _note(self, path: str, what: str, now: str) -> None:
        self.broken_files.note(f"{os.path.relpath(path, self.before.top)} {what}: {now}")


def _fault(path: str, fault: str) -> str:
    """Return ``fault``, or "was removed" if nothing exists at ``path``."""
    return fault if os.path.lexists(path) else "was removed"


def restore_for_running_jobs(workspace: Path) -> None:
    for job in dict.fromkeys(each.parents[2] for each in worktrees_of_jobs(workspace)):
        RepositoryBackup(job).restore()


def _index_content(path: str) -> bytes:
    content = read_regular(path, _LARGEST_INDEX + 1) or b""
    return content if len(content) <= _LARGEST_INDEX else b""
