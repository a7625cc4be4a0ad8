"""Updates the paths that git and jobs store, after the project or the workspace was moved."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.git.command.ref_files import may_have_refs
from orchestrator.git.command.runner import Git
from orchestrator.git.repair import git_directory_repair
from orchestrator.git.repair.git_directory_snapshot import moved, read
from orchestrator.git.worktrees.worktrees import GitWorktrees
from orchestrator.security.files.atomic_write import replace_file

_JOB = "/job_"


def relocate(git: Git, worktrees: GitWorktrees, workspace: Path, *, top: str, common: Path) -> None:
    """Update stored paths after the project or the workspace was moved. Idempotent.

    Git stores the paths of the worktrees. A file of each job stores the path of the repository.

    ``top``: the new path of the repository's top directory. ``common``: the new path of the git
    directory that all worktrees share. Raise RepositoryError if git fails.
    """
    directories = list(_moved_worktrees(worktrees, workspace))
    if directories:
        # A worker may have broken a worktree. Git then fails, but still repairs the other
        # worktrees.
        git.run("worktree", "repair", *directories, accept=range(256))
    for job in workspace.glob("job_*"):
        path = job / git_directory_repair.NAME
        snapshot = read(path)
        if (
            snapshot is not None
            and not os.path.lexists(snapshot.common)
            and may_have_refs(common, job.name.removeprefix("job_"))
        ):
            new = moved(snapshot, top, str(common))
            replace_file(path, json.dumps(new).encode())


def _moved_worktrees(worktrees: GitWorktrees, workspace: Path) -> Iterator[str]:
    for worktree in list(worktrees.all()):
        _, sign, inside = worktree.directory.rpartition(_JOB)
        new = f"{os.path.realpath(workspace)}{_JOB}{inside}"
        if sign and not os.path.lexists(worktree.directory) and os.path.lexists(f"{new}/.git"):
            yield new
