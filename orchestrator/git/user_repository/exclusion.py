"""Excludes a directory of the product inside the user's checkout from the user's git."""

from pathlib import Path

from orchestrator.git.command.runner import Git
from orchestrator.git.user_repository.checkout import hide


def exclude(directory: Path) -> bool:
    """Add the directory to ``info/exclude``, unless git ignores it already.

    Return True if a line was added. Linked worktrees share the file. Idempotent. Raise
    RepositoryError or OSError.
    """
    git = Git(str(directory.parent), {})
    top, common = git.ask("rev-parse", "--show-toplevel"), git.ask("rev-parse", "--git-common-dir")
    if not top or not common:
        return False
    return hide(Git(top, {}), top, directory.parent / common, str(directory.resolve()))


def tracked_below(directory: Path) -> str:
    """Return the first file in ``directory`` that the repository tracks; "" if there is none.

    Raise RepositoryError.
    """
    git = Git(str(directory.parent), {})
    if not git.ask("rev-parse", "--show-toplevel"):
        return ""
    return next(iter(git.run("ls-files", "-z", "--", str(directory.resolve())).fields), "")
