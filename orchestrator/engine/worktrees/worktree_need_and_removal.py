"""The need for worktrees, and their removal: which workers get a worktree, and when it is removed.

Worktrees of ended workers are removed before the job ends. Worktrees of base commits, in which
gates ran, are removed when the root job has ended.
"""

import logging
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from orchestrator.core.errors import UnknownAgent
from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.job_settings import GitUse
from orchestrator.core.ports import Agents, StateChange, Workspace
from orchestrator.engine.runtime.thread_pool import PrestartedThreadPool

logger = logging.getLogger(__name__)

#: Name of the worktree in a worker's directory. The worker's input and output are next to it.
NAME = "worktree"


def worktree_of(workspace: Workspace, worker: Worker) -> str:
    """Return the path of a worker's worktree, whether or not it exists."""
    return f"{workspace.worker_directory(worker)}/{NAME}"


def gates_directory(workspace: Workspace, root_id: str) -> Path:
    """Return the directory with the files and worktrees of gates, whether or not it exists."""
    return workspace.job_directory(root_id) / "gates"


class WorktreeRule:
    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    def any_task_needs_worktree(self, tasks: Sequence[TaskSpec], agent: str, git: str) -> bool:
        """True if at least one of the tasks needs a worktree.

        ``agent``: the agent for tasks that specify no agent. ``git``: the job's setting ``git``.
        """
        pairs = ((task, name) for task in tasks for name in task.agents or (agent,))
        return any(self._task_needs_worktree(name, task, git) for task, name in pairs)

    def needs_worktree(self, job: Job, task: TaskSpec, worker: Worker) -> bool:
        if not job.config.base or worker.is_adviser:
            return False
        return self._task_needs_worktree(worker.agent, task, job.config.git)

    def can_resolve(self, worker: Worker) -> bool:
        """True if the worker's agent can resolve conflicts; False for a command."""
        return worker.agent in self._agents.names() and self._agents.reads_prompt(worker.agent)

    def _task_needs_worktree(self, agent_name: str, task: TaskSpec, git: str) -> bool:
        if task.works_in_project or task.approve:
            return False
        git_use = git if git == GitUse.OFF else task.git or git
        return task.needs_worktree(git) or (
            git_use != GitUse.OFF and self.changes_files(agent_name, task)
        )

    def changes_files(self, name: str, task: TaskSpec) -> bool:
        """True if the agent's work is to change files; False for a command."""
        try:
            agent = self._agents.get(self._agents.resolve(name, task))
        except UnknownAgent:
            return False
        return bool(getattr(agent, "changes_files", True))


class WorktreeRemover(Protocol):
    """The method of ``Worktrees`` that this module needs."""

    def remove(self, worker: Worker) -> None: ...


class BaselineWorktrees(Protocol):
    """The members of ``BaselineRuns`` that this module needs."""

    @property
    def bases(self) -> Collection[object]: ...

    def drop(self, root_id: str) -> None: ...


class OpenedWorktrees:
    """Records, for each worker, the latest attempt that opened the worker's worktree.

    Any thread may call, but must first lock the worker with ``Checkpoints.locked``.
    """

    def __init__(self) -> None:
        self._opened: dict[WorkerKey, int] = {}

    def note_opened(self, worker: Worker) -> None:
        self._opened[worker.key] = worker.attempt

    def may_remove(self, worker: Worker) -> bool:
        """True if the worktree may be removed, because no later attempt has opened the worktree."""
        return self._opened.get(worker.key, 0) <= worker.attempt

    def note_removed(self, worker: Worker) -> None:
        self._opened.pop(worker.key, None)


class WorktreeRemoval:
    """Removes a worker's worktree soon after the worker's end, before the job ends.

    This class is an observer of stored changes. A failed removal is repeated at the job's end. A
    later attempt of the worker creates the worktree again from the worker's branch.
    """

    def __init__(
        self,
        worktrees: WorktreeRemover,
        baselines: BaselineWorktrees,
        workspace: Workspace,
        find_job: Callable[[str], Job | None],
    ) -> None:
        self._find_job = find_job
        self._worktrees = worktrees
        self._baselines = baselines
        self._workspace = workspace
        self._threads = PrestartedThreadPool(1, "worktree removal")

    def __call__(self, change: StateChange) -> None:
        for event in change.events:
            if event.kind is EventKind.JOB_ENDED and event.job_id == event.root_id:
                # Also check the directory, because a worktree of an earlier server may still exist.
                gates = gates_directory(self._workspace, event.root_id)
                if self._baselines.bases or gates.is_dir():
                    self._baselines.drop(event.root_id)
        # Skip workers without a worktree, because checking many short workers would delay the
        # scheduler.
        has_worktrees = {
            job_id: self._has_worktrees(job_id)
            for job_id in {worker.job_id for worker in change.workers}
        }
        for worker in change.workers:
            if not (has_worktrees[worker.job_id] and _has_finally_ended(worker)):
                continue
            if os.path.lexists(worktree_of(self._workspace, worker)):
                with suppress(RuntimeError):
                    self._threads.submit(self._remove, worker)

    def close(self) -> None:
        """Begin no further removals. The job's end removes the remaining worktrees. Idempotent."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _has_worktrees(self, job_id: str) -> bool:
        job = self._find_job(job_id)
        return job is None or bool(job.config.base)

    def _remove(self, worker: Worker) -> None:
        try:
            self._worktrees.remove(worker)
        except Exception:
            logger.warning("cannot remove a worktree", extra={"worker": worker.id}, exc_info=True)


def _has_finally_ended(worker: Worker) -> bool:
    """True if the worker has ended, and none of its processes can still run.

    After a lost attempt, the result is False, because the attempt's process may still run.
    """
    has_exit_code = worker.result is not None and worker.result.exit_code is not None
    return worker.status.ended and (worker.status.succeeded or has_exit_code)
