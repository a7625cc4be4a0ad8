"""Selects the agents and gates of a job.

An agent runs a task, plans the job, or reviews candidates. Gates are selected once. The files of
the root job's base commit define the gates.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import lru_cache

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.gates.gate import AUTO as AUTO_RUN
from orchestrator.core.gates.gate import Gate, GateFiles, GateFinder
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.human_input.question import PERSON
from orchestrator.core.model.job import PLANNER, REVIEWER, RULES, Job, TaskSpec, WorkerKey
from orchestrator.core.model.job_settings import AUTO, RESOLVE_OFF, RESOLVE_WORKER, JobConfig
from orchestrator.core.model.submission import ConfigRequest, Submission
from orchestrator.core.ports import Agents, Roles, Store
from orchestrator.core.ports.agents import COMMAND_WITHOUT_SHELL
from orchestrator.core.repository.repository import Repository
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.planning.rule_planner import worth_planning


class AgentChoice:
    """Selects agents for tasks, plans, and reviews.

    The parameter ``refused_logins`` has the names of agents whose login failed recently.
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

    def check_names(self, request: ConfigRequest) -> None:
        """Raise UnknownAgent if ``request`` names an unknown agent, even if no task uses the agent.

        Raise InvalidRequest if the requested resolver of conflicts cannot work, or reads no prompt.
        """
        for name in (request.values.agent, request.values.planner, request.values.resolve):
            if name and name not in (AUTO, RULES, RESOLVE_WORKER, RESOLVE_OFF):
                self._agents.get(name)
        if request.values.resolve not in ("", RESOLVE_WORKER, RESOLVE_OFF):
            self._check_resolver(request.values.resolve)

    def _check_resolver(self, name: str) -> None:
        if not self._agents.reads_prompt(name):
            raise InvalidRequest(
                f"agent {name!r} cannot resolve conflicts, because it reads no prompt; set resolve "
                f"to {RESOLVE_WORKER!r}, {RESOLVE_OFF!r}, or an AI agent"
            )
        self._agents.get(name).check(TaskSpec(id=PLANNER, title="Resolve"))

    def planning_agent(
        self, config: JobConfig, submission: Submission, refused_logins: Collection[str]
    ) -> str | None:
        """Return the agent that plans the job; None if no agent plans it.

        No agent is needed if the submission has tasks, or if the built-in rules split the request.
        """
        if submission.tasks:
            return None
        if config.planner == AUTO and not worth_planning(submission.request):
            return None
        name = self._agents.planner(config.planner, config.agent, refused_logins)
        if name == RULES:
            return None
        # The planner must be usable on this machine, even if it runs no task of the job.
        self._agents.get(name).check(TaskSpec(id=PLANNER, title="Plan"))
        # The plan's tasks will be texts, so the job's agent must accept a text as its task.
        self.of_task(config, TaskSpec(id=PLANNER, title="Any"), refused_logins)
        return name

    def of_task(
        self, config: JobConfig, task: TaskSpec, refused_logins: Collection[str]
    ) -> list[str]:
        if task.approve:
            return [PERSON]
        requested_names = task.agents or (self._default_for(task, config.agent),)
        tasks = [task.of_candidate(index) for index in range(len(requested_names))]
        pairs = zip(requested_names, tasks, strict=True)
        names = [self._agents.resolve(name, candidate, refused_logins) for name, candidate in pairs]
        for requested_name, name, candidate in zip(requested_names, names, tasks, strict=True):
            self._agents.get(name).check(candidate)
            self._check_model(requested_name, name, candidate)
        if task.role:
            self._roles.check(task.role)
        if task.requires or task.node:
            self._check_machine(task, names)
        return names

    def _check_model(self, requested_name: str, name: str, task: TaskSpec) -> None:
        """Raise InvalidRequest if the task names a model, but its agent does not accept a model.

        ``requested_name``: the agent's name in the request. ``name``: the agent that runs the task.

        If ``requested_name`` is ``auto``, a task with a prompt may always name a model. The model
        is ignored if ``auto`` selects an agent without a model.
        """
        is_chosen = requested_name != AUTO or task.command is not None
        if task.model and is_chosen and not self._agents.takes_model(name):
            raise InvalidRequest(
                f"task {task.id!r}: agent {name!r} takes no model; remove the model "
                f"{task.model!r}, or set agent to an AI agent; list agents: {COMMAND} agents",
                kind="no-model",
            )

    def _default_for(self, task: TaskSpec, name: str) -> str:
        """Return the agent of a task that names no agent: usually ``name``, the job's agent.

        If this agent cannot run commands, a task with a command gets ``auto``, which selects
        ``shell`` for a command. Therefore a plan may have prompts and commands, although its tasks
        name no agents.
        """
        if not task.command or name == AUTO:
            return name
        try:
            self._agents.get(name).check(task)
        except InvalidRequest as error:
            if error.kind == COMMAND_WITHOUT_SHELL:
                return AUTO
            raise
        return name

    def with_reviewers(
        self, tasks: Sequence[TaskSpec], refused_logins: Collection[str]
    ) -> list[TaskSpec]:
        """Return the tasks, with the name of an agent instead of ``auto`` in the field ``review``.

        Raise UnknownAgent for an unknown agent, or InvalidRequest if the agent cannot review.
        """
        return [
            self._with_reviewer(task, refused_logins) if task.review else task for task in tasks
        ]

    def _with_reviewer(self, task: TaskSpec, refused_logins: Collection[str]) -> TaskSpec:
        name = self._agents.resolve(task.review, TaskSpec(id=REVIEWER), refused_logins)
        if not self._agents.uses_model(name):
            raise InvalidRequest(
                f"agent {name!r} cannot review, because it uses no model; "
                "set review to an AI agent",
                kind="no-reviewer",
            )
        self._agents.get(name).check(TaskSpec(id=REVIEWER, title="Review"))
        return replace(task, review=name, review_by_any=task.review == AUTO)

    def record_fallback(self, scheduler: Scheduler, job: Job, now: float) -> None:
        """Record an agent fallback if a failed login prevents the use of the best agent."""
        refused_logins = scheduler.view.logins_refused(now)
        if not refused_logins:
            return
        any_task = TaskSpec(id="any")
        best = self._agents.resolve(AUTO, any_task)
        replacement = self._agents.resolve(AUTO, any_task, refused_logins)
        if replacement != best:
            scheduler.agent_passed_over(job, best, replacement, refused_logins[best], now)


