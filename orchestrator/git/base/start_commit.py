"""Finds and checks the commit from which a job starts."""

from orchestrator.core.errors import InvalidRequest, RepositoryError
from orchestrator.core.repository.git_refs import BRANCHES, short
from orchestrator.git.command.runner import Git, has_lfs
from orchestrator.git.repository_location import GitLocation
from orchestrator.git.submodules import user_submodules
from orchestrator.git.user_repository import checkout

_LFS = (
    "the repository uses Git LFS, but git-lfs is not {}: workers find pointer files instead of "
    "the contents"
)
#: Maximum number of submodules that a note names.
_MOST_PATHS = 10


def notes(git: Git, commit: str) -> list[str]:
    """Return notes on files of a commit that its worktrees will lack: submodules, and Git LFS
    files.
    """
    found = []
    empty = user_submodules.missing(git, git.directory, commit)
    if empty:
        found.append(
            f"submodules {', '.join(empty[:_MOST_PATHS])} are empty in worktrees, because your "
            "checkout lacks them; fetch them: git submodule update --init"
        )
    attributes = f"{commit}:.gitattributes"
    if git.resolve(attributes) and "filter=lfs" in git.ask("show", attributes):
        if not has_lfs():
            found.append(_LFS.format("installed here"))
        elif not (
            git.ask("config", "filter.lfs.process") or git.ask("config", "filter.lfs.smudge")
        ):
            found.append(_LFS.format("set up (git lfs install)"))
    return found


def commit_of(git: Git, revision: str) -> str:
    """Return the commit that a branch, tag, or id names; HEAD's commit for "".

    Raise RepositoryError.
    """
    name = f"{revision or 'HEAD'}^{{commit}}"
    commit = git.resolve(name)
    if not commit:
        # Git may also reject the repository, for example because another user owns it. This command
        # reports the reason.
        git.run("rev-parse", "--git-dir")
    if not commit and revision:
        raise RepositoryError("no such branch, tag, or commit in the repository")
    if not commit:
        raise RepositoryError("the repository has no commit")
    return commit


def branch_of(git: Git, revision: str) -> str:
    """Return the user's branch that a revision names; "" if it names none.

    For the revision "", return the checked-out branch.
    """
    how = ("--symbolic-full-name", "--verify", "--quiet", "--end-of-options")
    named = git.ask("rev-parse", *how, revision) if revision else checkout.branch(git)
    name = named.split("\n")[-1]
    is_users = name.startswith("refs/heads/") and not name.startswith(f"refs/heads/{BRANCHES}/")
    return short(name) if is_users else ""


def check(place: GitLocation, commit: str, revision: str) -> None:
    """Raise RepositoryError if workers cannot start from the commit."""
    if place.git.resolve(f"refs/heads/{BRANCHES}"):
        raise RepositoryError(
            f"cannot create branches below {BRANCHES}/: a branch has the name {BRANCHES!r}; "
            f"rename it: git branch -m {BRANCHES} NEW"
        )
    if place.prefix and not tracks(place.git, commit, place.prefix.rstrip("/")):
        what = f"commit {commit[:12]}" if revision else "the last commit"
        raise RepositoryError(f"the project directory does not exist in {what} of {place.top}")
    if revision:
        _check_files_are_here(place.git, commit)


def _check_files_are_here(git: Git, commit: str) -> None:
    """Raise RepositoryError if a partial clone lacks files of the commit.

    In a sparse checkout, only the checked-out files are required.
    """
    partial = git.ask("config", "--get-regexp", r"^remote\..*\.promisor$")
    if not partial or git.ask("config", "--type=bool", "core.sparseCheckout") == "true":
        return
    how = ("--objects", "--no-walk", "--missing=print")
    listed = git.run("rev-list", *how, commit).text.splitlines()
    missing = sum(line.startswith("?") for line in listed)
    if missing:
        raise RepositoryError(
            f"{missing} of the commit's files are missing in this partial clone; fetch the files: "
            f"`git diff HEAD {commit[:12]} > /dev/null`"
        )


def tracks(git: Git, commit: str, path: str) -> bool:
    """True if the commit has an entry at the path."""
    return bool(git.resolve(f"{commit}:{path}"))


def refused(revision: str, error: Exception) -> InvalidRequest:
    what = f"base {revision!r}" if revision else "include_dirty"
    return InvalidRequest(f"cannot start from {what}: {error}", kind="base")
