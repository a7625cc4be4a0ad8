"""Reuses the files of removed worktrees for further worktrees of the same job.

Writing 50,000 files takes seconds. Changing the files of an earlier, *spare* worktree takes a
fraction of a second.
"""

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.git.command import git_config
from orchestrator.git.command.runner import Git
from orchestrator.security.files.untrusted_files import read_regular

#: Minimum size of the index of a spare worktree, in bytes. A worktree with a smaller index has few
#: files, and writing them is faster than checking them.
LEAST_INDEX_BYTES = 256 * 1024
#: Maximum number of spare worktrees of a job.
MOST = 8
#: Name of the directory with a job's spare worktrees, in the job's directory.
DIRECTORY = ".spare"
#: Name of a copy of the index, made when the worktree's files were written. The copy is in the
#: worktree's git directory.
PRISTINE = "orchestrator-index"
#: Maximum size of the file ``about`` of a spare worktree, in bytes.
MOST_BYTES = 4096
_ATTRIBUTES = ".gitattributes"


@dataclass(frozen=True, slots=True)
class PooledWorktree:
    path: Path

    @property
    def files(self) -> Path:
        return self.path / "files"

    @property
    def index(self) -> Path:
        return self.path / "index"

    @property
    def description(self) -> Path:
        """The file that describes how the worktree's files were written.

        The file contains the commit that was checked out, and a digest of the git settings with
        which the files were written.
        """
        return self.path / "about"


class WorktreePool:
    """The pool of spare worktrees. Any thread may call.

    After a crash, the pool's files remain in the job's directory, and are removed with the job.
    """

    def __init__(self, git: Git, common: Path, workspace: Path) -> None:
        self._git = git
        self._common = common
        self._workspace = os.path.realpath(workspace)
        self._lock = threading.Lock()

    def note(self, directory: str, admin: Path) -> None:
        """Record a worktree whose files were just written, so that it can become a spare later.

        Does nothing if the worktree is small, is a sparse checkout, or has submodules.
        """
        index = admin / "index"
        sparse, submodules = admin / "info" / "sparse-checkout", f"{directory}/.gitmodules"
        plain = not sparse.exists() and not os.path.lexists(submodules)
        if plain and index.exists() and index.stat().st_size >= LEAST_INDEX_BYTES:
            # Copy the index with its times, because git uses these times to detect changes.
            shutil.copy2(index, admin / PRISTINE)
            worktree = Git(directory, {"GIT_DIR": str(admin), "GIT_WORK_TREE": directory})
            commit = worktree.resolve("HEAD") or worktree.run("rev-parse", "--verify", "HEAD").text
            (admin / f"{PRISTINE}.about").write_text(f"{commit} {self._settings_digest()}")

    def put(self, directory: str, admin: Path) -> bool:
        """Move the files of a worktree to the pool.

        Return False if the worktree cannot become a spare, for example because the pool is full.
        """
        place = self._pool_directory(directory)
        records = (admin / PRISTINE, admin / f"{PRISTINE}.about")
        if place is None or not all(map(Path.is_file, records)):
            return False
        with self._lock:
            spares = self._spares(place)
            if len(spares) >= MOST:
                return False
            spare = PooledWorktree(place / f"{admin.name}-{os.urandom(4).hex()}")
            spare.path.mkdir(mode=0o700, parents=True)
        shutil.copy2(admin / PRISTINE, spare.index)
        os.rename(directory, spare.files)
        # Write this file last. A spare worktree without this file is incomplete, and is not used.
        shutil.copy2(admin / f"{PRISTINE}.about", spare.description)
        return True

    def take(self, directory: str, admin: Path, start: str) -> bool:
        """Move the files of a spare worktree, with their index, to a new worktree.

        The files may differ from the files of ``start``. Return False if no spare is suitable.
        """
        place = self._pool_directory(directory)
        spare = place and self._claim_spare(place)
        if not spare:
            return False
        description = read_regular(spare.description, MOST_BYTES) or b""
        commit, _, settings_digest = description.decode("ascii", "replace").partition(" ")
        # Check the content of the file, because a worker may have changed it: for example, to an
        # option of git in place of the commit.
        is_valid = commit.isalnum() and settings_digest == self._settings_digest()
        if not is_valid or self._filters_differ(commit, start):
            discard(spare.path)
            return False
        (spare.files / ".git").unlink(missing_ok=True)
        os.replace(f"{directory}/.git", spare.files / ".git")
        os.rmdir(directory)
        os.rename(spare.files, directory)
        shutil.copy2(spare.index, admin / "index")
        discard(spare.path)
        return True

    def drop(self, directory: str) -> None:
        """Remove the spare worktrees of a root job. Idempotent.

        ``directory``: the root job's directory.
        """
        place = Path(directory, DIRECTORY)
        if place.exists():
            discard(place)

    def _pool_directory(self, directory: str) -> Path | None:
        inside = os.path.relpath(os.path.realpath(directory), self._workspace)
        job = inside.split("/")[0]
        return None if job in ("..", ".") else Path(self._workspace, job, DIRECTORY)

    def _spares(self, place: Path) -> list[PooledWorktree]:
        with suppress(FileNotFoundError):
            # A name with a dot marks a spare that is in use, or is being removed.
            return [PooledWorktree(each) for each in place.iterdir() if "." not in each.name]
        return []

    def _claim_spare(self, place: Path) -> PooledWorktree | None:
        with self._lock:
            spare = next((each for each in self._spares(place) if each.description.exists()), None)
            if spare is None:
                return None
            claimed = PooledWorktree(spare.path.with_name(f"{spare.path.name}.taken"))
            with suppress(OSError):
                os.rename(spare.path, claimed.path)
                return claimed
            return None

    def _settings_digest(self) -> str:
        settings = b"\0".join(git_config.all_settings(self._git))
        attributes = self._common / "info" / "attributes"
        settings += attributes.read_bytes() if attributes.exists() else b""
        return hashlib.sha256(settings).hexdigest()

    def _filters_differ(self, before: str, after: str) -> bool:
        changed = self._git.run("diff-tree", "-r", "-z", "--name-only", before, after, "--").fields
        return any(path.rpartition("/")[2] == _ATTRIBUTES for path in changed)


