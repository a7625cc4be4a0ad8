"""Having a worker's branch, and its worktree where there is one, as they were."""

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.git import commits, faults, ignored
from orchestrator.git.running import ITSELF
from orchestrator.git.worktrees import Worktrees


def roll_back(
    worktrees: Worktrees, top: str, directory: str, branch: str, commit: str, kept: str
) -> None:
    """See ``core.repository``. What is in the worktree is gone then: it was kept before."""
    faults.mend(worktrees, directory, branch, commit)
    found = worktrees.find(directory)
    if found is None:
        raise RepositoryError(f"the worktree {directory} is gone")
    git = worktrees.git_of(found)
    commits.make_readable(directory)
    left = ignored.look(git, top).not_kept
    git.run("symbolic-ref", "-m", "orchestrator: rolled back", "HEAD", branch)
    git.run("update-ref", *ITSELF, "-m", "orchestrator: rolled back", branch, commit)
    failpoints.reached("rollback: branch moved")
    faults.settle(found)
    git.run("reset", "--hard", "--quiet")
    ignored.clear(git, left)
    failpoints.reached("rollback: files as they were")
    if kept:
        ignored.put_back(git, top, kept)
