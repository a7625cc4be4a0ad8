"""Choice of agents: which agent does a task, plans a job, or reviews candidates."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.human_input import PERSON
from orchestrator.core.model.job import PLANNER, REVIEWER, Job, TaskSpec
from orchestrator.core.model.job_settings import AUTO, RESOLVE_OFF, RESOLVE_WORKER, JobConfig
from orchestrator.core.model.submission import ConfigRequest, Submission
from orchestrator.core.ports import Agents, Roles
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.planning.rule_planner import worth_planning


class AgentChoice:
    """Selects agents for tasks, plans, and reviews.

    The parameter ``refused`` of the methods names agents whose login failed recently.
    """

    def __init__(
        self,
        agents: Agents,
        roles: Roles,
        check_machine: Callable[[TaskSpec, Sequence[str]], None],
    ) -> None:
        self._agents = agents
        self._roles = roles
        self._check_machine = check_machine

    def check_names(self, asked: ConfigRequest) -> None:
        """Raise UnknownAgent if the settings name an unknown agent, even if no task uses it."""
        for name in (asked.values.agent, asked.values.planner, asked.values.resolve):
            if name and name not in (AUTO, "rules", RESOLVE_WORKER, RESOLVE_OFF):
                self._agents.get(name)

    def planning_agent(
        self, config: JobConfig, submission: Submission, refused: Collection[str]
    ) -> str | None:
        """Return the agent that plans the job; None if tasks are given, or the rules plan it."""
        if submission.tasks:
            return None
        if config.planner == "auto" and not worth_planning(submission.request):
            return None
        name = self._agents.planner(config.planner, config.agent, refused)
        if name == "rules":
            return None
        # The planner must be available here, even if it runs no task.
        self._agents.get(name).check(TaskSpec(id=PLANNER, title="Plan"))
        # The plan's tasks are texts, so the job's agent must accept such a task.
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
        if task.requires or task.node:
            self._check_machine(task, names)
        return names

    def with_reviewers(
        self, tasks: Sequence[TaskSpec], refused: Collection[str] = ()
    ) -> list[TaskSpec]:
        """Return the tasks, with the name of an agent instead of ``auto`` in ``review``.

        Raise UnknownAgent or InvalidRequest.
        """
        return [self._with_reviewer(task, refused) if task.review else task for task in tasks]

    def _with_reviewer(self, task: TaskSpec, refused: Collection[str]) -> TaskSpec:
        name = self._agents.resolve(task.review, TaskSpec(id=REVIEWER), refused)
        if not self._agents.uses_model(name):
            raise InvalidRequest(
                f"agent {name!r} cannot review, because it uses no model; "
                "set review to an AI agent",
                kind="no-reviewer",
            )
        self._agents.get(name).check(TaskSpec(id=REVIEWER, title="Review"))
        return replace(task, review=name, review_by_any=task.review == AUTO)

    def record_fallback(self, scheduler: Scheduler, job: Job, now: float) -> None:
        """Record an agent fallback, if the best agent is not used because its login failed."""
        refused = scheduler.view.logins_refused(now)
        if not refused:
            return
        any_task = TaskSpec(id="any")
        best = self._agents.resolve(AUTO, any_task)
        instead = self._agents.resolve(AUTO, any_task, refused)
        if instead != best:
            scheduler.agent_passed_over(job, best, instead, refused[best], now)
