"""The host project's repository as ``core.repository`` asks for it."""

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.evidence import ChangeSize
from orchestrator.core.refs import BRANCHES, candidate_refs, hidden
from orchestrator.core.repository import Base, Merge, Signature
from orchestrator.git import (
    carrying,
    checkout,
    checkpoints,
    commits,
    differences,
    dirt,
    faults,
    ignored,
    leftovers,
    merging,
    replaying,
    starting,
)
from orchestrator.git.carrying import NO_RULES, Rules, carried
from orchestrator.git.commit_files import CommitFiles
from orchestrator.git.running import Git
from orchestrator.git.spares import Spares
from orchestrator.git.worktrees import Found, Worktrees

logger = logging.getLogger(__name__)

#: The first that has ``merge-tree --write-tree``.
OLDEST = (2, 38)


@dataclass(frozen=True, slots=True)
class Place:
    """Where things of a repository are."""

    top: str
    common: Path
    #: The host project within its repository; empty when it is all of it.
    prefix: str
    git: Git
    worktrees: Worktrees
    spares: Spares


class GitRepository:
    """Paths are absolute. Found when it is first needed: a project may become a repository."""

    def __init__(self, project: Path, workspace: Path, home: Path, rules: Rules = NO_RULES) -> None:
        """``home`` is the product's own folder; ``rules`` are for files that git ignores."""
        self._project = project
        self._workspace = workspace
        self._home = home
        self._finding = threading.Lock()
        self._place: Place | None = None
        self._hidden = False
        self._rules = rules

    def base(self, revision: str = "", *, dirty: bool = False) -> Base:
        asked = bool(revision) or dirty
        try:
            return self._base(revision, dirty=dirty)
        except (RepositoryError, OSError) as error:
            if asked:
                raise starting.refused(revision, error) from error
            return Base(note=f"workers have plain directories: {error}")

    def _base(self, revision: str, *, dirty: bool) -> Base:
        if not self._has_repository():
            if revision or dirty:
                raise RepositoryError("the host project is not a git repository")
            return Base()
        git = Git(str(self._project), {})
        _check_version(git)
        place = self.place()
        commit = starting.commit_of(git, revision)
        if place.git.ask("rev-parse", "--verify", "--quiet", f"refs/heads/{BRANCHES}"):
            raise RepositoryError(
                f"a branch is named {BRANCHES!r}, which leaves no room for workers' branches"
            )
        if place.prefix and not self.tracks(commit, place.prefix.rstrip("/")):
            what = f"commit {commit[:12]}" if revision else "the last commit"
            raise RepositoryError(f"the project is not in {what} of {place.top}")
        notes = starting.notes(place.git, commit)
        taken = commit
        if dirty:
            taken, left = dirt.snapshot(place.git, self._ours(place), commit)
            notes += left
        return Base(commit=taken, dirty=taken != commit, note="; ".join(notes))

    def _ours(self, place: Place) -> list[str]:
        """The product's own folders, relative to the top."""
        return [os.path.relpath(each, place.top) for each in (self._home, self._workspace)]

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
        top, common, prefix = (
            git.run("rev-parse", "--path-format=absolute", what).line
            for what in ("--show-toplevel", "--git-common-dir", "--show-prefix")
        )
        git = Git(top, {})
        spares = Spares(git, Path(common), self._workspace)
        worktrees = Worktrees(git, Path(common), spares)
        return Place(top, Path(common), prefix, git, worktrees, spares)

    def open_worktree(self, directory: str, branch: str, start: str) -> None:
        place = self.place()
        self._hide(place)
        if os.path.lexists(directory) and place.worktrees.was_whole(directory):
            # Never made anew over what an attempt has left.
            faults.mend(place.worktrees, directory, branch, start)
        found = place.worktrees.open(directory, branch, start)
        worktree = place.worktrees.git_of(found)
        carrying.carry(place.git, worktree, found.admin, self._rules, self._ours(place))

    def _hide(self, place: Place) -> None:
        with self._finding:
            if not self._hidden:
                checkout.hide(place.git, place.top, place.common, str(self._workspace))
                self._hidden = True

    def close_worktree(self, directory: str, branch: str, signature: Signature) -> None:
        place = self.place()
        found = place.worktrees.sound(directory, branch)
        if found is not None:
            git = place.worktrees.git_of(found)
            commits.commit_rest(
                git, branch, "Left in the worktree", signature, carried(found.admin)
            )
        place.worktrees.close(directory, spare=True)

    def drop_spares(self, directory: str) -> None:
        self.place().spares.drop(directory)

    def inside(self, directory: str) -> str:
        return os.path.join(directory, self.place().prefix).rstrip("/")

    def commit(self, directory: str, branch: str, message: str, signature: Signature) -> str:
        worktrees = self.place().worktrees
        found = worktrees.sound(directory, branch) or self._whole(directory)
        git, without = worktrees.git_of(found), carried(found.admin)
        return commits.commit_rest(git, branch, message, signature, without)

    def snapshot(self, directory: str, message: str, signature: Signature) -> str:
        found = self._whole(directory)
        git = self.place().worktrees.git_of(found)
        return commits.snapshot(git, found.admin, message, signature)

    def mend(self, directory: str, branch: str, start: str) -> tuple[Sequence[str], str]:
        place = self.place()
        found = faults.mend(place.worktrees, directory, branch, start)
        return found, faults.interrupted(self._whole(directory))

    def settle(self, directory: str) -> None:
        faults.settle(self._whole(directory))

    def conflict_markers(self, start: str, end: str) -> Sequence[str]:
        return faults.in_words(faults.conflict_markers(self.place().git, start, end))

    def keep_ignored(self, directory: str, message: str, signature: Signature) -> str:
        place = self.place()
        git = place.worktrees.git_of(self._whole(directory))
        return ignored.keep(git, place.top, message, signature)

    def put_back_ignored(self, directory: str, commit: str) -> None:
        place = self.place()
        ignored.put_back(place.worktrees.git_of(self._whole(directory)), place.top, commit)

    def not_kept(self, commit: str) -> Mapping[str, str]:
        found = ignored.note_of(self.place().git, commit).get("not_kept")
        return found if isinstance(found, dict) else {}

    def roll_back(self, directory: str, branch: str, commit: str, kept: str) -> None:
        place = self.place()
        checkpoints.roll_back(place.worktrees, place.top, directory, branch, commit, kept)

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

    def point_all(self, refs: Mapping[str, str]) -> None:
        given = "".join(f"update {name} {commit}\n" for name, commit in refs.items())
        self.place().git.run("update-ref", "-m", "orchestrator", "--stdin", given=given.encode())

    def drop(self, name: str) -> None:
        self.place().git.run("update-ref", "-d", name)

    def contains(self, commit: str, ancestor: str) -> bool:
        answer = self.place().git.run(
            "merge-base", "--is-ancestor", ancestor, commit, accept=(0, 1)
        )
        return answer.code == 0

    def changed(self, start: str, end: str) -> Sequence[str]:
        return commits.changed(self.place().git, start, end)

    def touched(self, start: str, end: str) -> Mapping[str, int]:
        return commits.touched(self.place().git, start, end)

    def added(self, start: str, end: str, most: int) -> bytes:
        return commits.added(self.place().git, start, end, most)

    def files(self, commit: str) -> CommitFiles:
        place = self.place()
        return CommitFiles(place.git, commit, place.prefix)

    def open_at(self, directory: str, commit: str) -> None:
        place = self.place()
        self._hide(place)
        place.worktrees.open_at(directory, commit)

    def close_at(self, directory: str) -> None:
        self.place().worktrees.close(directory)

    def restore(self, directory: str, commit: str) -> None:
        found, worktrees = self._whole(directory), self.place().worktrees
        worktrees.unlock(found)
        commits.restore(worktrees.git_of(found), commit)

    def size(self, start: str, end: str) -> ChangeSize:
        return differences.size(self.place().git, start, end)

    def patch(self, start: str, end: str, most_bytes: int) -> str:
        return differences.patch(self.place().git, start, end, most_bytes)

    def tracks(self, commit: str, path: str) -> bool:
        return bool(self.place().git.ask("ls-tree", "-z", commit, "--", path))

    def join(
        self, first: str, second: str, message: str, signature: Signature, content: str = ""
    ) -> str:
        git = self.place().git
        tree = commits.tree_of(git, content or first)
        return commits.commit_tree(git, tree, [first, second], message, signature)

    def line(self, start: str, tip: str) -> Sequence[str]:
        return replaying.line(self.place().git, start, tip)

    def replay(
        self,
        onto: str,
        commits: Sequence[str],
        final: str,
        message: str,
        signature: Signature,
    ) -> str:
        return replaying.replay(self.place().git, onto, commits, final, message, signature)

    def merge(
        self, ours: str, theirs: str, message: str, signature: Signature, *, force: bool
    ) -> Merge:
        return merging.merge(self.place().git, ours, theirs, message, signature, force=force)

    def marked(self, ours: str, theirs: str, message: str, signature: Signature) -> str:
        return merging.marked(self.place().git, ours, theirs, message, signature)

    def marks(self, ours: str, theirs: str, commit: str) -> Sequence[str]:
        return merging.marks(self.place().git, ours, theirs, commit)

    def checkout_state(self) -> Mapping[str, str]:
        place = self.place()
        return checkout.state(place.git, place.top, place.common, self._ours(place))

    def forget(self, root_id: str, directory: str, present: str) -> Sequence[str]:
        try:
            if self._has_repository() and _has_traces(self.place().common, root_id):
                place, directory = self.place(), os.path.realpath(directory)
                kept = leftovers.keep(place.git, place.worktrees, root_id, directory, present)
                self._forget(place, root_id, directory)
                return kept
        except RepositoryError as error:
            # A repository that is broken, or gone, keeps no job from being removed.
            logger.warning("worktrees or branches are left", extra={"error": error.message})
        return ()

    def _forget(self, place: Place, root_id: str, directory: str) -> None:
        for found in list(place.worktrees.all()):
            if found.directory.startswith(f"{directory}/"):
                place.worktrees.close(found.directory)
        branches = f"refs/heads/{BRANCHES}/{root_id}/"
        kept = {name for name in self.tips(branches) if self._is_wanted(place, name)}
        if kept:
            # Whoever has not taken the result may still want another candidate's work.
            others = candidate_refs(root_id)
            kept |= {name.replace(others, branches, 1) for name in self.tips(others)}
        gone = [*(set(self.tips(branches)) - kept), *self.tips(hidden(root_id))]
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
