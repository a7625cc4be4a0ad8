"""Repositories that an agent creates in its worktree, for example by `git init` or `git clone`.

The files of these repositories are committed as files of the worktree, because git alone would
commit only a link. The history of each nested repository is saved on refs of the user's repository.
"""

import logging
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.git.command.private_index import private_index
from orchestrator.git.command.ref_files import listed_refs, part_of_ref
from orchestrator.git.command.runner import ITSELF, Git, with_nul
from orchestrator.git.commits.staged_entries import Staged
from orchestrator.security.files.untrusted_files import read_regular

logger = logging.getLogger(__name__)

_QUIET = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--force")
#: Maximum number of branches of a nested repository that are saved. Only a clone has more branches.
_MOST_BRANCHES = 100
#: Ref of a commit with the content of a shallow clone, but without the clone's incomplete history.
_ALONE = "refs/orchestrator/alone"
_MOST_LINK_BYTES = 65536
_NOBODY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "orchestrator"), ("EMAIL", "nested@orchestrator.invalid"))
}


@dataclass(frozen=True, slots=True)
class Nested:
    #: Path from the top of the worktree.
    path: str
    directory: str

    @property
    def git(self) -> Git:
        place = {"GIT_DIR": f"{self.directory}/.git", "GIT_WORK_TREE": self.directory}
        return Git(self.directory, place)

    @property
    def head(self) -> str:
        """The commit of HEAD; "" if the repository has no commit."""
        return self.git.resolve("HEAD^{commit}")


def at(git: Git, path: str) -> Nested:
    return Nested(path, os.path.join(git.directory, path))


def is_worktree(git: Git, path: str) -> bool:
    """True if the path is another worktree of the same repository.

    ``git.merge.side_work`` merges the work of this other worktree.
    """
    link = read_regular(Path(git.directory, path, ".git"), _MOST_LINK_BYTES) or b""
    git_directory = os.fsdecode(link.removeprefix(b"gitdir:").strip())
    entries = os.path.dirname(os.path.realpath(git.env["GIT_DIR"]))
    return bool(git_directory) and os.path.dirname(os.path.realpath(git_directory)) == entries


def unborn(git: Git) -> list[str]:
    """Return the paths of nested repositories that have no commit.

    While the worktree contains a repository without a commit, git adds no file.
    """
    paths = []
    for parent, names, _ in os.walk(git.directory):
        if parent != git.directory and ".git" in names:
            path = os.path.relpath(parent, git.directory)
            if not at(git, path).head:
                paths.append(path)
        names[:] = [each for each in names if each != ".git"]
    return paths


def enter(git: Git, paths: Sequence[str]) -> Sequence[Nested]:
    """Replace the index entries of the nested repositories ``paths`` with entries of their files.

    Before the call, the index entry of a nested repository is a link to a commit. Return all nested
    repositories, at any depth. The files and the repositories on disk stay unchanged.
    """
    repositories: list[Nested] = []
    files: list[str] = []
    for path in paths:
        _enter(git, at(git, path), repositories, files)
    if repositories:
        links = with_nul(each.path for each in repositories)
        git.run("update-index", "--force-remove", "-z", "--stdin", stdin=links)
    if files:
        git.run("update-index", "--add", "--replace", "-z", "--stdin", stdin=with_nul(files))
    return repositories


def _enter(git: Git, nested: Nested, repositories: list[Nested], files: list[str]) -> None:
    repositories.append(nested)
    with private_index() as empty:
        as_top = Git(nested.directory, {**git.env, "GIT_WORK_TREE": nested.directory, **empty})
        options = ("--others", "--exclude-standard", "-z")
        listed = as_top.run("ls-files", *options).fields
        tracked = set(nested.git.run("ls-files", "-z", accept=range(256)).fields)
        ignored = _ignored(git, nested.path, {*listed, *tracked}, tracked, empty)
    deeper = [each.rstrip("/") for each in listed if each.endswith("/")]
    plain = {each for each in listed if not each.endswith("/")}
    plain |= {each for each in tracked if _is_file(nested.directory, each)}
    files += (f"{nested.path}/{each}" for each in sorted(plain - ignored))
    for each in deeper:
        if f"{each}/" not in ignored:
            _enter(git, at(git, f"{nested.path}/{each}"), repositories, files)


def _ignored(
    git: Git, path: str, names: Iterable[str], tracked: set[str], empty: Mapping[str, str]
) -> set[str]:
    """Return the names of ignored files in the nested repository at ``path``.

    ``tracked``: the files that the nested repository tracks. The nested repository's `.gitignore`
    files do not apply to these files. ``empty``: variables that make git use an empty index.
    """
    paths = with_nul(f"./{path}/{name}" for name in names)
    command = ("--no-literal-pathspecs", "check-ignore", "--no-index", "-v", "-z", "--stdin")
    fields = git.run(*command, stdin=paths, env=empty, accept=(0, 1)).fields
    ignored_names = set()
    for source, pattern, matched_path in zip(fields[::4], fields[2::4], fields[3::4], strict=True):
        name = matched_path.removeprefix(f"./{path}/")
        is_own_rule = posixpath.normpath(source).startswith(f"{path}/")
        if not pattern.startswith("!") and not (is_own_rule and name in tracked):
            ignored_names.add(name)
    return ignored_names


