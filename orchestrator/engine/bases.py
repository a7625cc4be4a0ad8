"""What the workers of a new root job start from."""

import logging
from collections.abc import Sequence

from orchestrator.core.errors import InvalidRequest, RepositoryError
from orchestrator.core.model import Job, TaskSpec
from orchestrator.core.refs import base_ref, dirty_ref
from orchestrator.core.repository import Base, GitUse, Repository
from orchestrator.core.submission import ConfigRequest
from orchestrator.engine.worktrees import Worktrees

logger = logging.getLogger(__name__)


class Bases:
    def __init__(self, repository: Repository, worktrees: Worktrees) -> None:
        self._repository = repository
        self._worktrees = worktrees

    def of_root(self, config: ConfigRequest, tasks: Sequence[TaskSpec], agent: str) -> Base:
        """Nothing where no task changes files, unless it is asked for. Raise InvalidRequest."""
        asked = _asked(config)
        if config.git == GitUse.OFF:
            if asked:
                raise InvalidRequest(f"with git: off there is nothing for {asked}; leave it out")
            return Base()
        if not asked and not self._worktrees.rule.asked_for(
            tasks, agent, config.git or GitUse.AUTO
        ):
            return Base()
        return self._repository.base(config.base or "", dirty=bool(config.include_dirty))

    def keep(self, job: Job, config: ConfigRequest) -> None:
        """Have the commit of an accepted job stay, whatever becomes of the user's branches."""
        if not (job.config.base and job.is_root and _asked(config)):
            return
        name = dirty_ref if job.config.include_dirty else base_ref
        try:
            self._repository.point(name(job.root_id), job.config.base)
        except (RepositoryError, OSError):
            # Git keeps what nothing points to for two weeks; the first worker points to it.
            logger.warning("no ref for a job's base", extra={"job_id": job.id}, exc_info=True)


def check_child(config: ConfigRequest) -> None:
    """Raise InvalidRequest where a child job asks for another start than its worker's state."""
    asked = _asked(config)
    if asked:
        raise InvalidRequest(
            f"a child job starts from the files of the worker that starts it; leave {asked} out"
        )


def _asked(config: ConfigRequest) -> str:
    """What is asked for, by name; empty when nothing is."""
    return "include_dirty" if config.include_dirty else "base" if config.base is not None else ""
