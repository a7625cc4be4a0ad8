"""The rule for worktrees: which workers get a worktree of the host project."""

from collections.abc import Sequence

from orchestrator.core.errors import UnknownAgent
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.states import GitUse, Workdir
from orchestrator.core.ports import Agents


class WorktreeRule:
    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    def asked_for(self, tasks: Sequence[TaskSpec], agent: str, git: str) -> bool:
        """True if one of the tasks requests a worktree.

        ``agent`` and ``git``: defaults for the tasks.
        """
        pairs = ((task, name) for task in tasks for name in task.agents or (agent,))
        return any(self._has_one(name, task, git) for task, name in pairs)

    def wanted(self, job: Job, task: TaskSpec, worker: Worker) -> bool:
        if not job.config.base or worker.is_adviser:
            return False
        return self._has_one(worker.agent, task, job.config.git)

    def can_resolve(self, worker: Worker) -> bool:
        """True if the worker's agent can resolve conflicts.

        A command cannot resolve conflicts, because it would only run again.
        """
        return worker.agent in self._agents.names() and self._agents.reads_prompt(worker.agent)

    def _has_one(self, name: str, task: TaskSpec, git: str) -> bool:
        if task.workdir == Workdir.PROJECT or task.approve:
            return False
        asked = git if git == GitUse.OFF else task.git or git
        return task.needs_worktree(git) or (asked != GitUse.OFF and self.changes_files(name, task))

    def changes_files(self, name: str, task: TaskSpec) -> bool:
        """True if the agent's work is to change files. False for a command, whose work is to
        run.
        """
        try:
            agent = self._agents.get(self._agents.resolve(name, task))
        except UnknownAgent:
            return False
        return bool(getattr(agent, "changes_files", True))
