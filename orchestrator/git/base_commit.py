"""Finds and checks the commit from which a job starts.

Also commits the uncommitted changes of the user's checkout, without changing the checkout.
"""

import os
import shutil
from collections.abc import Iterator, Sequence

from orchestrator.core.errors import InvalidRequest, RepositoryError
from orchestrator.core.repository.git_refs import BRANCHES, short
from orchestrator.core.repository.repository import Signature
from orchestrator.core.text.command_name import git_in
from orchestrator.core.text.formatting import listed
from orchestrator.core.text.path_patterns import within
from orchestrator.git.checkout import repository_state
from orchestrator.git.checkout.git_status import path_of, status
from orchestrator.git.command.private_index import private_index
from orchestrator.git.command.runner import Git, has_lfs, with_nul
from orchestrator.git.commits import submodules
from orchestrator.git.commits.commit_creation import commit_tree, tree_of
from orchestrator.git.repository_location import GitLocation

_SIGNATURE = Signature(name="orchestrator", email="snapshot@orchestrator.invalid")
_MESSAGE = "Uncommitted work when the job was submitted\n"
#: Maximum number of paths that a message names.
_MOST_PATHS = 10


def snapshot(git: Git, ours: Sequence[str], commit: str) -> tuple[str, list[str]]:
    """Return a commit on top of ``commit`` with the uncommitted files, and notes on omitted files.

    ``commit`` must be HEAD's commit. ``ours``: the product's own folders, which are not committed.
    If nothing is uncommitted, return ``commit`` itself. Raise RepositoryError if the files cannot
    be committed.
    """
    if commit != git.run("rev-parse", "--verify", "HEAD^{commit}").text:
        raise RepositoryError(
            "uncommitted changes can be included only if the job starts from HEAD; omit base, or "
            "check out the base first"
        )
    with private_index() as env:
        _copy_index(git, env["GIT_INDEX_FILE"])
        fields = _status(git, env)
        theirs = [each for each in fields if not _is_ours(path_of(each), ours)]
        omitted = sorted(_not_in_snapshot(theirs))
        included = [each for each in theirs if path_of(each) not in omitted]
        removed = [each for each in included if _is_gone(each)]
        _update_index(git, env, removed, "--force-remove")
        existing = [each for each in included if not _is_gone(each)]
        _update_index(git, env, existing, "--add", "--remove", "--replace")
        tree = git.run("write-tree", env=env).text
    if tree != tree_of(git, commit):
        commit = commit_tree(git, tree, [commit], _MESSAGE, _SIGNATURE)
    return commit, _notes_on_omitted(omitted)


def _copy_index(git: Git, to: str) -> None:
    # Copy the index with its time, because git uses this time to recognize unchanged files.
    index = git.run("rev-parse", "--path-format=absolute", "--git-path", "index").text
    if os.path.exists(index):
        shutil.copy2(index, to)


def _status(git: Git, env: dict[str, str]) -> list[str]:
    options = ("--porcelain=v2", "-z", "--untracked-files=all", "--no-renames")
    fields = git.run("status", *options, env=env).fields
    unmerged = [path_of(each) for each in fields if each.startswith("u ")]
    if unmerged:
        raise RepositoryError(
            f"the checkout has an unfinished merge ({', '.join(unmerged[:_MOST_PATHS])}); "
            f"finish it: {git_in(git.directory)} commit, or abort it: "
            f"{git_in(git.directory)} merge --abort"
        )
    return fields


def _update_index(git: Git, env: dict[str, str], fields: Sequence[str], *options: str) -> None:
    paths = with_nul(path_of(each) for each in fields)
    git.run("update-index", *options, "-z", "--stdin", stdin=paths, env=env)


def _is_gone(field: str) -> bool:
    # The result is also True for a file that was removed only from the index. Git lists such a file
    # a second time, as untracked, so the file is then added again.
    #
    # Removed files need ``--force-remove``. Without this option, git fails on the path of a removed
    # file if a link has replaced the file's directory.
    return field[:1] == "1" and "D" in field[2:4]


def _not_in_snapshot(fields: Sequence[str]) -> Iterator[str]:
    # A snapshot does not contain the content of nested repositories and changed submodules.
    for field in fields:
        path = path_of(field)
        is_submodule = field[:1] == "1" and field.split(" ", 3)[2].startswith("S")
        if is_submodule or path.endswith("/"):
            yield path


def _is_ours(path: str, ours: Sequence[str]) -> bool:
    return any(within(path.rstrip("/"), each) for each in ours)


def _notes_on_omitted(omitted: Sequence[str]) -> list[str]:
    if not omitted:
        return []
    paths = ", ".join(omitted[:_MOST_PATHS])
    return [f"changes in nested repositories are not included: {paths}"]