def _is_file(directory: str, name: str) -> bool:
    place = os.path.join(directory, name)
    parent = os.path.dirname(place)
    if os.path.realpath(parent) != os.path.join(os.path.realpath(directory), os.path.dirname(name)):
        return False
    return os.path.islink(place) or os.path.isfile(place)


def among(git: Git, changed: Iterable[Staged]) -> Iterator[Nested]:
    """Yield nested repositories that contain files in ``changed``.

    Usually git adds a nested repository as a link, which shows that the repository exists. If the
    index already has files of the nested repository, git adds further files instead of a link. In
    this case, only this function finds the nested repository.
    """
    directories = {posixpath.dirname(each.path) for each in changed}
    while directories:
        for each in sorted(directories - {""}):
            if os.path.lexists(f"{git.directory}/{each}/.git"):
                yield at(git, each)
        directories = {posixpath.dirname(each) for each in directories} - {""}


def declared(git: Git) -> set[str]:
    if not os.path.isfile(f"{git.directory}/.gitmodules"):
        return set()
    command = ("config", "-z", "-f", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$")
    fields = git.run(*command, accept=range(256)).fields
    return {each.partition("\n")[2].rstrip("/") for each in fields}


def save_histories(git: Git, repositories: Iterable[Nested], prefix: str) -> None:
    """Fetch the histories of nested repositories to refs below ``prefix``. Idempotent.

    If an earlier call fetched a history that the new history does not contain, the earlier history
    gets another ref. If a fetch fails, this function only logs a warning, because the worker's
    commit has the files.
    """
    names: list[str] = []
    for _, each in sorted({nested.path: nested for nested in repositories}.items()):
        name = _ref_name(each.path, names)
        names.append(each.path)
        try:
            _save_history(git, each, f"{prefix}{name}")
        except RepositoryError as error:
            about = {"nested": each.path, "error": error.message}
            logger.warning("cannot save the history of a nested repository", extra=about)


def _ref_name(path: str, outer_paths: Sequence[str]) -> str:
    # Git does not allow a ref and a directory of refs with the same name. Therefore the refs of an
    # outer repository and of its inner repositories get different names.
    outer = next((each for each in reversed(outer_paths) if path.startswith(f"{each}/")), "")
    if not outer:
        return part_of_ref(path)
    inner = path.removeprefix(f"{outer}/")
    return f"{_ref_name(outer, outer_paths[: outer_paths.index(outer)])}+/{part_of_ref(inner)}"


def _save_history(git: Git, nested: Nested, ref: str) -> None:
    refs, existing = _refs_to_fetch(nested, ref), listed_refs(git, ref.rpartition("/")[0])
    changed = {name: source for name, source in refs.items() if existing.get(name) != source.commit}
    if not changed:
        return
    for name, source in changed.items():
        old = existing.get(name, "")
        if old and not nested.git.is_ancestor(old, source.commit):
            git.run("update-ref", *ITSELF, "-m", "orchestrator: kept", f"{name}+{old[:12]}", old)
    specs = [f"{source.ref}:{name}" for name, source in changed.items()]
    fetch = ("-c", "protocol.file.allow=always", "fetch", *_QUIET, "--no-auto-maintenance")
    git.run(*fetch, "--", nested.directory, *specs)


@dataclass(frozen=True, slots=True)
class _Source:
    ref: str
    commit: str


def _refs_to_fetch(nested: Nested, ref: str) -> dict[str, _Source]:
    """Return the refs to fetch, by the names that they get in the user's repository.

    The refs are HEAD, and each branch or stash with commits that HEAD lacks. For a shallow clone,
    return only HEAD.
    """
    git, head = nested.git, nested.head
    if git.ask("rev-parse", "--is-shallow-repository") == "true":
        return {ref: _without_history(git, head)} if head else {}
    not_in_head = (f"--no-merged={head}",) if head else ()
    branches = listed_refs(
        git, f"--count={_MOST_BRANCHES}", *not_in_head, "refs/heads", "refs/stash"
    )
    others = {
        f"{ref}+{name.removeprefix('refs/')}": _Source(name, commit)
        for name, commit in branches.items()
    }
    return {**({ref: _Source("HEAD", head)} if head else {}), **others}


def _without_history(git: Git, head: str) -> _Source:
    """Return the content of HEAD as a commit without history.

    The user's repository fetches the returned commit. Fetching the history of a shallow clone would
    make the user's repository shallow, too.
    """
    times = git.run("show", "--no-patch", "--format=%at %ct", head).text.split(" ")
    dates = zip(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), times, strict=True)
    env = {name: f"@{seconds} +0000" for name, seconds in dates} | _NOBODY
    message = git.run("show", "--no-patch", "--format=%B", head).out
    commit = git.run("commit-tree", f"{head}^{{tree}}", stdin=message, env=env).text
    git.run("update-ref", *ITSELF, _ALONE, commit)
    return _Source(_ALONE, commit)
