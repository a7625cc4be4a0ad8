"""Which workers get a worktree of the host project's repository."""

from collections.abc import Sequence

from orchestrator.core.errors import UnknownAgent
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.ports import Agents
from orchestrator.core.repository.repository import GitUse, Workdir, needs_worktree


class WorktreeRule:
    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    def asked_for(self, tasks: Sequence[TaskSpec], agent: str, git: str) -> bool:
        """Whether one task is to have a worktree; ``agent`` and ``git`` where it says none."""
        pairs = ((task, name) for task in tasks for name in task.agents or (agent,))
        return any(self._has_one(name, task, git) for task, name in pairs)

    def wanted(self, job: Job, task: TaskSpec, worker: Worker) -> bool:
        if not job.config.base or worker.is_adviser:
            return False
        return self._has_one(worker.agent, task, job.config.git)

    def can_resolve(self, worker: Worker) -> bool:
        """Whether its agent can be told of conflicts; a command only does what it did before."""
        return worker.agent in self._agents.names() and self._agents.reads_prompt(worker.agent)

    def _has_one(self, name: str, task: TaskSpec, git: str) -> bool:
        if task.workdir == Workdir.PROJECT:
            return False
        asked = git if git == GitUse.OFF else task.git or git
        return needs_worktree(task, git) or (asked != GitUse.OFF and self.changes_files(name, task))

    def changes_files(self, name: str, task: TaskSpec) -> bool:
        """Whether an agent's work is a change of files; a command's work is what it ran."""
        try:
            agent = self._agents.get(self._agents.resolve(name, task))
        except UnknownAgent:
            return False
        return bool(getattr(agent, "changes_files", True))
