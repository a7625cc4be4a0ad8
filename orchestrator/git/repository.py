"""The host project's repository as ``core.repository`` asks for it."""

import logging
import os
import posixpath
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.refs import aside_refs, hidden, nested_refs
from orchestrator.core.repository import Base, Checkout, Folded, Signature, Tools
from orchestrator.core.repository_changes import RefMove
from orchestrator.git import (
    carrying,
    checkout,
    checkpoints,
    commits,
    differences,
    dirt,
    excluded,
    faults,
    forgetting,
    ignored,
    leftovers,
    nested,
    never_commit,
    pushing,
    ref_logs,
    relocating,
    settings,
    side_work,
    starting,
    submodules,
    users_submodules,
    vital,
)
from orchestrator.git.carrying import NO_RULES, Rules, carried
from orchestrator.git.commit_files import CommitFiles
from orchestrator.git.committed import Committed
from orchestrator.git.forgetting import has_traces
from orchestrator.git.place import (
    Place,
    check_has_files,
    check_version,
    has_repository,
    place_of,
)
from orchestrator.git.running import Git
from orchestrator.git.settings import Settings
from orchestrator.git.toolchains import Toolchains
from orchestrator.git.vital import Vital
from orchestrator.git.worktrees import Found, was_whole

logger = logging.getLogger(__name__)


