"""Creates, finds, repairs, and removes worktrees. A repair keeps the worker's files.

For a small worktree, ``git worktree add`` would take most of the CPU time. Therefore this module
itself writes the files that the command would write. The manual page gitrepository-layout(5) of git
describes these files.
"""

import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.git.command import fifo_guard, git_config
from orchestrator.git.command.ref_files import REFLOG_ENV
from orchestrator.git.command.runner import Git
from orchestrator.git.worktrees.pool import WorktreePool, restore
from orchestrator.security.files.tree_removal import remove
from orchestrator.security.files.untrusted_files import read_regular

#: Reason of the lock that protects a worker's worktree against ``git worktree prune``.
REASON = "a worker of the orchestrator uses this worktree"
#: Settings that make git write other files or permissions. If one of them is set, git itself
#: registers each worktree.
_UNUSUAL = (b"extensions.", b"core.sharedrepository", b"core.sparsecheckout")
#: An extension that does not change the files of a worktree.
_USUAL = b"extensions.objectformat"
_MOST_NUMBERS = 10_000


def register(git: Git, common: Path, directory: str, branch: str) -> Path | None:
    """Create ``directory``, which must not exist, and register it as a worktree.

    Return the worktree's git directory (``.git/worktrees/NAME``). Return None, and change nothing,
    if the caller must use ``git worktree add``. ``branch``: the full name of a branch that no other
    worktree has checked out.
    """
    holder, name = os.path.split(directory)
    # Git stores real paths, so links are resolved in the same way.
    real = os.path.join(os.path.realpath(holder), name)
    if "\n" in f"{real}{common}" or os.path.realpath(common) != str(common) or _is_unusual(git):
        return None
    try:
        admin = _create_entry(common / "worktrees", name)
    except OSError:
        return None
    try:
        # This file prevents a `git worktree prune` of another process from removing the
        # registration.
        (admin / "locked").write_text(f"{REASON}\n")
        os.makedirs(real)
        for path, content in _registration_files(admin, real, branch):
            path.write_bytes(content)
    except OSError:
        shutil.rmtree(admin, ignore_errors=True)
        with suppress(OSError):
            (Path(real) / ".git").unlink(missing_ok=True)
            os.rmdir(real)
        return None
    return admin


def _is_unusual(git: Git) -> bool:
    try:
        settings = git_config.all_settings(git)
    except RepositoryError:
        return True
    names = (each.partition(b"\n")[0] for each in settings)
    return any(each.startswith(_UNUSUAL) and each != _USUAL for each in names)


def _create_entry(entries: Path, name: str) -> Path:
    entries.mkdir(exist_ok=True)
    for number in range(_MOST_NUMBERS):
        admin = entries / f"{name}{number or ''}"
        with suppress(FileExistsError):
            admin.mkdir()
            return admin
    raise FileExistsError(f"all possible names in {entries} are used")


def _registration_files(admin: Path, directory: str, branch: str) -> Iterator[tuple[Path, bytes]]:
    yield admin / "gitdir", os.fsencode(f"{directory}/.git\n")
    yield Path(directory, ".git"), os.fsencode(f"gitdir: {admin}\n")
    yield admin / "commondir", b"../..\n"
    yield admin / "HEAD", os.fsencode(f"ref: {branch}\n")


#: Git's exit codes of a comparison, with or without a difference.
_COMPARED = (0, 1)


def repair(git: Git, admin: Path, branch: str) -> None:
    """Repair a worktree's ``.git``, HEAD, and index. The worker's files stay. Idempotent."""
    link = os.path.join(git.directory, ".git")
    if not os.path.lexists(link):
        Path(link).write_bytes(b"gitdir: " + os.fsencode(admin) + b"\n")
    if _is_sound(git):
        return
    # Without this file, git does not recognize the repository. With a reftable, git itself sets
    # HEAD.
    (admin / "HEAD").write_text(f"ref: {branch}\n")
    git.run("symbolic-ref", "HEAD", branch)
    refill(git, admin)


def refill(git: Git, admin: Path) -> None:
    """Replace the index with HEAD's content. Files that differ from HEAD then count as changed."""
    (admin / "index").unlink(missing_ok=True)
    git.run("read-tree", "HEAD")


def _is_sound(git: Git) -> bool:
    answer = git.run("diff-index", "--cached", "--quiet", "HEAD", "--", accept=range(256))
    return answer.code in _COMPARED


