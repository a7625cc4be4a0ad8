"""The project's repository; implements ``core.repository.repository``."""

import logging
import os
import posixpath
import shlex
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.model.user_repository_changes import RefMove
from orchestrator.core.ports.worktree_transfer import FileChange, WorktreeFiles
from orchestrator.core.repository.git_refs import abandoned_refs, hidden, nested_refs
from orchestrator.core.repository.repository import (
    Base,
    Checkout,
    MergedSideWork,
    Signature,
    Tools,
)
from orchestrator.core.text.path_patterns import within
from orchestrator.git import base_commit, job_ref_removal, unlanded_work
from orchestrator.git.checkout import exclude_rules, ref_logs, repository_state
from orchestrator.git.command import frozen_config, push_refusals
from orchestrator.git.command.frozen_config import FrozenConfig
from orchestrator.git.command.ref_files import may_have_refs
from orchestrator.git.command.runner import Git
from orchestrator.git.commits import commit_creation as commits
from orchestrator.git.commits import commit_diffs, held_back_files, nested_repositories, submodules
from orchestrator.git.commits.commit_files import CommitFiles
from orchestrator.git.environments import copied_files
from orchestrator.git.environments.copied_files import NO_RULES, CopyRules, copied_paths
from orchestrator.git.environments.installed_packages import InstalledPackages
from orchestrator.git.merge import side_work
from orchestrator.git.objects_and_refs import ObjectsAndRefs
from orchestrator.git.repair import (
    broken_worktrees,
    git_directory_repair,
    relocation,
    worktree_rollback,
)
from orchestrator.git.repair.git_directory_repair import RepositoryBackup
from orchestrator.git.repository_location import (
    GitLocation,
    check_has_files,
    check_version,
    has_repository,
    location_of,
)
from orchestrator.git.worktrees import ignored_files, node_worktrees, worktree_files
from orchestrator.git.worktrees.worktrees import RegisteredWorktree, is_complete

logger = logging.getLogger(__name__)