@dataclass(frozen=True, slots=True)
class GatePlan:
    """The gates of a job.

    The gates are stored with the job. Later changes of the files that define gates therefore have
    no effect on the job.
    """

    gates: tuple[Gate, ...] = ()
    is_off: bool = False


class _NoFiles:
    """``GateFiles`` of an empty project."""

    def read(self, path: str) -> str:
        return ""

    def names(self, directory: str = "") -> Collection[str]:
        return ()

    def paths(self) -> Collection[str]:
        return ()


class GatePlans:
    """Selects the gates of jobs.

    Any thread may call. Methods raise InvalidRequest for an invalid gate, and RepositoryError if
    git fails.
    """

    def __init__(self, repository: Repository, finder: GateFinder, is_on: bool) -> None:
        self._repository = repository
        self._finder = finder
        self._is_on = is_on
        # The files of a commit never change, so cache the gates that they define.
        self._default_gates = lru_cache(maxsize=32)(self._find_default_gates)

    def of_job(
        self, store: Store, parent: WorkerKey | None, config: ConfigRequest, base: str
    ) -> tuple[GatePlan, str]:
        """Return the gates of a new job, and a commit.

        If the job's tasks name further gates, the files of this commit define these gates.

        ``parent``: the worker that requests the job; None for a root job. ``base``: the commit from
        which the job starts.
        """
        if parent is None:
            return self.of_root(config.get("gates"), base), base
        worker, root = store.worker(parent), store.job(parent.root_id)
        job = None if worker is None else store.job(worker.job_id)
        if root is None or job is None:
            return GatePlan(), ""  # A later check rejects the request, with a better message.
        root_base = root.config.base or job.config.base or base
        requested_gates = config.get("gates")
        return self.of_child(
            requested_gates, self._with_default_gates(job.config, base), root_base
        ), root_base

    def _with_default_gates(self, parent: JobConfig, base: str) -> JobConfig:
        """Return the parent job's settings, if necessary with the default gates of ``base``.

        Default gates are necessary if the parent job has neither a base commit nor gates, and has
        not switched gates off.
        """
        if parent.base or parent.gates or parent.gates_off:
            return parent
        return replace(parent, gates=self.of_root(None, base).gates)

    def of_root(self, requested: Sequence[Gate] | None, base: str) -> GatePlan:
        """Return the gates of a root job.

        ``requested``: the requested gates; empty: gates are switched off; None: the default gates,
        unless the server's settings switch gates off. ``base``: the commit from which the job
        starts.
        """
        if requested is None:
            return GatePlan(self._default_gates(base)) if self._is_on else GatePlan(is_off=True)
        return GatePlan(self._found_gates(requested, base), is_off=not requested)

    def of_child(
        self, requested: Sequence[Gate] | None, parent: JobConfig, root_base: str
    ) -> GatePlan:
        """Return the gates of a child job: the parent job's gates, and the requested gates.

        A requested gate with the name of a parent job's gate is ignored. ``requested``: the
        requested gates, or None. ``root_base``: the commit whose files define requested gates.
        """
        names = {gate.name for gate in parent.gates}
        requested_gates = self._found_gates(requested or (), root_base)
        new_gates = [each for each in requested_gates if each.name not in names]
        return GatePlan((*parent.gates, *new_gates), parent.gates_off and not new_gates)

    def of_tasks(self, tasks: Sequence[TaskSpec], base: str) -> tuple[TaskSpec, ...]:
        return tuple(
            replace(task, gates=self._found_gates(task.gates, base)) if task.gates else task
            for task in tasks
        )

    def of_checkout(self) -> tuple[Gate, ...]:
        """Return the default gates of a job that starts from the user's checkout."""
        return self._default_gates(self._repository.base().commit)

    def _find_default_gates(self, base: str) -> tuple[Gate, ...]:
        return tuple(self._finder.default_gates(self._files(base))) if base else ()

    def _found_gates(self, gates: Sequence[Gate], base: str) -> tuple[Gate, ...]:
        """Return requested gates, with the fields that the files of the commit ``base`` define.

        If ``base`` is empty, omit the gates whose command these files would define.
        """
        if not gates:
            return ()
        if not base:
            gates = [each for each in gates if each.run != AUTO_RUN]
        return tuple(self._finder.requested_gates(gates, self._files(base)))

    def _files(self, base: str) -> GateFiles:
        return self._repository.gate_files(base) if base else _NoFiles()