#: Suffix of the name of a mark: a file next to a directory whose files are being written or
#: removed. The mark remains after a crash. The mark is not in the worktree's git directory, because
#: an agent may remove any file there.
FILLING = ".filling"
#: Suffix of the name of a directory that was moved away for a moment.
MOVED_SUFFIX = ".aside"
_LONGEST_LINK = 65536
_LOCKED = ("--lock", "--reason", REASON)


@dataclass(frozen=True, slots=True)
class RegisteredWorktree:
    """A worktree that is registered in the repository."""

    directory: str
    #: The worktree's git directory (``.git/worktrees/NAME``), with HEAD and index.
    admin: Path

    @property
    def is_complete(self) -> bool:
        return is_complete(self.directory)


class GitWorktrees:
    """Creates, finds, and removes worktrees.

    A lock serializes the registrations, because ``git worktree add`` is not safe in parallel. Files
    are written without the lock.
    """

    def __init__(self, git: Git, common: Path, spares: WorktreePool) -> None:
        self._git = git
        self._spares = spares
        self._entries = common / "worktrees"
        self._adding = threading.Lock()
        #: HEAD and the index's stamp of each worktree that was created or checked.
        self._sound: dict[Path, tuple[bytes, int, int, int]] = {}

    def find(self, directory: str) -> RegisteredWorktree | None:
        # Git stores the real path.
        real = os.path.realpath(directory)
        linked = self._worktree_by_link(real)
        return linked or next((each for each in self.all() if each.directory == real), None)

    def _worktree_by_link(self, directory: str) -> RegisteredWorktree | None:
        """Return the worktree that the directory's ``.git`` names; None if ``.git`` is not valid.

        An agent may have changed ``.git``. Therefore the worktree's registration must name the
        directory, too.
        """
        content = read_regular(f"{directory}/.git", _LONGEST_LINK) or b""
        link = os.fsdecode(content.removeprefix(b"gitdir: ")).removesuffix("\n")
        admin = Path(_absolute(directory, link))
        if admin.parent != self._entries or admin.name == "..":
            return None
        with suppress(OSError):
            worktree = RegisteredWorktree(_registered_link(admin).removesuffix("/.git"), admin)
            return worktree if worktree.directory == directory else None
        return None

    def all(self) -> Iterator[RegisteredWorktree]:
        with suppress(FileNotFoundError, NotADirectoryError):
            for admin in sorted(self._entries.iterdir()):
                with suppress(OSError):
                    yield RegisteredWorktree(_registered_link(admin).removesuffix("/.git"), admin)

    def below(self, directory: str) -> list[RegisteredWorktree]:
        """Return the worktrees in a directory. ``directory``: a real path."""
        return [each for each in self.all() if each.directory.startswith(f"{directory}/")]

    def git_of(self, worktree: RegisteredWorktree) -> Git:
        """Return a Git for a worktree, which works even if the agent has replaced ``.git``."""
        place = {"GIT_DIR": str(worktree.admin), "GIT_WORK_TREE": worktree.directory}
        return Git(worktree.directory, place)

    def open(
        self,
        directory: str,
        branch: str,
        start: str,
        with_saved_settings: Callable[[Git], Git] = lambda g: g,
    ) -> RegisteredWorktree:
        """Return the worktree of ``branch`` in ``directory``. Create the worktree if necessary.

        A new branch begins at the commit ``start``. ``with_saved_settings`` receives the ``Git`` of
        the worktree, and returns a ``Git`` with the job's saved settings, which writes the files of
        the worktree. ``Repository.open_worktree`` has the full contract.
        """
        existing = self.repaired_worktree(directory, branch)
        if existing is not None:
            return existing
        with _filling(directory):
            with self._adding:
                self._drop(directory)
                worktree = self._add(directory, branch, start)
            failpoints.reached("worktree: registered")
            worktree = self._with_files(worktree, branch, start, with_saved_settings)
            self._spares.note(worktree.directory, worktree.admin)
            self.note_sound(worktree)
            failpoints.reached("worktree: checked out")
        return worktree

    def _with_files(
        self,
        worktree: RegisteredWorktree,
        branch: str,
        start: str,
        with_saved_settings: Callable[[Git], Git],
    ) -> RegisteredWorktree:
        tip = self._git.resolve(branch) or start
        if self._spares.take(worktree.directory, worktree.admin, tip):
            failpoints.reached("worktree: spare worktree used")
            with suppress(RepositoryError, OSError):
                if restore(with_saved_settings(self.git_of(worktree)), tip):
                    return worktree
            with self._adding:
                self._drop(worktree.directory)
                worktree = self._add(worktree.directory, branch, start)
        with_saved_settings(self.git_of(worktree)).run("reset", "--hard", "--quiet", env=REFLOG_ENV)
        return worktree

    def repaired_worktree(self, directory: str, branch: str) -> RegisteredWorktree | None:
        """Return the worktree in ``directory``, after a repair if it is damaged.

        If git's registration of the worktree was removed, the worktree is registered again. Return
        None if the worktree cannot be registered, or if its creation was never completed.
        """
        if not is_complete(directory):
            return None
        worktree = self.find(directory)
        if worktree is None and not os.path.isdir(f"{directory}/.git"):
            worktree = self._adopt(directory, branch)
        if worktree is None:
            return None
        self.unlock(worktree, branch)
        is_sound = self.is_sound(worktree)
        self._sound.pop(worktree.admin, None)
        if not is_sound:
            repair(self.git_of(worktree), worktree.admin, branch)
        return worktree

    def note_sound(self, worktree: RegisteredWorktree) -> None:
        """Record that a worktree is sound.

        Git can read the HEAD and the index of a sound worktree, and the index has no conflict.
        """
        state = _head_and_index(worktree.admin)
        if state is not None:
            self._sound[worktree.admin] = state

    def is_sound(self, worktree: RegisteredWorktree) -> bool:
        """True if the worktree's HEAD and index file are unchanged since ``note_sound``."""
        return self._sound.get(worktree.admin, ()) == _head_and_index(worktree.admin)

    def _adopt(self, directory: str, branch: str) -> RegisteredWorktree | None:
        """Register the existing files of a worktree whose registration was removed.

        Return None if the branch does not exist.
        """
        if not os.path.lexists(f"{directory}/.git") or not self._git.ask("rev-parse", branch):
            return None
        moved = f"{directory}{MOVED_SUFFIX}"
        with self._adding, _filling(directory):
            os.rename(directory, moved)
            worktree = self._add(directory, branch, "")
            os.replace(f"{directory}/.git", f"{moved}/.git")
            os.rmdir(directory)
            os.rename(moved, directory)
        refill(self.git_of(worktree), worktree.admin)
        return worktree

    def open_at(self, directory: str, commit: str) -> RegisteredWorktree:
        """Return a worktree in ``directory`` with ``commit`` checked out and a detached HEAD.

        Create the worktree if it does not exist. Idempotent.
        """
        existing = self.find(directory)
        if existing is not None and existing.is_complete:
            self.unlock(existing)
            return existing
        with _filling(directory):
            with self._adding:
                self._drop(directory)
                reason = ("--lock", "--reason", "the orchestrator checks a commit in this worktree")
                detached = ("--no-checkout", "--detach", *reason)
                self._git.run("worktree", "add", *detached, "--", directory, commit)
                worktree = self.find(directory)
                assert worktree is not None, "git has just created the worktree"
            self.git_of(worktree).run("reset", "--hard", "--quiet")
        return worktree

    def register_again(self, directory: str, branch: str) -> RegisteredWorktree:
        """Register a worktree whose git directory was removed. The worktree's files stay.

        The caller must repair the worktree's ``.git`` and index.
        """
        moved = f"{directory}{MOVED_SUFFIX}"
        with self._adding, _filling(directory):
            os.rename(directory, moved)
            options = ("--no-checkout", "--detach", *_LOCKED)
            self._git.run("worktree", "add", *options, "--", directory, "HEAD")
            shutil.rmtree(directory)
            os.rename(moved, directory)
            worktree = self.find(directory)
        assert worktree is not None, "git has just created the worktree"
        # Use a git command, because HEAD need not be a file.
        self.git_of(worktree).run("symbolic-ref", "HEAD", branch)
        return worktree

    def unlock(self, worktree: RegisteredWorktree, branch: str = "") -> None:
        """Remove lock files of killed git processes. Call this only if the attempt has no process.

        Also remove pipes, for which git would wait, and restore the file ``commondir``. ``branch``:
        full name of a branch whose lock is removed, too; "" for none.
        """
        fifo_guard.clear(worktree.admin)
        common, content = worktree.admin / "commondir", b"../..\n"
        if read_regular(common, _LONGEST_LINK) != content:
            remove(common)
            common.write_bytes(content)
        for name in ("index.lock", "HEAD.lock"):
            (worktree.admin / name).unlink(missing_ok=True)
        if branch:
            # With a reftable, ``refs/heads`` is a file.
            with suppress(FileNotFoundError, NotADirectoryError):
                (self._entries.parent / f"{branch}.lock").unlink()

    def _add(self, directory: str, branch: str, start: str) -> RegisteredWorktree:
        if not self._git.resolve(branch):
            # Do not use ``worktree add -b``, because it obeys branch.autoSetupMerge.
            self._git.update_refs({branch: start}, new=True)
            # ``register`` is safe here, because a new branch is not checked out in another
            # worktree.
            admin = register(self._git, self._entries.parent, directory, branch)
            if admin is not None:
                return RegisteredWorktree(os.path.realpath(directory), admin)
        name = branch.removeprefix("refs/heads/")
        # Relative links would also set extensions.relativeWorktrees, which an older git rejects.
        absolute = ("-c", "worktree.useRelativePaths=false")
        self._git.run(
            *absolute, "worktree", "add", "--no-checkout", *_LOCKED, "--", directory, name
        )
        worktree = self.find(directory)
        assert worktree is not None, "git has just created the worktree"
        return worktree

    def close(self, directory: str, *, spare: bool = False) -> None:
        """Remove the worktree's files and registration. The worktree's branch stays. Idempotent.

        ``spare``: True to store the files, so that the job's next worktree can reuse them.
        """
        worktree = self.find(directory) if spare else None
        if worktree is not None and worktree.is_complete:
            self._spares.put(directory, worktree.admin)
        mark = Path(f"{directory}{FILLING}")
        with self._adding:
            if os.path.lexists(directory):
                # Create the mark, so that files that remain after a crash do not count as the
                # worker's.
                mark.touch()
            self._drop(directory)
        mark.unlink(missing_ok=True)

    def _drop(self, directory: str) -> None:
        worktree = self.find(directory)
        # Remove the registration last, because the command ``clean`` finds the files by the
        # registration.
        remove(directory)
        if worktree is not None:
            self._sound.pop(worktree.admin, None)
            remove_entry(worktree.admin)
            with suppress(OSError):
                self._entries.rmdir()


