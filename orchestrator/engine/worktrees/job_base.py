"""Start commit of the workers of a new root job."""

import logging
from collections.abc import Collection, Sequence

from orchestrator.core.errors import InvalidRequest, RepositoryError
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.states import GitUse
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.core.repository.git_refs import base_ref, dirty_ref
from orchestrator.core.repository.repository import Base, Repository
from orchestrator.engine.worktrees.child_losses import ChildLosses
from orchestrator.engine.worktrees.working_directories import Worktrees

logger = logging.getLogger(__name__)


class JobBases:
    def __init__(self, repository: Repository, worktrees: Worktrees) -> None:
        self._repository = repository
        self._worktrees = worktrees
        self._children = ChildLosses(repository, worktrees)

    def of_root(self, config: ConfigRequest, tasks: Sequence[TaskSpec], agent: str) -> Base:
        """Return the base of a root job. Raise InvalidRequest.

        The base is empty if no task changes files and the request names no base.
        """
        asked, git = _asked(config), config.values.git
        if git == GitUse.OFF:
            if asked:
                raise InvalidRequest(
                    f"'git: off' cannot be combined with {asked!r}; remove one of them"
                )
            return Base()
        if not asked and not self._worktrees.rule.asked_for(tasks, agent, git):
            return Base()
        base = self._repository.base(config.values.base, dirty=config.values.include_dirty)
        return _checked(base, tasks, git)

    def of_child(
        self, config: ConfigRequest, tasks: Sequence[TaskSpec], parent: Job, worker: Worker
    ) -> Base:
        """Return the base of a child job: the present state of the worker that starts it.

        ``parent``: the worker's job, whose setting ``git`` also applies to the child job. Raise
        InvalidRequest or RepositoryError.
        """
        git = parent.config.git
        try:
            base = self._worktrees.base_of_child_job(parent, worker, tasks, config.get("agent"))
        except RepositoryError as error:
            _checked(Base(hindrance=error.message), tasks, git)
            raise
        return _checked(base, tasks, git)

    def discarded(self, worker: Worker, child_ids: Collection[str], base: Base) -> frozenset[str]:
        """Return the child jobs whose changes are completely missing from the files at ``base``."""
        if not (child_ids and base.commit):
            return frozenset()
        try:
            return frozenset(self._children.discarded(worker, child_ids, base.commit))
        except RepositoryError:
            logger.warning("cannot check which child jobs a worker has discarded", exc_info=True)
            return frozenset()

    def keep(self, job: Job, config: ConfigRequest) -> None:
        """Protect the base commit of an accepted job with a ref.

        The user may delete the branch that contains the commit.
        """
        if not (job.config.base and job.is_root and _asked(config)):
            return
        name = dirty_ref if job.config.include_dirty else base_ref
        try:
            self._repository.point(name(job.root_id), job.config.base)
        except (RepositoryError, OSError):
            # Only log the error: git keeps commits without a ref for two weeks, and the first
            # worker adds a ref.
            logger.warning(
                "cannot create a ref for a job's base", extra={"job_id": job.id}, exc_info=True
            )


def check_child(config: ConfigRequest) -> None:
    """Raise InvalidRequest if a child job requests a start commit.

    It always starts from the state of the worker that starts it.
    """
    asked = _asked(config)
    if asked:
        raise InvalidRequest(
            f"a child job starts from the files of the worker that starts it; remove {asked}"
        )


def _checked(base: Base, tasks: Sequence[TaskSpec], git: str) -> Base:
    if base.commit or not any(task.needs_worktree(git) for task in tasks):
        return base
    raise InvalidRequest(
        f"cannot create a worktree (git: on): {base.hindrance}; fix this, or remove 'git: on' and "
        "'workdir: worktree'",
        kind="base",
    )


def _asked(config: ConfigRequest) -> str:
    if config.values.include_dirty:
        return "include_dirty"
    return "base" if config.values.base else ""