class GitRepository(Committed):
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
        with suppress(RepositoryError, OSError):
            return self._base(revision, dirty=dirty)
        # A worker of another job may have broken what both need.
        vital.put_back_at_work(self._workspace)
        try:
            return self._base(revision, dirty=dirty)
        except (RepositoryError, OSError) as error:
            if asked:
                raise starting.refused(revision, error) from error
            why = str(error)
            return Base(note=f"workers have plain directories: {why}", hindrance=why)

    def _base(self, revision: str, *, dirty: bool) -> Base:
        if not has_repository(self._project):
            why = "the host project is not a git repository (git init, then a first commit)"
            if revision or dirty:
                raise RepositoryError(why)
            return Base(hindrance=why)
        git = Git(str(self._project), {})
        check_version(git)
        check_has_files(git)
        place = self.place()
        commit = starting.commit_of(git, revision)
        starting.check(place, commit, revision)
        notes = starting.notes(place.git, commit)
        taken = commit
        if dirty:
            taken, left = dirt.snapshot(place.git, self._ours(place), commit)
            notes += left
        branch = starting.branch_of(git, revision)
        return Base(commit=taken, branch=branch, dirty=taken != commit, note="; ".join(notes))

    def _ours(self, place: Place) -> list[str]:
        """The product's own folders, relative to the top."""
        return [os.path.relpath(each, place.top) for each in (self._home, self._workspace)]

    def place(self) -> Place:
        """Raise RepositoryError when there is no repository."""
        with self._finding:
            if self._place is None:
                self._place = place_of(self._project, self._workspace)
            return self._place

    def known_common(self) -> Path | None:
        """The repository's common directory, once something has needed it. Runs no git."""
        return self._place.common if self._place else None

    def relocate(self) -> None:
        """Put right what names an old place of the project. Idempotent. Raise RepositoryError."""
        if has_repository(self._project):
            relocating.relocate(self.place(), self._workspace)

    def open_worktree(self, directory: str, branch: str, start: str, above: str = "") -> None:
        place = self.place()
        self._hide(place)
        self._patterns(directory).note(place.git)
        if was_whole(directory):
            # Never made anew over what an attempt has left.
            faults.mend(place.worktrees, directory, branch, start)
        settings_before = self._settings(directory)
        found = place.worktrees.open(directory, branch, start, settings_before.of)
        worktree = place.worktrees.git_of(found)
        settings_before.note(worktree)
        submodules.fill(worktree, found.admin, place.top, "HEAD", anew=False)
        parent = place.worktrees.find(above) if above else None
        if parent is not None:
            theirs = place.worktrees.git_of(parent)
            carrying.inherit(theirs, place.top, worktree, found.admin, self._rules)
        self._carry(found)

    def _carry(self, found: Found) -> None:
        place = self.place()
        to = place.worktrees.git_of(found)
        carrying.carry(place.git, to, found.admin, self._rules, self._ours(place))
        self._toolchains(found).derive(found.admin)

    def _toolchains(self, found: Found) -> Toolchains:
        place = self.place()
        project = place.prefix.rstrip("/")
        ours = self._ours(place)
        return Toolchains(place.git, ours, found.directory, project, self._rules.derive)

    def tools(self, directory: str, programs: str, search: str, *, trusted: bool) -> Tools:
        chains = self._toolchains(self.place().whole(directory))
        return chains.tools(programs, search, trusted=trusted)

    def _hide(self, place: Place) -> None:
        with self._finding:
            if not self._hidden:
                checkout.hide(place.git, place.top, place.common, str(self._workspace))
                self._hidden = True

    def close_worktree(self, directory: str, branch: str, signature: Signature) -> None:
        place = self.place()
        found = place.worktrees.sound(directory, branch)
        if found is not None:
            self._commit(found, branch, "Left in the worktree", signature)
        place.worktrees.close(directory, spare=True)

    def drop_spares(self, directory: str) -> None:
        self.place().spares.drop(directory)

    def push_refusals(self) -> Sequence[tuple[str, str]]:
        if not has_repository(self._project):
            return ()
        return tuple(pushing.refusals(self.place().git))

    def inside(self, directory: str) -> str:
        return os.path.join(directory, self.place().prefix).rstrip("/")

    def commit(
        self,
        directory: str,
        branch: str,
        message: str,
        signature: Signature,
        promised: Sequence[str] = (),
    ) -> str:
        worktrees = self.place().worktrees
        found = worktrees.sound(directory, branch) or self.place().whole(directory)
        return self._commit(found, branch, message, signature, promised)

    def _commit(
        self,
        found: Found,
        branch: str,
        message: str,
        signature: Signature,
        promised: Sequence[str] | None = None,
    ) -> str:
        """``promised`` are those of the commit before if they are not given."""
        git, top = self._git_of(found), self.place().top
        submodules.commit_all(git, found.admin, top, branch, message, signature)
        rules = self._rules_of(found, promised)
        tip, added = commits.commit_rest(git, branch, message, signature, rules)
        if added.nested:
            nested.keep(git, added.nested, nested_refs(*self._worker_of(found.directory)))
        never_commit.note(found.admin, added.held, rules.promised)
        return tip

    def _rules_of(self, found: Found, promised: Sequence[str] | None = None) -> commits.Rules:
        if promised is None:
            paths = never_commit.noted(found.admin)[1]
        else:
            paths = tuple(posixpath.join(self.place().prefix, each) for each in promised)
        root_id, worker_id = self._worker_of(found.directory)
        return commits.Rules(
            patterns=self._patterns(found.directory),
            start=f"{hidden(root_id)}start/{worker_id}",
            without=carried(found.admin),
            never=self._rules.never,
            promised=paths,
            aside=aside_refs(root_id, worker_id),
        )

    def fold(
        self,
        directory: str,
        branch: str,
        tip: str,
        message: str,
        signature: Signature,
        promised: Sequence[str] = (),
    ) -> Folded:
        place = self.place()
        found = place.whole(directory)
        root_id, worker_id = self._worker_of(found.directory)
        home = side_work.Home(
            found=found,
            git=place.worktrees.git_of(found),
            settled=self._settings(found.directory).of,
            branch=branch,
            root_id=root_id,
            worker_id=worker_id,
            signature=signature,
            message=message,
            rules=self._rules_of(found),
            job=self._job(directory),
        )
        folded, work = side_work.fold(home, place.worktrees, tip)
        if folded != tip:
            # What was merged may have links to nested repositories.
            folded = self._commit(found, branch, message, signature, promised)
        ours = carried(found.admin)
        held = never_commit.noted(found.admin)[0]
        # What the worktree was opened with is not the worker's.
        theirs = (each for each in held if not any(checkout.within(each.path, own) for own in ours))
        return Folded(commit=folded, work=work, held_back=tuple(theirs))

    def _worker_of(self, directory: str) -> tuple[str, str]:
        return self._root_of(directory), os.path.basename(os.path.dirname(directory))

    def _patterns(self, directory: str) -> excluded.Patterns:
        return excluded.Patterns(self.place().common, self._job(directory) / excluded.NAME)

    def _settings(self, directory: str) -> Settings:
        return Settings(self._job(directory) / settings.NAME)

    def _git_of(self, found: Found) -> Git:
        return self._settings(found.directory).of(self.place().worktrees.git_of(found))

    def _job(self, directory: str) -> Path:
        return self._workspace / f"job_{self._root_of(directory)}"

    def snapshot(self, directory: str, message: str, signature: Signature) -> str:
        found = self.place().whole(directory)
        place = self.place()
        git, name = self._git_of(found), f"{hidden(self._root_of(directory))}snapshot"
        inner = submodules.snapshot(git, found.admin, place.top, name, message, signature)
        rules = self._rules_of(found)
        return commits.snapshot(git, found.admin, message, signature, inner, rules)[0]

    def _root_of(self, directory: str) -> str:
        inside = os.path.relpath(os.path.realpath(directory), os.path.realpath(self._workspace))
        return inside.split("/")[0].removeprefix("job_")

    def mend(self, directory: str, branch: str, start: str) -> tuple[Sequence[str], str]:
        place = self.place()
        found = faults.mend(place.worktrees, directory, branch, start)
        return found, faults.interrupted(self.place().whole(directory))

    def settle(self, directory: str) -> None:
        faults.settle(self.place().whole(directory))

    def keep_ignored(self, directory: str, message: str, signature: Signature) -> str:
        place = self.place()
        git = place.worktrees.git_of(self.place().whole(directory))
        return ignored.keep(git, place.top, message, signature)

    def ignored(self, directory: str, paths: Sequence[str]) -> Sequence[str]:
        place = self.place()
        git = place.worktrees.git_of(place.whole(directory))
        return ignored.fitting(git, place.prefix, paths)

    def put_back_ignored(self, directory: str, commit: str) -> None:
        place = self.place()
        ignored.put_back(place.worktrees.git_of(self.place().whole(directory)), place.top, commit)

    def roll_back(self, directory: str, branch: str, commit: str, kept: str) -> None:
        place = self.place()
        checkpoints.roll_back(place.worktrees, place.top, directory, branch, commit, kept)
        found = place.whole(directory)
        self._refill(found, commit)
        # Of what the worker began with, no checkpoint says which files came from the checkout.
        self._carry(found)

    def _refill(self, found: Found, commit: str) -> None:
        place = self.place()
        submodules.fill(place.worktrees.git_of(found), found.admin, place.top, commit)

    def bring(self, directory: str, now: str, then: str) -> None:
        place, found = self.place(), self.place().whole(directory)
        git = place.worktrees.git_of(found)
        submodules.check_clean(git, found.admin, place.top, now, then)
        commits.bring(git, now, then)
        submodules.move(git, found.admin, place.top, now, then)

    def files(self, commit: str) -> CommitFiles:
        place = self.place()
        return CommitFiles(place.git, commit, place.prefix, self._ours(place))

    def open_at(self, directory: str, commit: str) -> None:
        place = self.place()
        self._hide(place)
        found = place.worktrees.open_at(directory, commit)
        submodules.fill(place.worktrees.git_of(found), found.admin, place.top, commit, anew=False)
        self._carry(found)

    def close_at(self, directory: str) -> None:
        self.place().worktrees.close(directory)

    def lay_out(
        self, directory: str, commit: str, base: str, swap: Mapping[str, str | None]
    ) -> None:
        found, worktrees = self.place().whole(directory), self.place().worktrees
        worktrees.unlock(found)
        commits.lay_out(worktrees.git_of(found), commit, base, swap)

    def rewritten(self, directory: str, commit: str) -> Mapping[str, Sequence[str]]:
        found = self.place().whole(directory)
        return differences.rewritten(self.place().worktrees.git_of(found), commit)

    def restore(self, directory: str, commit: str) -> None:
        found, worktrees = self.place().whole(directory), self.place().worktrees
        worktrees.unlock(found)
        commits.restore(worktrees.git_of(found), commit)
        self._refill(found, commit)

    def ways_to_merge(self) -> str:
        place = self.place()
        return checkout.ways_to_merge(place.git, place.common)

    def note(self, directory: str) -> None:
        place = self.place()
        try:
            Vital(Path(directory)).note(place.git, place.common)
        except RepositoryError:
            vital.put_back_at_work(self._workspace)
            Vital(Path(directory)).note(place.git, place.common)

    def put_back(self, directory: str) -> Sequence[str]:
        return Vital(Path(directory)).put_back()

    def checkout_state(self) -> Mapping[str, str]:
        place = self.place()
        self._hide(place)
        found = checkout.state(place.git, place.top, place.common, self._ours(place))
        return {**found, **dict(users_submodules.state(place.top, place.git))}

    def exists(self) -> bool:
        return has_repository(self._project)

    def ref_moves(self, root_id: str, since: float) -> Sequence[RefMove]:
        return tuple(ref_logs.moves(self.place().common, root_id, since))

    def checkout_files(self) -> Checkout | None:
        if not self.exists():
            return None
        place = self.place()
        self._hide(place)
        found = checkout.files(place.git, place.top, self._ours(place))
        files = {posixpath.relpath(path, f"./{place.prefix}"): seen for path, seen in found.items()}
        commit = place.git.ask("rev-parse", "--verify", "--quiet", "HEAD")
        return Checkout(files, commit, place.prefix, place.top)

    def forget(self, root_id: str, directory: str, present: str) -> Sequence[str]:
        try:
            if has_repository(self._project) and has_traces(self.place().common, root_id):
                return forgetting.forget(self.place(), root_id, directory, present)
        except RepositoryError as error:
            # A repository that is broken, or gone, keeps no job from being removed.
            logger.warning("worktrees or branches are left", extra={"error": error.message})
        return ()

    def secure(self, root_id: str, directory: str) -> None:
        place = self.place() if has_repository(self._project) else None
        if place is None or not has_traces(place.common, root_id):
            return
        real = os.path.realpath(directory)
        if any(each.directory.startswith(f"{real}/") for each in place.worktrees.all()):
            leftovers.keep(place.git, place.worktrees, root_id, real, real)

    def discard(self, root_id: str, directory: str) -> Sequence[str]:
        if not has_repository(self._project):
            return ()
        return forgetting.discard(self.place(), root_id, directory)

    def unlanded(self, root_id: str) -> Mapping[str, str]:
        if not has_repository(self._project):
            return {}
        directory = os.path.realpath(self._workspace / f"job_{root_id}")
        return forgetting.unlanded(self.place(), root_id, directory)