def not_included(git: Git, top: str, ours: Sequence[str]) -> list[str]:
    """Return a list with a note about uncommitted files, which workers do not get.

    The note lists the files that ``snapshot`` would commit. If there are no such files, the list is
    empty. ``ours``: the product's own folders, which the note omits.
    """
    fields = [each for each in status(git, top, ours) if not each.startswith("!")]
    omitted = {*_not_in_snapshot(fields)}
    paths = [path for path in map(path_of, fields) if not (path in omitted or _is_ours(path, ours))]
    if not paths:
        return []
    noun = "files" if len(paths) > 1 else "file"
    return [
        f"not included: {len(paths)} uncommitted {noun} of your checkout ({listed(paths)}); "
        "to include them: --include-dirty"
    ]


_LFS = (
    "the repository uses Git LFS, but git-lfs is not {}: workers get pointer files instead of "
    "the files' contents"
)


def notes(git: Git, commit: str) -> list[str]:
    """Return a note for each kind of files that worktrees of a commit will lack.

    The kinds are files of submodules, and files in Git LFS.
    """
    texts = []
    empty = submodules.missing(git, git.directory, commit)
    if empty:
        texts.append(
            f"submodules {', '.join(empty[:_MOST_PATHS])} are empty in worktrees, because your "
            "checkout lacks them; fetch them: git submodule update --init"
        )
    attributes = f"{commit}:.gitattributes"
    if git.resolve(attributes) and "filter=lfs" in git.ask("show", attributes):
        if not has_lfs():
            texts.append(_LFS.format("installed here"))
        elif not (
            git.ask("config", "filter.lfs.process") or git.ask("config", "filter.lfs.smudge")
        ):
            texts.append(_LFS.format("set up (git lfs install)"))
    return texts


def commit_of(git: Git, revision: str) -> str:
    """Return the commit of ``revision``, a branch, tag, or commit id; for "", HEAD's commit.

    Raise RepositoryError if the revision names no commit.
    """
    name = f"{revision or 'HEAD'}^{{commit}}"
    commit = git.resolve(name)
    if not commit:
        # Perhaps git rejects the repository, for example because another user owns it. This command
        # then raises an error with git's reason.
        git.run("rev-parse", "--git-dir")
    typed = git_in(git.directory)
    if not commit and revision:
        raise RepositoryError(
            "the repository has no branch, tag, or commit with this name; list them: "
            f"{typed} branch; {typed} tag"
        )
    if not commit:
        raise RepositoryError(
            f"the repository has no commit; create one: {typed} add -A && {typed} commit"
        )
    return commit


def branch_of(git: Git, revision: str) -> str:
    """Return the short name of the user's branch that ``revision`` names; "" if it names none.

    For the revision "", return the checked-out branch.
    """
    options = ("--symbolic-full-name", "--verify", "--quiet", "--end-of-options")
    output = git.ask("rev-parse", *options, revision) if revision else repository_state.branch(git)
    name = output.split("\n")[-1]
    is_users = name.startswith("refs/heads/") and not name.startswith(f"refs/heads/{BRANCHES}/")
    return short(name) if is_users else ""


def check(location: GitLocation, commit: str, revision: str) -> None:
    """Raise RepositoryError if workers cannot start from ``commit``.

    ``revision``: the user's name for the commit; "" if the user named none.
    """
    if location.git.resolve(f"refs/heads/{BRANCHES}"):
        raise RepositoryError(
            f"cannot create branches {BRANCHES}/..., because a branch is named {BRANCHES!r}; "
            f"rename it: {git_in(location.top)} branch -m {BRANCHES} NEW"
        )
    if location.prefix and not tracks(location.git, commit, location.prefix.rstrip("/")):
        what = f"commit {commit[:12]}" if revision else "the last commit"
        raise RepositoryError(
            f"the project directory {location.prefix} does not exist in {what} of {location.top}; "
            "commit its files first, or start from another commit"
        )
    if revision:
        _check_files_are_here(location.git, commit)


def _check_files_are_here(git: Git, commit: str) -> None:
    # Do not check a sparse checkout, which needs only some of the files.
    partial = git.ask("config", "--get-regexp", r"^remote\..*\.promisor$")
    if not partial or git.ask("config", "--type=bool", "core.sparseCheckout") == "true":
        return
    options = ("--objects", "--no-walk", "--missing=print")
    objects = git.run("rev-list", *options, commit).text.splitlines()
    missing = sum(line.startswith("?") for line in objects)
    if missing:
        raise RepositoryError(
            f"{missing} of the commit's files are missing in this partial clone; fetch the files: "
            f"`git diff HEAD {commit[:12]} > /dev/null`"
        )


def tracks(git: Git, commit: str, path: str) -> bool:
    return bool(git.resolve(f"{commit}:{path}"))


def invalid_base(revision: str, error: Exception) -> InvalidRequest:
    message = (
        f"cannot start from base {revision!r}: {error}"
        if revision
        else f"cannot include uncommitted changes: {error}; or start from the last commit: omit "
        "--include-dirty (include_dirty)"
    )
    return InvalidRequest(message, kind="base")
