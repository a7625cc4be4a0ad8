"""Rolls a worktree back to an earlier commit."""

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.git.command.ref_files import REFLOG_ENV
from orchestrator.git.command.runner import ITSELF
from orchestrator.git.commits import commit_creation as commits
from orchestrator.git.repair import broken_worktrees
from orchestrator.git.worktrees import ignored_files
from orchestrator.git.worktrees.worktrees import GitWorktrees


def roll_back(
    worktrees: GitWorktrees, top: str, directory: str, branch: str, commit: str, kept: str
) -> None:
    """Reset a branch and the branch's worktree to ``commit``. Restore saved ignored files.

    ``kept``: commit with the saved ignored files; "" if no ignored files were saved. The worktree's
    current files are lost, so save them first. ``Repository.roll_back`` has the full contract.
    """
    broken_worktrees.repair(worktrees, directory, branch, commit)
    worktree = worktrees.find(directory)
    if worktree is None:
        raise RepositoryError(f"the worktree {directory} no longer exists")
    git = worktrees.git_of(worktree)
    commits.make_readable(directory)
    not_saved = ignored_files.find_ignored(git, top).not_kept
    git.run("symbolic-ref", "-m", "orchestrator: rolled back", "HEAD", branch)
    git.run("update-ref", *ITSELF, "-m", "orchestrator: rolled back", branch, commit)
    failpoints.reached("rollback: branch moved")
    broken_worktrees.abort_operation(worktree)
    git.run("reset", "--hard", "--quiet", env=REFLOG_ENV)
    ignored_files.clear(git, not_saved)
    failpoints.reached("rollback: files restored")
    if kept:
        ignored_files.restore(git, top, kept)
