"""Selects the bases of new jobs: the commits from which their workers start."""

import logging
from collections.abc import Collection, Sequence

from orchestrator.core.errors import InvalidRequest, RepositoryError
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.job_settings import GitUse
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.core.repository.git_refs import base_ref, dirty_ref
from orchestrator.core.repository.repository import Base, Repository
from orchestrator.engine.worktrees.lost_child_changes import LostChildChanges
from orchestrator.engine.worktrees.worker_worktrees import Worktrees

logger = logging.getLogger(__name__)


class JobBases:
    """Selects the commits from which the workers of new jobs start."""

    def __init__(self, repository: Repository, worktrees: Worktrees) -> None:
        self._repository = repository
        self._worktrees = worktrees
        self._children = LostChildChanges(repository, worktrees)

    def of_root(self, config: ConfigRequest, tasks: Sequence[TaskSpec], agent: str) -> Base:
        """Return the base of a root job.

        The base is empty if the setting ``git`` is off, or if no task changes files and the request
        names no base. ``agent``: the agent for tasks that specify no agent.

        Raise InvalidRequest for an unknown base or for settings that conflict. Also raise
        InvalidRequest if a task needs a worktree, but there is no commit to start from.
        """
        field, git = _requested_field(config), config.values.git
        if git == GitUse.OFF:
            if field:
                raise InvalidRequest(
                    f"'git: off' cannot be combined with {field!r}; remove one of them"
                )
            return Base()
        if not field and not self._worktrees.rule.any_task_needs_worktree(tasks, agent, git):
            return Base()
        base = self._repository.base(config.values.base, dirty=config.values.include_dirty)
        return _checked_base(base, tasks, git)

    def of_child(
        self, config: ConfigRequest, tasks: Sequence[TaskSpec], parent: Job, worker: Worker
    ) -> Base:
        """Return the base of a child job: the current state of the parent worker's files.

        ``parent``: the job of this worker. Its setting ``git`` also applies to the child job. Raise
        InvalidRequest if a task needs a worktree, but there is no commit to start from. Raise
        RepositoryError if git fails.
        """
        git = parent.config.git
        try:
            base = self._worktrees.base_of_child_job(parent, worker, tasks, config.get("agent"))
        except RepositoryError as error:
            _checked_base(Base(hindrance=error.message), tasks, git)
            raise
        return _checked_base(base, tasks, git)

    def discarded(self, worker: Worker, child_ids: Collection[str], base: Base) -> frozenset[str]:
        """Return the ids of child jobs whose changes are all missing in the commit of ``base``.

        After an error, which is logged, return no ids.
        """
        if not (child_ids and base.commit):
            return frozenset()
        try:
            return frozenset(self._children.discarded(worker, child_ids, base.commit))
        except RepositoryError:
            logger.warning(
                "cannot check whether a worker has discarded changes of child jobs", exc_info=True
            )
            return frozenset()

    def protect(self, job: Job, config: ConfigRequest) -> None:
        """Set a ref that protects the base commit of a new root job, if the request names a base.

        Without the ref, git could remove the commit after the user deletes the commit's branch.
        """
        if not (job.config.base and job.is_root and _requested_field(config)):
            return
        name = dirty_ref if job.config.include_dirty else base_ref
        try:
            self._repository.set_ref(name(job.root_id), job.config.base)
        except (RepositoryError, OSError):
            # Only log the error, because git keeps commits without a ref for two weeks. The first
            # worker sets another ref.
            logger.warning(
                "cannot create a ref for a job's base", extra={"job_id": job.id}, exc_info=True
            )


def check_child(config: ConfigRequest) -> None:
    """Raise InvalidRequest if a child job requests a start commit.

    A child job always starts from the files of its parent worker.
    """
    field = _requested_field(config)
    if field:
        raise InvalidRequest(
            f"a child job starts from the files of the worker that starts it; remove {field}"
        )


def _checked_base(base: Base, tasks: Sequence[TaskSpec], git: str) -> Base:
    if base.commit or not any(task.needs_worktree(git) for task in tasks):
        return base
    raise InvalidRequest(
        f"cannot create a worktree (git: on): {base.hindrance}; if no worktree is needed, remove "
        "'git: on', or 'workdir: worktree' from the task",
        kind="base",
    )


def _requested_field(config: ConfigRequest) -> str:
    if config.values.include_dirty:
        return "include_dirty"
    return "base" if config.values.base else ""
