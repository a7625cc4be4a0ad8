"""Submodules: their checkouts in worktrees, and the user's own submodule repositories.

Each submodule of a worktree has its own repository, inside the worktree's git directory. This
repository borrows objects from the user's submodule repository, so no network is needed.

A worker's changes are committed in the worktree's submodule repository. The commits are then
fetched to a branch of the user's submodule repository, so that the commits outlive the worktree.
The product changes nothing else in the user's submodule repository.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.repository.repository import Signature
from orchestrator.git.command.bounded_cache import BoundedCache
from orchestrator.git.command.private_index import private_index
from orchestrator.git.command.ref_files import listed_refs
from orchestrator.git.command.runner import Git
from orchestrator.git.commits.commit_creation import commit_tree, put_modules, tree_of, unused_name
from orchestrator.git.commits.commit_diffs import commit_key
from orchestrator.git.commits.staged_entries import LINK

logger = logging.getLogger(__name__)

#: File that marks a submodule's repository as complete.
READY = "orchestrator-ready"
_KEPT = "refs/orchestrator/kept"
_HIDDEN = "refs/orchestrator/"
_MOST_PLAIN = 256


@dataclass(frozen=True, slots=True)
class Submodule:
    #: Path of the submodule in its parent repository.
    path: str
    #: Directory of the submodule in the user's checkout.
    users: str
    #: Directory of the submodule in the worktree.
    directory: str
    #: The commit that the worktree needs.
    commit: str
    #: The submodule's repository, inside the worktree's git directory.
    own: Path

    @property
    def git(self) -> Git:
        return Git(self.directory, {"GIT_DIR": str(self.own), "GIT_WORK_TREE": self.directory})

    @property
    def is_filled(self) -> bool:
        return (self.own / READY).exists()

    @property
    def is_workers(self) -> bool:
        """True if the worker, not orchestrator, put the files into the submodule's directory."""
        place = self.directory
        return not self.own.exists() and os.path.isdir(place) and bool(os.listdir(place))

    @property
    def source(self) -> Git | None:
        """The user's own repository of the submodule; None if the user has not cloned it."""
        if not os.path.lexists(f"{self.users}/.git"):
            return None
        git_directory = Git(self.users, {}).ask("rev-parse", "--absolute-git-dir")
        return Git(git_directory, {"GIT_DIR": git_directory}) if git_directory else None

    @property
    def has_source_commit(self) -> bool:
        source = self.source
        return source is not None and has(source, self.commit)


def has(git: Git, commit: str) -> bool:
    return bool(git.resolve(f"{commit}^{{tree}}"))


def links(git: Git, commit: str) -> dict[str, str]:
    """Return the commits that ``commit`` records for its submodules, by path."""
    if not _has_modules(git, commit):
        return {}
    entries = (each.partition("\t") for each in git.run("ls-tree", "-r", "-z", commit).fields)
    return {path: header.split(" ")[2] for header, _, path in entries if header.startswith(LINK)}


#: Cache of commits without submodules, by the repository's directory and the commit. A job checks
#: the same two commits seven times.
_plain = BoundedCache[tuple[str, str], bool](_MOST_PLAIN)


def _has_modules(git: Git, commit: str) -> bool:
    key = commit_key(git, commit)
    if key is None:
        return bool(git.resolve(f"{commit}:.gitmodules"))
    if _plain.get(key):
        return False
    tree, modules = git.resolve_all([f"{commit}^{{tree}}", f"{commit}:.gitmodules"])
    # Check the tree, too: if the tree object is missing, git finds no file .gitmodules, although
    # the commit may have submodules.
    if tree and not modules:
        _plain.put(key, True)
    return bool(modules)


def submodules_of(git: Git, admin: Path, top: str, commit: str) -> Iterator[Submodule]:
    for path, each in links(git, commit).items():
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        place = f"{git.directory}/{path}"
        yield Submodule(path, f"{top}/{path}", place, each, admin / "modules" / name)


def may_have_some(git: Git, admin: Path) -> bool:
    """True if a worktree may have submodules. False if the worktree has none.

    This function runs no git, because most repositories have no submodules.
    """
    return os.path.lexists(f"{git.directory}/.gitmodules") or (admin / "modules").exists()


def fill(git: Git, admin: Path, top: str, commit: str, *, refill: bool = True) -> None:
    """Check out the submodules of ``commit`` in a worktree.

    A submodule stays empty if the user's repository of the submodule lacks the objects. ``refill``:
    True to also check out submodules that already have files.
    """
    for module in submodules_of(git, admin, top, commit) if may_have_some(git, admin) else ():
        if not refill and (module.is_filled or module.is_workers):
            continue
        if (module.is_filled or _create_repository(module)) and _check_out(module):
            fill(module.git, module.own, module.users, module.commit, refill=refill)


