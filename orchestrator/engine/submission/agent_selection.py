"""Which agents carry out a job: who plans it, who has its tasks, and who was passed over."""

from collections.abc import Collection

from orchestrator.core.model.job import AUTO, PLANNER, Job, TaskSpec
from orchestrator.core.model.job_settings import RESOLVE_OFF, RESOLVE_WORKER, JobConfig
from orchestrator.core.model.submission import ConfigRequest, Submission
from orchestrator.core.ports import Agents, Roles
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.planning.planning_heuristic import worth_planning


class AgentChoice:
    """``refused`` are agents whose login was refused lately."""

    def __init__(self, agents: Agents, roles: Roles) -> None:
        self._agents = agents
        self._roles = roles

    def check_names(self, asked: ConfigRequest) -> None:
        """A name that is not known is refused, also where its agent would have nothing to do."""
        for name in (asked.values.agent, asked.values.planner, asked.values.resolve):
            if name and name not in (AUTO, "rules", RESOLVE_WORKER, RESOLVE_OFF):
                self._agents.get(name)

    def planning_agent(
        self, config: JobConfig, submission: Submission, refused: Collection[str]
    ) -> str | None:
        """The agent that is to make the tasks; None when they are there."""
        if submission.tasks:
            return None
        if config.planner == "auto" and not worth_planning(submission.request):
            return None
        name = self._agents.planner(config.planner, config.agent, refused)
        if name == "rules":
            return None
        # It must be able to work here, whether it carries out the tasks or not.
        self._agents.get(name).check(TaskSpec(id=PLANNER, title="Plan"))
        # Tasks in words will be for this agent: whether it knows what to do with them is known.
        self.of_task(config, TaskSpec(id=PLANNER, title="Any"), refused)
        return name

    def of_task(self, config: JobConfig, task: TaskSpec, refused: Collection[str]) -> list[str]:
        asked = task.agents or (config.agent,)
        names = [self._agents.resolve(name, task, refused) for name in asked]
        for name in names:
            self._agents.get(name).check(task)
        if task.role:
            self._roles.check(task.role)
        return names

    def tell_passed_over(self, scheduler: Scheduler, job: Job, now: float) -> None:
        """Say so where the best agent would carry out the job, but for its login."""
        any_task, refused = TaskSpec(id="any"), scheduler.view.logins_refused(now)
        best = self._agents.resolve(AUTO, any_task)
        instead = self._agents.resolve(AUTO, any_task, refused)
        if instead != best:
            scheduler.agent_passed_over(job, best, instead, refused[best], now)