class GitRepository(ObjectsAndRefs):
    """The project's repository. Paths are absolute.

    If the project has no repository, each call searches for one again, because the user may create
    it later.
    """

    def __init__(
        self, project: Path, workspace: Path, home: Path, rules: CopyRules = NO_RULES
    ) -> None:
        """``home``: the product's own folder. ``rules``: rules for files that git ignores."""
        self._project = project
        self._workspace = workspace
        self._home = home
        self._finding = threading.Lock()
        self._location: GitLocation | None = None
        self._workspace_is_excluded = False
        self._rules = rules

    def base(self, revision: str = "", *, dirty: bool = False) -> Base:
        is_requested = bool(revision) or dirty
        with suppress(RepositoryError, OSError):
            return self._base(revision, dirty=dirty)
        # A worker of another job may have broken the shared files.
        git_directory_repair.restore_for_running_jobs(self._workspace)
        try:
            return self._base(revision, dirty=dirty)
        except (RepositoryError, OSError) as error:
            if is_requested:
                raise base_commit.invalid_base(revision, error) from error
            why = str(error)
            return Base(
                note=f"workers get plain directories instead of worktrees: {why}", hindrance=why
            )

    def _base(self, revision: str, *, dirty: bool) -> Base:
        if not has_repository(self._project):
            why = f"the project is not a git repository; create one: {self._create_command()}"
            if revision or dirty:
                raise RepositoryError(why)
            return Base(hindrance=why)
        git = Git(str(self._project), {})
        check_version(git)
        check_has_files(git)
        location = self.location()
        commit = base_commit.commit_of(git, revision)
        base_commit.check(location, commit, revision)
        notes = base_commit.notes(location.git, commit)
        start = commit
        if dirty:
            start, omitted = base_commit.snapshot(location.git, self._ours(location), commit)
            notes += omitted
        elif not revision:
            notes += base_commit.not_included(location.git, location.top, self._ours(location))
        branch = base_commit.branch_of(git, revision)
        return Base(
            commit=start,
            branch=branch,
            dirty=start != commit,
            has_submodules=bool(location.git.resolve(f"{start}:.gitmodules")),
            # The note is stored as text, but file names in it may contain invalid UTF-8.
            note=os.fsencode("; ".join(notes)).decode("utf-8", "replace"),
        )

    def _create_command(self) -> str:
        """Return the shell command that creates a repository and commits the project's files.

        The command excludes the product's own folder.
        """
        home, project = os.path.realpath(self._home), os.path.realpath(self._project)
        line = exclude_rules.exclude_line(home, project)
        exclude = f"echo {shlex.quote(line)} >> .git/info/exclude && " if line else ""
        enter = f"cd {shlex.quote(str(self._project))}"
        return f"{enter} && git init && {exclude}git add -A && git commit"

    def _ours(self, location: GitLocation) -> list[str]:
        return [os.path.relpath(each, location.top) for each in (self._home, self._workspace)]

    def location(self) -> GitLocation:
        with self._finding:
            if self._location is None:
                self._location = location_of(self._project, self._workspace)
            return self._location

    def known_common_directory(self) -> Path | None:
        """Return the repository's common directory if it is already known, otherwise None.

        Runs no git.
        """
        return self._location.common if self._location else None

    def directories(self) -> Sequence[str]:
        """Return the repository's top and its common directory; empty if there is no repository."""
        if not has_repository(self._project):
            return ()
        try:
            location = self.location()
        # Jobs that need the repository are rejected later, with the reason.
        except RepositoryError:
            return ()
        return location.top, str(location.common)

    def relocate(self) -> None:
        """Update stored paths after the project was moved. Idempotent.

        Raise RepositoryError if git fails.
        """
        if has_repository(self._project):
            location = self.location()
            relocation.relocate(
                location.git,
                location.worktrees,
                self._workspace,
                top=location.top,
                common=location.common,
            )

    def open_worktree(
        self, directory: str, branch: str, start: str, parent_directory: str = ""
    ) -> None:
        location = self.location()
        self._exclude_workspace(location)
        self._ignore_rules(directory).save(location.git)
        if is_complete(directory):
            # The worktree has files of an attempt, so repair it and never create it again.
            broken_worktrees.repair(location.worktrees, directory, branch, start)
        settings_before = self._settings(directory)
        worktree = location.worktrees.open(directory, branch, start, settings_before.of)
        git = location.worktrees.git_of(worktree)
        settings_before.save(git)
        submodules.fill(git, worktree.admin, location.top, "HEAD", refill=False)
        parent = location.worktrees.find(parent_directory) if parent_directory else None
        if parent is not None:
            parent_git = location.worktrees.git_of(parent)
            copied_files.inherit(parent_git, location.top, git, worktree.admin, self._rules)
        self._add_ignored_files(worktree)

    def _add_ignored_files(self, worktree: RegisteredWorktree) -> None:
        location = self.location()
        git = location.worktrees.git_of(worktree)
        copied_files.copy_or_link(
            location.git, git, worktree.admin, self._rules, self._ours(location)
        )
        self._installed_packages(worktree).derive(worktree.admin)

    def _installed_packages(self, worktree: RegisteredWorktree) -> InstalledPackages:
        location = self.location()
        project = location.prefix.rstrip("/")
        ours = self._ours(location)
        return InstalledPackages(
            location.git, ours, worktree.directory, project, self._rules.derive
        )

    def tools(self, directory: str, programs: str, search: str, *, trusted: bool) -> Tools:
        packages = self._installed_packages(self.location().complete_worktree(directory))
        return packages.tools(programs, search, trusted=trusted)

    def _exclude_workspace(self, location: GitLocation) -> None:
        with self._finding:
            if not self._workspace_is_excluded:
                exclude_rules.exclude_from_checkout(
                    location.git, location.top, location.common, str(self._workspace)
                )
                self._workspace_is_excluded = True

    def close_worktree(self, directory: str, branch: str, signature: Signature) -> None:
        location = self.location()
        if not self._is_committed(directory, branch):
            worktree = location.worktrees.repaired_worktree(directory, branch)
            if worktree is not None:
                self._commit(worktree, branch, "Uncommitted files of the worktree", signature)
        location.worktrees.close(directory, spare=True)

    def _is_committed(self, directory: str, branch: str) -> bool:
        """True if the branch contains all files of the worktree. False if that is uncertain."""
        location = self.location()
        worktree = location.worktrees.find(directory) if is_complete(directory) else None
        if worktree is None:
            return False
        location.worktrees.unlock(worktree, branch)
        git, nested = self._git_of(worktree), nested_refs(*self._worker_of(directory))
        if submodules.may_have_some(git, worktree.admin) or self.commits_below(nested):
            return False
        rules = self._ignore_rules(directory)
        if repository_state.branch(git) != branch or rules.have_changed(git):
            return False
        # Ignore submodules, because the configuration of a nested repository may name programs,
        # which git would run.
        options = ("--porcelain=v2", "-z", "--untracked-files=all", "--ignore-submodules=all")
        answer = git.run("status", *options, accept=range(256))
        return answer.code == 0 and not answer.out

    def remove_spare_worktrees(self, directory: str) -> None:
        self.location().spares.drop(directory)

    def push_refusals(self) -> Sequence[tuple[str, str]]:
        if not has_repository(self._project):
            return ()
        return tuple(push_refusals.refusals(self.location().git))

    def project_path(self, directory: str) -> str:
        return os.path.join(directory, self.location().prefix).rstrip("/")

    def commit(
        self,
        directory: str,
        branch: str,
        message: str,
        signature: Signature,
        promised: Sequence[str] = (),
    ) -> str:
        location = self.location()
        worktree = location.worktrees.repaired_worktree(directory, branch)
        worktree = worktree or location.complete_worktree(directory)
        return self._commit(worktree, branch, message, signature, promised)

    def _commit(
        self,
        worktree: RegisteredWorktree,
        branch: str,
        message: str,
        signature: Signature,
        promised: Sequence[str] | None = None,
    ) -> str:
        """Commit the worktree's changes. Return the commit.

        ``promised``: paths of files that the task must create; None: the paths of the previous call
        for this worktree.
        """
        git, top = self._git_of(worktree), self.location().top
        submodules.commit_all(git, worktree.admin, top, branch, message, signature)
        rules = self._rules_of(worktree, promised)
        tip, added = commits.commit_changes(git, branch, message, signature, rules)
        if added.nested:
            nested_repositories.save_histories(
                git, added.nested, nested_refs(*self._worker_of(worktree.directory))
            )
        held_back_files.note(worktree.admin, added.held, rules.promised)
        return tip

    def _rules_of(
        self, worktree: RegisteredWorktree, promised: Sequence[str] | None = None
    ) -> commits.CommitRules:
        if promised is None:
            paths = held_back_files.noted(worktree.admin)[1]
        else:
            paths = tuple(posixpath.join(self.location().prefix, each) for each in promised)
        root_id, worker_id = self._worker_of(worktree.directory)
        return commits.CommitRules(
            patterns=self._ignore_rules(worktree.directory),
            start=f"{hidden(root_id)}start/{worker_id}",
            without=copied_paths(worktree.admin),
            never=self._rules.never,
            promised=paths,
            abandoned=abandoned_refs(root_id, worker_id),
        )

    def merge_side_work(
        self,
        directory: str,
        branch: str,
        tip: str,
        message: str,
        signature: Signature,
        promised: Sequence[str] = (),
    ) -> MergedSideWork:
        location = self.location()
        worktree = location.complete_worktree(directory)
        root_id, worker_id = self._worker_of(worktree.directory)
        ended = side_work.EndedWorktree(
            worktree=worktree,
            git=location.worktrees.git_of(worktree),
            with_saved_settings=self._settings(worktree.directory).of,
            branch=branch,
            root_id=root_id,
            worker_id=worker_id,
            signature=signature,
            message=message,
            rules=self._rules_of(worktree),
            job=self._job_directory(directory),
        )
        merged, work = side_work.merge_side_work(ended, location.worktrees, tip)
        if merged != tip:
            # The merged files may include links to nested repositories, so commit again.
            merged = self._commit(worktree, branch, message, signature, promised)
        copied = copied_paths(worktree.admin)
        held = held_back_files.noted(worktree.admin)[0]
        # Omit files that were copied when the worktree was created: the worker did not create them.
        theirs = (each for each in held if not any(within(each.path, copy) for copy in copied))
        return MergedSideWork(commit=merged, work=work, held_back=tuple(theirs))

    def _worker_of(self, directory: str) -> tuple[str, str]:
        return self._root_of(directory), os.path.basename(os.path.dirname(directory))

    def _ignore_rules(self, directory: str) -> frozen_config.FrozenIgnoreRules:
        return frozen_config.FrozenIgnoreRules(
            self.location().common, self._job_directory(directory) / frozen_config.IGNORE_RULES
        )

    def _settings(self, directory: str) -> FrozenConfig:
        return FrozenConfig(self._job_directory(directory) / frozen_config.NAME)

    def _git_of(self, worktree: RegisteredWorktree) -> Git:
        return self._settings(worktree.directory).of(self.location().worktrees.git_of(worktree))

    def _job_directory(self, directory: str) -> Path:
        return self._workspace / f"job_{self._root_of(directory)}"

    def snapshot(self, directory: str, message: str, signature: Signature) -> str:
        worktree = self.location().complete_worktree(directory)
        location = self.location()
        git, name = self._git_of(worktree), f"{hidden(self._root_of(directory))}snapshot"
        inner = submodules.snapshot(git, worktree.admin, location.top, name, message, signature)
        rules = self._rules_of(worktree)
        return commits.snapshot(git, worktree.admin, message, signature, inner, rules)[0]

    def _root_of(self, directory: str) -> str:
        inside = os.path.relpath(os.path.realpath(directory), os.path.realpath(self._workspace))
        return inside.split("/")[0].removeprefix("job_")

    def repair_worktree(self, directory: str, branch: str, start: str) -> tuple[Sequence[str], str]:
        location = self.location()
        damage = broken_worktrees.repair(location.worktrees, directory, branch, start)
        return damage, broken_worktrees.head_before_rebase(
            self.location().complete_worktree(directory)
        )

    def has_conflicts(self, directory: str) -> bool:
        worktree = self.location().complete_worktree(directory)
        if broken_worktrees.unfinished(worktree.admin):
            return True
        return bool(broken_worktrees.unmerged(self.location().worktrees.git_of(worktree)))

    def abort_operation(self, directory: str) -> None:
        broken_worktrees.abort_operation(self.location().complete_worktree(directory))

    def commit_ignored(self, directory: str, message: str, signature: Signature) -> str:
        location = self.location()
        git = location.worktrees.git_of(self.location().complete_worktree(directory))
        return ignored_files.save(git, location.top, message, signature)

    def ignored_files(self, directory: str, paths: Sequence[str]) -> Sequence[str]:
        location = self.location()
        git = location.worktrees.git_of(location.complete_worktree(directory))
        return ignored_files.matching(git, location.prefix, paths)

    def new_ignored_files(self, kept: str, earlier: str) -> Sequence[str]:
        known_paths = {*self.gate_files(earlier).paths()} if earlier else ()
        users = self.project_path(self.location().top)
        new_paths = (each for each in self.gate_files(kept).paths() if each not in known_paths)
        return [each for each in new_paths if not os.path.lexists(os.path.join(users, each))]

    def restore_ignored(self, directory: str, commit: str) -> None:
        location = self.location()
        ignored_files.restore(
            location.worktrees.git_of(self.location().complete_worktree(directory)),
            location.top,
            commit,
        )

    def roll_back(self, directory: str, branch: str, commit: str, kept: str) -> None:
        location = self.location()
        worktree_rollback.roll_back(
            location.worktrees, location.top, directory, branch, commit, kept
        )
        worktree = location.complete_worktree(directory)
        self._refill(worktree, commit)
        # Copy files from the checkout again, because a checkpoint does not record which files were
        # copied.
        self._add_ignored_files(worktree)

    def _refill(self, worktree: RegisteredWorktree, commit: str) -> None:
        location = self.location()
        submodules.fill(location.worktrees.git_of(worktree), worktree.admin, location.top, commit)

    def update_files(self, directory: str, now: str, then: str) -> None:
        location, worktree = self.location(), self.location().complete_worktree(directory)
        git = location.worktrees.git_of(worktree)
        submodules.check_clean(git, worktree.admin, location.top, now, then)
        worktree_files.change_files(git, now, then)
        submodules.move(git, worktree.admin, location.top, now, then)

    def gate_files(self, commit: str) -> CommitFiles:
        location = self.location()
        return CommitFiles(location.git, commit, location.prefix, self._ours(location))

    def open_detached_worktree(self, directory: str, commit: str) -> None:
        location = self.location()
        self._exclude_workspace(location)
        worktree = location.worktrees.open_at(directory, commit)
        submodules.fill(
            location.worktrees.git_of(worktree), worktree.admin, location.top, commit, refill=False
        )
        self._add_ignored_files(worktree)

    # Copies on other machines: implements ``core.ports.worktree_transfer.ServerWorktrees``.

    def pack(self, worktree: WorktreeFiles, known: Sequence[str], path: str) -> Sequence[str]:
        location, registered = (
            self.location(),
            self.location().complete_worktree(worktree.directory),
        )
        git, changes = location.worktrees.git_of(registered), worktree.commit
        if submodules.may_have_some(git, registered.admin):
            raise RepositoryError(
                "submodules of the project are not copied to other machines; run the task on the "
                "server's machine (node: here)"
            )
        if node_worktrees.is_changed(git):
            # Files have changed since the commit, for example because of a late child job's result.
            message_and_author = node_worktrees.MESSAGE, node_worktrees.SIGNATURE
            changes = self.snapshot(worktree.directory, *message_and_author)
        return node_worktrees.write_for_node(location.git, worktree.commit, changes, known, path)

    def files_outside_git(self, worktree: WorktreeFiles) -> Sequence[str]:
        location = self.location()
        return node_worktrees.other_files(
            location.worktrees.git_of(location.complete_worktree(worktree.directory))
        )

    def apply_received(self, worktree: WorktreeFiles, path: str) -> None:
        location, registered = (
            self.location(),
            self.location().complete_worktree(worktree.directory),
        )
        location.worktrees.unlock(registered, worktree.branch)
        objects = str(location.common / "objects")
        prefix = abandoned_refs(*self._worker_of(worktree.directory))
        arguments = (objects, worktree.branch, worktree.commit, prefix, path)
        node_worktrees.apply_received(self._git_of(registered), registered.admin, *arguments)

    def pack_change(self, change: FileChange, known: Sequence[str], path: str) -> None:
        tips = (change.now, change.then, *change.branches.values())
        node_worktrees.write_commits(self.location().git, tuple(dict.fromkeys(tips)), known, path)

    def remove_detached_worktree(self, directory: str) -> None:
        self.location().worktrees.close(directory)

    def set_files(
        self, directory: str, commit: str, base: str, swap: Mapping[str, str | None]
    ) -> None:
        worktree, worktrees = (
            self.location().complete_worktree(directory),
            self.location().worktrees,
        )
        worktrees.unlock(worktree)
        worktree_files.set_files(worktrees.git_of(worktree), commit, base, swap)

    def changed_places(self, directory: str, commit: str) -> Mapping[str, Sequence[str]]:
        worktree = self.location().complete_worktree(directory)
        return commit_diffs.changed_places(self.location().worktrees.git_of(worktree), commit)

    def restore_files(self, directory: str, commit: str) -> None:
        worktree, worktrees = (
            self.location().complete_worktree(directory),
            self.location().worktrees,
        )
        worktrees.unlock(worktree)
        worktree_files.restore(worktrees.git_of(worktree), commit)
        self._refill(worktree, commit)

    def ways_to_merge(self) -> str:
        location = self.location()
        return repository_state.ways_to_merge(location.git, location.common)

    def back_up_git_files(self, directory: str) -> None:
        location = self.location()
        try:
            RepositoryBackup(Path(directory)).note(location.git, location.common)
        except RepositoryError:
            git_directory_repair.restore_for_running_jobs(self._workspace)
            RepositoryBackup(Path(directory)).note(location.git, location.common)

    def restore_git_files(self, directory: str) -> Sequence[str]:
        return RepositoryBackup(Path(directory)).restore()

    def checkout_state(self) -> Mapping[str, str]:
        location = self.location()
        self._exclude_workspace(location)
        state = repository_state.state(
            location.git, location.top, location.common, self._ours(location)
        )
        return {**state, **dict(submodules.state(location.top, location.git))}

    def exists(self) -> bool:
        return has_repository(self._project)

    def ref_moves(self, root_id: str, since: float) -> Sequence[RefMove]:
        return tuple(ref_logs.ref_moves(self.location().common, root_id, since))

    def checkout_files(self, state: Mapping[str, str] | None = None) -> Checkout | None:
        if not self.exists():
            return None
        location = self.location()
        self._exclude_workspace(location)
        fingerprints = None if state is None else repository_state.files_of(state)
        if fingerprints is None:
            fingerprints = repository_state.files(location.git, location.top, self._ours(location))
        files = {
            posixpath.relpath(path, f"./{location.prefix}"): fingerprint
            for path, fingerprint in fingerprints.items()
        }
        commit = location.git.resolve("HEAD")
        return Checkout(files, commit, location.prefix, location.top)

    def remove_job_refs(
        self, root_id: str, directory: str, current_directory: str
    ) -> Sequence[str]:
        try:
            if has_repository(self._project) and may_have_refs(self.location().common, root_id):
                return job_ref_removal.remove(
                    self.location(), root_id, directory, current_directory
                )
        except RepositoryError as error:
            # A broken or missing repository must not prevent the removal of a job.
            logger.warning(
                "git failed: worktrees and branches of a removed job may remain; remove them with "
                "git worktree and git branch",
                extra={"job": root_id, "error": error.message},
            )
        return ()

    def secure(self, root_id: str, directory: str) -> None:
        location = self.location() if has_repository(self._project) else None
        if location is None or not may_have_refs(location.common, root_id):
            return
        real = os.path.realpath(directory)
        if location.worktrees.below(real):
            unlanded_work.save_commits(location.git, location.worktrees, root_id, real, real)

    def discard_job(self, root_id: str, directory: str) -> Sequence[str]:
        if not has_repository(self._project):
            return ()
        return job_ref_removal.discard(self.location(), root_id, directory)

    def unlanded(self, root_id: str) -> Mapping[str, str]:
        if not has_repository(self._project):
            return {}
        directory = os.path.realpath(self._workspace / f"job_{root_id}")
        return unlanded_work.unlanded(self.location(), root_id, directory)