def _check_out(module: Submodule) -> bool:
    """Check out a submodule. If the first checkout fails, empty the directory, and return False.

    The first checkout may fail because the user's repository is a partial clone that lacks files of
    the commit. If a later checkout fails, raise RepositoryError.
    """
    _relink(module)
    try:
        module.git.run("checkout", "--quiet", "--force", "--detach", module.commit)
    except RepositoryError as error:
        if module.is_filled:
            raise
        about = {"submodule": module.path, "error": error.message}
        logger.warning("cannot check out a submodule; its directory stays empty", extra=about)
        shutil.rmtree(module.directory)
        shutil.rmtree(module.own)
        os.mkdir(module.directory)
        return False
    module.git.run("clean", "-ffdq", accept=range(256))
    (module.own / READY).touch()
    return True


def _create_repository(module: Submodule) -> bool:
    users = module.source
    if users is None or not module.has_source_commit or os.path.islink(module.directory):
        return False
    shutil.rmtree(module.own, ignore_errors=True)
    module.own.parent.mkdir(parents=True, exist_ok=True)
    os.makedirs(module.directory, exist_ok=True)
    object_format = users.run("rev-parse", "--show-object-format").text
    # Use no templates, because the user's templates may contain hooks.
    module.git.run("init", "--quiet", "--template=", f"--object-format={object_format}")
    command = ("rev-parse", "--path-format=absolute", "--git-path")
    (module.own / "objects" / "info").mkdir(parents=True, exist_ok=True)
    lines = f"{users.run(*command, 'objects').line}\n"
    (module.own / "objects" / "info" / "alternates").write_bytes(os.fsencode(lines))
    shallow = users.run(*command, "shallow").line
    if os.path.exists(shallow):
        shutil.copy2(shallow, module.own / "shallow")
    store = users.run(*command, "lfs").line
    if os.path.isdir(store):
        module.git.run("config", "lfs.storage", store)
    return True


def _relink(module: Submodule) -> None:
    # A worker may have created its own repository at this path.
    link, content = f"{module.directory}/.git", os.fsencode(f"gitdir: {module.own}\n")
    if os.path.isfile(link) and not os.path.islink(link) and Path(link).read_bytes() == content:
        return
    if os.path.isdir(link) and not os.path.islink(link):
        os.rename(link, unused_name(f"{module.directory}/dot-git"))
    elif os.path.lexists(link):
        os.unlink(link)
    Path(link).write_bytes(content)


def _with_files(git: Git, admin: Path, top: str) -> Iterator[Submodule]:
    """Yield the submodules of HEAD that have files, after repairing their repositories."""
    for module in submodules_of(git, admin, top, "HEAD") if may_have_some(git, admin) else ():
        place = module.directory
        has_files = os.path.isdir(place) and not os.path.islink(place) and os.listdir(place)
        if has_files and (module.is_filled or _recreate_repository(module)):
            _relink(module)
            (module.own / "index.lock").unlink(missing_ok=True)
            yield module


def _recreate_repository(module: Submodule) -> bool:
    if not _create_repository(module):
        return False
    module.git.run("update-ref", "--no-deref", "HEAD", module.commit)
    module.git.run("read-tree", "HEAD")
    (module.own / READY).touch()
    return True


def commit_all(
    git: Git, admin: Path, top: str, branch: str, message: str, signature: Signature
) -> None:
    """Commit the uncommitted changes of all submodules, and save the submodules' commits.

    The commits are saved on ``branch`` in the user's submodule repositories. Idempotent.
    """
    for module in _with_files(git, admin, top):
        inner = module.git
        commit_all(inner, module.own, module.users, branch, message, signature)
        head = inner.run("rev-parse", "--verify", "HEAD^{commit}").text
        inner.run("add", "--all", "--sparse", "--", ".")
        tree = inner.run("write-tree").text
        if tree != tree_of(inner, head):
            head = commit_tree(inner, tree, [head], message, signature)
            inner.run(
                "update-ref", "-m", "orchestrator: uncommitted files of the worker", "HEAD", head
            )
        _save_commit(module, head, branch)


def _save_commit(module: Submodule, commit: str, name: str) -> None:
    """Save a commit of a worktree's submodule in the user's submodule repository.

    If no ref of that repository contains the commit yet, the commit gets the ref ``name`` there.
    The commit is fetched instead of pushed, because a push would run the user's hooks. Raise
    RepositoryError if the user's clone no longer exists, or if git fails.
    """
    source = module.source
    if source is None:
        raise RepositoryError(
            f"cannot save the changes in submodule {module.path}: your clone of the submodule no "
            "longer exists; restore it: git submodule update --init"
        )
    if _is_saved(source, commit, hidden=name.startswith(_HIDDEN)):
        return
    module.git.run("update-ref", _KEPT, commit)
    quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--force")
    source.run(
        *("-c", "protocol.file.allow=always"),
        *("fetch", *quiet, str(module.own), f"{_KEPT}:{name}"),
    )


def _is_saved(git: Git, commit: str, *, hidden: bool) -> bool:
    """True if HEAD or another ref of the repository contains the commit.

    ``hidden``: True to also search the product's own refs below ``refs/orchestrator/``.
    """
    if not has(git, commit):
        return False
    holders = listed_refs(git, f"--contains={commit}")
    if any(hidden or not each.startswith(_HIDDEN) for each in holders):
        return True
    return git.is_ancestor(commit, "HEAD")


