"""The registry of agents: finds an agent by its name, and selects the agent for ``auto``."""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from orchestrator.agents import survey
from orchestrator.agents.activity.transcript import steps_of
from orchestrator.agents.command_agents import CommandAgent, ShellAgent
from orchestrator.agents.driven_agent import DrivenAgent
from orchestrator.core.errors import InvalidRequest, UnknownAgent
from orchestrator.core.model.job import PLANNER, RULES, SURVEY, TaskSpec
from orchestrator.core.model.job_settings import AUTO
from orchestrator.core.ports import Agent
from orchestrator.core.ports.agent_availability import Availability
from orchestrator.core.ports.read_models import TranscriptStep
from orchestrator.core.text.unknown_names import unknown_name
from orchestrator.security.files.product_files import PACKAGES

MIB = 1024 * 1024
UNKNOWN_MEMORY_BYTES = 256 * MIB

#: Returns an agent's availability on this machine or a node, from a cache.
AvailabilityCheck = Callable[[], Availability]


class AgentRegistry:
    """Built-in agents and the user's agents.

    A user's agent replaces a built-in agent of the same name.
    """

    def __init__(
        self,
        agents: Iterable[Agent],
        preferred: str = AUTO,
        checks: Mapping[str, AvailabilityCheck] | None = None,
        program_checks: Mapping[str, AvailabilityCheck] | None = None,
    ) -> None:
        """``checks``: {name: availability check} of the AI agents, the best agent first.

        ``program_checks``: {name: availability check} of the agents that the settings define.
        """
        self._agents = {agent.name: agent for agent in agents}
        self._preferred = preferred
        #: Availability checks of the AI agents, the best agent first.
        self._checks = dict(checks or {})
        self._program_checks = dict(program_checks or {})

    def get(self, name: str) -> Agent:
        """Return the agent ``name``. Raise UnknownAgent if no such agent exists."""
        try:
            return self._agents[name]
        except KeyError:
            message = unknown_name(f"agent {name!r}", name, sorted(self._agents))
            raise UnknownAgent(
                f"{message}; or add an agent under 'agents' in config.yaml"
            ) from None

    def resolve(self, name: str, task: TaskSpec, refused: Collection[str] = ()) -> str:
        """Return the name of the agent for a task. Raise UnknownAgent for an unknown ``name``.

        If ``name`` is not ``auto``, the result is ``name``. ``auto`` means ``shell`` for a task
        with a command, otherwise the default agent. If the default agent is also ``auto``, the
        result is the best AI agent that can work. If no AI agent can work, the result is
        ``survey``.

        ``refused``: agents whose login failed. ``auto`` selects such an agent only if no other AI
        agent can work.
        """
        if name != AUTO:
            return self.get(name).name
        if task.command:
            return "shell"
        if self._preferred != AUTO:
            return self.get(self._preferred).name
        return self.best_without(refused) or self.best_without(()) or SURVEY

    def best_without(self, refused: Collection[str]) -> str:
        """Return the best usable AI agent that is not in ``refused``.

        The result is "" if there is no such agent, or if the default agent is not ``auto``.
        """
        if self._preferred != AUTO:
            return ""
        names = (name for name, check in self._checks.items() if name not in refused)
        return next((name for name in names if self._checks[name]().usable), "")

    def planner(self, name: str, agent: str, refused: Collection[str] = ()) -> str:
        """Return the planner of a job: ``rules``, or the name of an agent.

        ``name``: the requested planner. ``auto`` means the job's agent ``agent`` if this agent may
        plan any job, otherwise ``rules``. Raise UnknownAgent for an unknown agent, and
        InvalidRequest for an agent that never plans.

        ``refused``: agents whose login failed.
        """
        if name == AUTO:
            chosen = self.resolve(agent, TaskSpec(id=PLANNER), refused)
            return chosen if self._plans(chosen) else RULES
        if name == RULES:
            return RULES
        if self._plans(self.get(name).name) is False:
            raise InvalidRequest(
                f"agent {name!r} cannot plan; set planner to rules, auto, or an AI agent",
                kind="no-planner",
            )
        return name

    def uses_model(self, name: str) -> bool:
        return self._plans(self.get(name).name) is not False

    def steps(
        self, name: str, lines: Iterable[str], ended: bool
    ) -> Iterator[TranscriptStep] | None:
        """Return the steps in ``lines``, the saved output of an attempt of the agent ``name``.

        The result is None if the agent saves no output. ``ended``: True if the attempt has ended.
        """
        agent = self._agents.get(name)
        if not isinstance(agent, DrivenAgent) or not agent.argv:
            return None
        # Load the readers when a transcript is requested, because few servers show transcripts.
        from orchestrator.agents.ai_tools.readers import reader

        return steps_of(reader(agent.reader), lines, ended=ended)

    def is_priced(self, name: str, model: str | None) -> bool | None:
        """True if the cost of a model's usage can be computed, or if the agent uses no model.

        The result is None if the model is unknown until the agent reports usage. ``model``: None
        for the agent's default model.
        """
        if not self.uses_model(name):
            return True
        check: Callable[[str | None], bool | None] | None
        check = getattr(self._agents[name], "is_priced", None)
        return check(model) if check else None

    def _plans(self, name: str) -> bool | None:
        """True if the agent may plan any job; False if the agent never plans.

        None if the agent may plan only the jobs that name this agent as their planner.
        """
        plans: bool | None = getattr(self._agents[name], "plans", None)
        return plans

    def names(self) -> Sequence[str]:
        return sorted(self._agents)

    def available(self) -> Sequence[Availability]:
        """Return the availability of all agents: AI agents from best to worst, then all others."""
        others = [each for name, each in sorted(self._agents.items()) if name not in self._checks]
        return [
            *(check() for check in self._checks.values()),
            *map(self._availability, others),
        ]

    def _availability(self, agent: Agent) -> Availability:
        check = self._program_checks.get(agent.name)
        return check() if check else _availability(agent)

    def memory_bytes(self, name: str) -> int:
        return int(getattr(self._agents.get(name), "memory_bytes", UNKNOWN_MEMORY_BYTES))

    def reads_prompt(self, name: str) -> bool:
        return bool(getattr(self._agents.get(name), "reads_prompt", False))

    def takes_model(self, name: str) -> bool:
        return bool(getattr(self._agents.get(name), "takes_model", True))

    def reads_messages(self, name: str, *, windows: bool) -> bool:
        """True if the agent reads messages from people while it works.

        ``windows``: the agent's program runs on the Windows side of WSL.
        """
        check = getattr(self._agents.get(name), "reads_messages", None)
        return bool(check and check(windows=windows))

    def needs_login(self, name: str) -> bool:
        """True if the agent calls a model with a key or a login that may be rejected."""
        return bool(self.login_instructions(name))

    def login_instructions(self, name: str) -> str:
        """Return instructions to log in; "" if no login is needed."""
        return str(getattr(self._agents.get(name), "login_instructions", ""))

    def credential_fingerprint(self, name: str) -> str:
        """Return a text that changes when the agent's credential changes; "" if unknown."""
        fingerprint: Callable[[], str] | None = getattr(
            self._agents.get(name), "credential_fingerprint", None
        )
        return fingerprint() if fingerprint else ""

    def caches_prompts(self, name: str) -> bool:
        """True if the agent's provider charges less for a cached beginning of a prompt."""
        return bool(getattr(self._agents.get(name), "caches_prompts", False))


def _availability(agent: Agent) -> Availability:
    hindrance = getattr(agent, "hindrance", str)()
    return Availability(
        name=agent.name,
        description=agent.description,
        installed=not hindrance,
        fix=(hindrance,) if hindrance else (),
    )


def survey_agent() -> CommandAgent:
    return CommandAgent(
        name=SURVEY,
        argv=survey.command(sys.executable),
        env={"PYTHONPATH": PACKAGES, "PYTHONDONTWRITEBYTECODE": "1"},
        description="surveys the project without AI; builds nothing",
        reads_prompt=False,
        memory_bytes=64 * MIB,
        plans=False,
        changes_files=False,
    )


def built_in() -> Sequence[Agent]:
    return [ShellAgent(), survey_agent()]
