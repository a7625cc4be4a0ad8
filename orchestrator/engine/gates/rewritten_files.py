"""Tracked files that a gate's run changed: a gate must judge, not repair."""

import logging
import os

from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.findings import Flaw
from orchestrator.core.repository.repository import Repository

logger = logging.getLogger(__name__)


def rewrites(repository: Repository, directory: str, commit: str) -> tuple[Flaw, ...]:
    """Return one finding for each changed place; paths are relative to the host project.

    ``directory``: a worktree that had ``commit`` checked out. Errors are only logged, because
    restoring the worktree reports them, too.
    """
    try:
        changed = repository.rewritten(directory, commit)
        if not changed:
            return ()
        project = os.path.relpath(repository.inside(directory), directory)
    except (RepositoryError, OSError) as error:
        logger.warning("cannot compare a worktree: %s", error, extra={"path": directory})
        return ()
    return tuple(
        Flaw(f"{path}|{place}", path)
        for found, places in changed.items()
        for path in [os.path.relpath(found, project)]
        for place in places
    )
