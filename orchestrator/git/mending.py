"""Worktrees that somebody has damaged: what is in their files is kept."""

import os
from pathlib import Path

from orchestrator.git.running import Git

#: What git answers with when it could compare, whether or not there was a difference.
_COMPARED = (0, 1)


def mend(git: Git, admin: Path, branch: str) -> None:
    """Have a worktree's HEAD and index be readable; its files stay. Idempotent."""
    _mend_link(git.directory, admin)
    if _is_sound(git):
        return
    # Without such a file git takes it for no repository; where HEAD is kept elsewhere, git is told.
    (admin / "HEAD").write_text(f"ref: {branch}\n")
    git.run("symbolic-ref", "HEAD", branch)
    refill(git, admin)


def refill(git: Git, admin: Path) -> None:
    """An index of what HEAD has: what differs in the files counts as changed."""
    (admin / "index").unlink(missing_ok=True)
    git.run("read-tree", "HEAD")


def _is_sound(git: Git) -> bool:
    answer = git.run("diff-index", "--cached", "--quiet", "HEAD", "--", accept=range(256))
    return answer.code in _COMPARED


def _mend_link(directory: str, admin: Path) -> None:
    link = os.path.join(directory, ".git")
    if not os.path.lexists(link):
        Path(link).write_bytes(b"gitdir: " + os.fsencode(admin) + b"\n")