def _head_and_index(admin: Path) -> tuple[bytes, int, int, int] | None:
    head = read_regular(admin / "HEAD", _LONGEST_LINK)
    try:
        index = os.lstat(admin / "index")
    except OSError:
        return None
    return (head, index.st_ino, index.st_size, index.st_ctime_ns) if head else None


def is_complete(directory: str) -> bool:
    """True if the worktree was written completely, and is not being removed.

    The agent may have removed files since then.
    """
    return os.path.isdir(directory) and not os.path.lexists(f"{directory}{FILLING}")


@contextmanager
def _filling(directory: str) -> Iterator[None]:
    mark = Path(f"{directory}{FILLING}")
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    yield
    mark.unlink(missing_ok=True)


def _registered_link(admin: Path) -> str:
    """Return the path of a worktree's ``.git`` from the worktree's registration.

    The registration's file ``gitdir`` contains the path. If this file is a FIFO or device, remove
    all FIFOs and devices of the registration, because git would wait for their data.
    """
    handle = os.open(admin / "gitdir", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            fifo_guard.clear(admin)
        link = os.fsdecode(os.read(handle, _LONGEST_LINK)).removesuffix("\n")
    finally:
        os.close(handle)
    return _absolute(admin, link)


def _absolute(directory: str | Path, link: str) -> str:
    """Return the absolute path of a link in a directory.

    Git writes relative links if ``worktree.useRelativePaths`` is set (git 2.48 and newer).
    """
    return link if link.startswith("/") else os.path.normpath(os.path.join(directory, link))


def remove_entry(admin: Path) -> None:
    """Remove a worktree's registration, even if a ``git gc`` removes it at the same time."""
    while os.path.lexists(admin):
        with suppress(FileNotFoundError):
            shutil.rmtree(admin)
