"""Selects a job's agents: for its plan and for its tasks, with fallback if a login fails."""

from collections.abc import Collection

from orchestrator.core.model.decisions.question import PERSON
from orchestrator.core.model.job import AUTO, PLANNER, Job, TaskSpec
from orchestrator.core.model.job_settings import RESOLVE_OFF, RESOLVE_WORKER, JobConfig
from orchestrator.core.model.submission import ConfigRequest, Submission
from orchestrator.core.ports import Agents, Roles
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.planning.planning_heuristic import worth_planning


class AgentChoice:
    """``refused``: agents whose login failed recently."""

    def __init__(self, agents: Agents, roles: Roles) -> None:
        self._agents = agents
        self._roles = roles

    def check_names(self, asked: ConfigRequest) -> None:
        """Raise UnknownAgent for unknown names, even for agents that would have no task."""
        for name in (asked.values.agent, asked.values.planner, asked.values.resolve):
            if name and name not in (AUTO, "rules", RESOLVE_WORKER, RESOLVE_OFF):
                self._agents.get(name)

    def planning_agent(
        self, config: JobConfig, submission: Submission, refused: Collection[str]
    ) -> str | None:
        """Return the agent that plans the job; None if its tasks are given."""
        if submission.tasks:
            return None
        if config.planner == "auto" and not worth_planning(submission.request):
            return None
        name = self._agents.planner(config.planner, config.agent, refused)
        if name == "rules":
            return None
        # The planner must be available here, even if it runs no task.
        self._agents.get(name).check(TaskSpec(id=PLANNER, title="Plan"))
        # Tasks that are given as text go to the planner's agent, so it must accept them.
        self.of_task(config, TaskSpec(id=PLANNER, title="Any"), refused)
        return name

    def of_task(self, config: JobConfig, task: TaskSpec, refused: Collection[str]) -> list[str]:
        if task.approve:
            return [PERSON]
        asked = task.agents or (config.agent,)
        tasks = [task.of_candidate(place) for place in range(len(asked))]
        pairs = zip(asked, tasks, strict=True)
        names = [self._agents.resolve(name, each, refused) for name, each in pairs]
        for name, each in zip(names, tasks, strict=True):
            self._agents.get(name).check(each)
        if task.role:
            self._roles.check(task.role)
        return names

    def tell_passed_over(self, scheduler: Scheduler, job: Job, now: float) -> None:
        """Record an agent fallback, if the best agent was skipped only because of its login."""
        any_task, refused = TaskSpec(id="any"), scheduler.view.logins_refused(now)
        best = self._agents.resolve(AUTO, any_task)
        instead = self._agents.resolve(AUTO, any_task, refused)
        if instead != best:
            scheduler.agent_passed_over(job, best, instead, refused[best], now)
