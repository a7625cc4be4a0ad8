"""The host project's repository as ``core.repository`` asks for it."""

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.repository import BRANCHES, Base, Merge, Signature, hidden
from orchestrator.git import checkout, commits, merging
from orchestrator.git.running import Git
from orchestrator.git.worktrees import Found, Worktrees

logger = logging.getLogger(__name__)

#: The first that has ``merge-tree --write-tree``.
OLDEST = (2, 38)
SUBMODULES = (
    "the repository has submodules: they are empty directories in workers' worktrees, and "
    "changes in them are not taken"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where things of a repository are."""

    top: str
    common: Path
    #: The host project within its repository; empty when it is all of it.
    prefix: str
    git: Git
    worktrees: Worktrees


class GitRepository:
    """Paths are absolute. Found when it is first needed: a project may become a repository."""

    def __init__(self, project: Path, workspace: Path, home: Path) -> None:
        """``home`` is the product's own folder."""
        self._project = project
        self._workspace = workspace
        self._home = home
        self._finding = threading.Lock()
        self._place: Place | None = None
        self._hidden = False

    def base(self) -> Base:
        try:
            return self._base()
        except (RepositoryError, OSError) as error:
            return Base(note=f"workers have plain directories: {error}")

    def _base(self) -> Base:
        if not self._has_repository():
            return Base()
        git = Git(str(self._project), {})
        _check_version(git)
        commit = git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if not commit:
            raise RepositoryError("the repository has no commit yet to start from")
        place = self.place()
        if place.git.ask("rev-parse", "--verify", "--quiet", f"refs/heads/{BRANCHES}"):
            raise RepositoryError(
                f"a branch is named {BRANCHES!r}, which leaves no room for workers' branches"
            )
        if place.prefix and not self.tracks(commit, place.prefix.rstrip("/")):
            raise RepositoryError(f"the project is not in the last commit of {place.top}")
        return Base(commit=commit, note=SUBMODULES if self.tracks(commit, ".gitmodules") else "")

    def _has_repository(self) -> bool:
        """Without running git: most projects on a machine without it have none."""
        project = Path(os.path.abspath(self._project))
        return any(os.path.lexists(each / ".git") for each in (project, *project.parents))

    def place(self) -> Place:
        """Raise RepositoryError when there is no repository."""
        with self._finding:
            if self._place is None:
                self._place = self._found()
            return self._place

    def _found(self) -> Place:
        git = Git(str(self._project), {})
        asked = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir")
        top, common = git.run(*asked).text.split("\n")
        prefix = git.run("rev-parse", "--show-prefix").text
        git = Git(top, {})
        return Place(top, Path(common), prefix, git, Worktrees(git, Path(common)))

    def open_worktree(self, directory: str, branch: str, start: str) -> None:
        place = self.place()
        with self._finding:
            if not self._hidden:
                checkout.hide(place.git, place.top, place.common, str(self._workspace))
                self._hidden = True
        place.worktrees.open(directory, branch, start)

    def close_worktree(self, directory: str, branch: str, signature: Signature) -> None:
        place = self.place()
        found = place.worktrees.find(directory)
        if found is not None and found.is_whole:
            git = place.worktrees.git_of(found)
            place.worktrees.unlock(found, branch)
            commits.commit_rest(git, branch, "Left in the worktree", signature)
        place.worktrees.close(directory)

    def inside(self, directory: str) -> str:
        return os.path.join(directory, self.place().prefix).rstrip("/")

    def commit(self, directory: str, branch: str, message: str, signature: Signature) -> str:
        found, worktrees = self._whole(directory), self.place().worktrees
        worktrees.unlock(found, branch)
        return commits.commit_rest(worktrees.git_of(found), branch, message, signature)

    def snapshot(self, directory: str, message: str, signature: Signature) -> str:
        found = self._whole(directory)
        git = self.place().worktrees.git_of(found)
        return commits.snapshot(git, found.admin, message, signature)

    def bring(self, directory: str, now: str, then: str) -> None:
        commits.bring(self.place().worktrees.git_of(self._whole(directory)), now, then)

    def _whole(self, directory: str) -> Found:
        found = self.place().worktrees.find(directory)
        if found is None or not found.is_whole:
            raise RepositoryError(f"the worktree {directory} is gone")
        return found

    def tip(self, name: str) -> str:
        return self.place().git.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")

    def tips(self, prefix: str) -> Mapping[str, str]:
        shown = self.place().git.run("for-each-ref", "--format=%(refname) %(objectname)", prefix)
        return dict(line.split(" ") for line in shown.text.splitlines())

    def point(self, name: str, commit: str) -> None:
        self.place().git.run("update-ref", "-m", "orchestrator", name, commit)

    def contains(self, commit: str, ancestor: str) -> bool:
        answer = self.place().git.run(
            "merge-base", "--is-ancestor", ancestor, commit, accept=(0, 1)
        )
        return answer.code == 0

    def changed(self, start: str, end: str) -> Sequence[str]:
        return commits.changed(self.place().git, start, end)

    def tracks(self, commit: str, path: str) -> bool:
        return bool(self.place().git.ask("ls-tree", "-z", commit, "--", path))

    def join(self, first: str, second: str, message: str, signature: Signature) -> str:
        git = self.place().git
        tree = commits.tree_of(git, first)
        return commits.commit_tree(git, tree, [first, second], message, signature)

    def merge(
        self, ours: str, theirs: str, message: str, signature: Signature, *, force: bool
    ) -> Merge:
        return merging.merge(self.place().git, ours, theirs, message, signature, force=force)

    def checkout_state(self) -> Mapping[str, str]:
        place = self.place()
        ours = [os.path.relpath(each, place.top) for each in (self._home, self._workspace)]
        return checkout.state(place.git, place.top, place.common, ours)

    def forget(self, root_id: str, directory: str) -> None:
        try:
            if self._has_repository() and _has_traces(self.place().common, root_id):
                self._forget(self.place(), root_id, os.path.realpath(directory))
        except RepositoryError as error:
            # A repository that is broken, or gone, keeps no job from being removed.
            logger.warning("worktrees or branches are left", extra={"error": error.message})

    def _forget(self, place: Place, root_id: str, directory: str) -> None:
        for found in list(place.worktrees.all()):
            if found.directory.startswith(f"{directory}/"):
                place.worktrees.close(found.directory)
        branches = f"refs/heads/{BRANCHES}/{root_id}/"
        gone = [name for name in self.tips(branches) if not self._is_wanted(place, name)]
        gone += self.tips(hidden(root_id))
        given = "".join(f"delete {name}\n" for name in gone)
        place.git.run("update-ref", "--stdin", given=given.encode())

    def _is_wanted(self, place: Place, name: str) -> bool:
        """A result that is on no branch of the user's."""
        if not name.rpartition("/")[2].startswith("result"):
            return False
        shown = place.git.run(
            "for-each-ref", "--format=%(refname)", f"--contains={name}", "refs/heads"
        )
        own = f"refs/heads/{BRANCHES}/"
        return all(each.startswith(own) for each in shown.text.splitlines())


def _has_traces(common: Path, root_id: str) -> bool:
    """Whether a job may have left anything: asked for every job that is removed."""
    kinds = (common / "refs" / "heads" / BRANCHES, common / "refs" / BRANCHES)
    if any((each / root_id).exists() for each in kinds) or (common / "reftable").exists():
        return True
    packed = common / "packed-refs"
    return packed.exists() and f"{BRANCHES}/{root_id}/".encode() in packed.read_bytes()


def _check_version(git: Git) -> None:
    said = git.run("version").text
    numbers = [part for part in said.split() if part[:1].isdigit()]
    found = tuple(int(part) for part in (numbers or ["0"])[0].split(".")[:2] if part.isdigit())
    if found < OLDEST:
        raise RepositoryError(f"{said} is too old: {OLDEST[0]}.{OLDEST[1]} is needed")