def restore(git: Git, start: str) -> bool:
    """Restore a spare worktree's files to the commit ``start``. Return False if that fails.

    ``git reset`` rewrites every file whose times, size, or inode differ from the index. One
    difference may remain: git may miss a new file mode, if the mode changed in the second in which
    the file was written.
    """
    exact = ("-c", "core.trustctime=true", "-c", "core.checkStat=default")
    git.run(*exact, "reset", "--hard", "--quiet", start)
    answer = git.run("clean", "-ffdxq", accept=range(256))
    if answer.code != 0:
        return False
    return all(os.lstat(each).st_mode & 0o700 == 0o700 for each in _directories(git, start))


def _directories(git: Git, commit: str) -> Iterator[str]:
    yield git.directory
    for path in git.run("ls-tree", "-r", "-d", "-z", "--name-only", commit).fields:
        yield os.path.join(git.directory, path)


def discard(path: Path) -> None:
    """Rename the directory now, and remove it in a background thread."""
    discarded = path.with_name(f".{path.name}.gone-{os.urandom(4).hex()}")
    with suppress(FileNotFoundError):
        os.rename(path, discarded)
        removing = threading.Thread(
            target=_remove, args=(discarded,), name="discarding", daemon=True
        )
        try:
            removing.start()
        except RuntimeError:
            _remove(discarded)  # No thread is available, so remove the directory here.


def _remove(path: Path) -> None:
    subprocess.run(["rm", "-rf", "--", str(path)], capture_output=True, check=False)