def snapshot(
    git: Git, admin: Path, top: str, name: str, message: str, signature: Signature
) -> Mapping[str, str]:
    """Create a commit of each submodule with uncommitted changes. Return these commits by path.

    The files, index, and HEAD of each submodule stay unchanged. For each submodule, a ref below
    ``name`` in the user's submodule repository saves the new commit, or HEAD's commit if there are
    no uncommitted changes. No ref is created if another ref contains this commit.
    """
    commits = {}
    for module in _with_files(git, admin, top):
        inner = module.git
        inner_commits = snapshot(inner, module.own, module.users, name, message, signature)
        head = inner.run("rev-parse", "--verify", "HEAD^{commit}").text
        with private_index() as env:
            inner.run("read-tree", "HEAD", env=env)
            inner.run("add", "--all", "--sparse", "--", ".", env=env)
            put_modules(inner, inner_commits, env)
            tree = inner.run("write-tree", env=env).text
        commit = head
        if tree != tree_of(inner, head):
            commit = commit_tree(inner, tree, [head], message, signature)
            commits[module.path] = commit
        _save_commit(module, commit, f"{name}/{commit}")
    return commits


def check_clean(git: Git, admin: Path, top: str, now: str, then: str) -> None:
    """Raise RepositoryError if a move would change a submodule with uncommitted changes.

    ``now`` and ``then``: the worktree's commits before and after the move.
    """
    after = links(git, then)
    for module in submodules_of(git, admin, top, now):
        moves = module.is_filled and after.get(module.path) not in (module.commit, None)
        if moves and module.git.run("status", "--porcelain", "-z").fields:
            raise RepositoryError(
                f"cannot update submodule {module.path} in {git.directory}: it has uncommitted "
                "changes; commit them first"
            )


def move(git: Git, admin: Path, top: str, now: str, then: str) -> None:
    """Check out the submodules that differ between two commits of a worktree.

    ``now`` and ``then``: the worktree's commits before and after the move.
    """
    before = links(git, now)
    for module in submodules_of(git, admin, top, then):
        if before.get(module.path) != module.commit and (
            module.is_filled or _create_repository(module)
        ):
            _relink(module)
            module.git.run("checkout", "--quiet", "--detach", module.commit)
            (module.own / READY).touch()


def missing(git: Git, top: str, commit: str) -> list[str]:
    """Return the paths of a commit's submodules that the user's checkout lacks.

    In worktrees, the directories of these submodules are empty.
    """
    modules = submodules_of(git, Path(top), top, commit)
    return [each.path for each in modules if not each.has_source_commit]


def changed_submodules(
    git: Git, top: str, start: str, end: str
) -> Iterator[tuple[Git, str, str, str]]:
    """Yield each submodule that has another commit in ``end`` than in ``start``.

    Each item has a Git for the user's repository of the submodule, the path, the earlier commit,
    and the later commit. The earlier commit is "" if the submodule is new, or if the user's
    repository lacks the commit. A submodule is omitted if the user's repository lacks the later
    commit.
    """
    before = links(git, start)
    for module in submodules_of(git, Path(top), top, end):
        earlier = before.get(module.path, "")
        source = module.source
        if earlier != module.commit and source is not None and has(source, module.commit):
            has_earlier = bool(earlier) and has(source, earlier)
            yield source, module.path, earlier if has_earlier else "", module.commit


def state(top: str, git: Git) -> Iterator[tuple[str, str]]:
    """Yield a description and a digest for each submodule repository of the user.

    The digest covers the refs and settings that a job must not change.
    """
    for module in submodules_of(git, Path(top), top, "HEAD"):
        source = module.source
        if source is not None:
            exclusions = ("--exclude=refs/heads/orchestrator/*", "--exclude=refs/orchestrator/*")
            refs = source.run("rev-parse", *exclusions, "--all", "HEAD", accept=range(256)).out
            config = source.run("config", "--local", "--list", "-z", accept=range(256)).out
            yield f"submodule {module.path}", hashlib.sha256(refs + config).hexdigest()


def remove_job_refs(git: Git, top: str, root_id: str) -> None:
    """Remove a root job's refs from the user's submodule repositories.

    A branch of the job is removed only if another ref contains the branch's commits. The product's
    branches and this job's refs do not count as other refs.
    """
    for module in submodules_of(git, Path(top), top, "HEAD"):
        source = module.source
        if source is not None:
            _remove_job_refs(source, root_id)


def _remove_job_refs(git: Git, root_id: str) -> None:
    hidden, branches = f"refs/orchestrator/{root_id}/", f"refs/heads/orchestrator/{root_id}/"
    stale = [*listed_refs(git, hidden)]
    for name in listed_refs(git, branches):
        holders = listed_refs(git, f"--contains={name}")
        if any(not each.startswith(("refs/heads/orchestrator/", hidden)) for each in holders):
            stale.append(name)
    git.update_refs(dict.fromkeys(stale, ""))
