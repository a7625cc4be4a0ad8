"""Creates all agents: known agents, agents of config.yaml, and agents of installed packages."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

from orchestrator.agents.agent_registry import AgentRegistry, AvailabilityCheck, built_in
from orchestrator.agents.availability.local_availability import (
    AvailabilityCache,
    credential_fingerprint,
    local_models,
    local_url,
    needs_login,
    program_availability,
    tool_availability,
)
from orchestrator.agents.availability.local_availability import program_argv as argv_of
from orchestrator.agents.availability.node_availability import (
    AgentOnNodes,
    Description,
    description,
    program_description,
)
from orchestrator.agents.command_agents import LOGIN_SHELL, CommandAgent
from orchestrator.agents.driven_agent import CommonSettings, DrivenAgent
from orchestrator.config import Settings, UserAgent, project_root
from orchestrator.config.project_discovery import ProjectUnknown
from orchestrator.config.sections.agents import AgentOutput
from orchestrator.core.errors import ConfigError
from orchestrator.core.model.known_agents import KNOWN, KnownTool, known
from orchestrator.core.model.machines import Machine
from orchestrator.core.ports import Agent
from orchestrator.core.ports.agent_availability import Availability

GROUP = "orchestrator.agents"
_MEMORY_BYTES = 512 * 1024 * 1024


def registry(
    folder: Path,
    settings: Settings,
    environ: Mapping[str, str] = os.environ,
    machines: Callable[[], Sequence[Machine]] = tuple,
) -> AgentRegistry:
    """Return all agents.

    Raise ConfigError if an agent in the settings has neither a command nor a class. Raise
    ConfigError if the Python class of an agent cannot be loaded, or is not an agent.

    ``machines``: returns the machines of the cluster, with the server's own machine first; empty
    without a cluster.
    """
    common = _common_settings(folder, settings)
    checks: dict[str, AvailabilityCheck] = {}
    program_checks: dict[str, AvailabilityCheck] = {}
    agents: dict[str, Agent] = {each.name: each for each in built_in()}
    for tool in KNOWN:
        cache = AvailabilityCache(
            partial(
                tool_availability,
                tool,
                settings.orchestrator.command_of(tool),
                environ,
                windows=str(settings.orchestrator.execution_mode) == "windows",
                inherit=_inherited_parts(settings, tool),
            )
        )
        checks[tool.name] = on_nodes = AgentOnNodes(cache, machines)
        agents[tool.name] = _known_agent(tool, settings, common, on_nodes, environ)
    agents.update(_installed_agents())
    for name, user in settings.agents.items():
        if not (_adjusts_known_tool(name, user) and isinstance(agents[name], DrivenAgent)):
            checks.pop(name, None)
            if user.class_ is not None:
                agents[name] = _agent_of_class(name, user.class_)
                continue
            on_nodes = AgentOnNodes(_program_check(name, user, common, environ), machines)
            program_checks[name] = on_nodes
            agents[name] = _agent_of_user(name, user, common, on_nodes)
    return AgentRegistry(agents.values(), settings.workers.agent, checks, program_checks)


def descriptions(
    folder: Path, settings: Settings, agents: AgentRegistry, environ: Mapping[str, str] = os.environ
) -> Sequence[Description]:
    """Return a description of each agent. A node uses the description to find the program."""
    return [_description(folder, settings, agents.get(name), environ) for name in agents.names()]


def _description(
    folder: Path, settings: Settings, agent: Agent, environ: Mapping[str, str]
) -> Description:
    user, tool = settings.agents.get(agent.name), known(agent.name)
    if user is not None and user.command:
        path = _passed_and_set_variables(user)[1].get("PATH")
        return program_description(agent.name, user.command[0], f"{folder}/bin", path)
    if tool is not None and isinstance(agent, DrivenAgent):
        windows = str(settings.orchestrator.execution_mode) == "windows"
        command = settings.orchestrator.command_of(tool)
        return description(tool, command, environ, windows=windows)
    # An agent in Python needs no search, because all machines have the same packages.
    return {"name": agent.name}


def _common_settings(folder: Path, settings: Settings) -> CommonSettings:
    workers = settings.workers
    return CommonSettings(
        home=str(folder),
        user_project=_user_project(settings, folder),
        shared=str(settings.orchestrator.workspace_root / "agents"),
        policy=workers.policy,
        stall_seconds=workers.stall_seconds,
        resume_sessions=workers.resume_sessions,
        grace_seconds=workers.grace_seconds,
        log_limit_bytes=workers.log_limit_bytes,
        prices={
            each.model: {
                name: value for name, value in each if name != "model" and value is not None
            }
            for each in workers.prices
        },
    )


def _user_project(settings: Settings, folder: Path) -> str:
    try:
        return str(project_root(settings, folder))
    except ProjectUnknown:
        return ""


def _adjusts_known_tool(name: str, user: UserAgent) -> bool:
    return known(name) is not None and not user.command and user.class_ is None


def _inherited_parts(settings: Settings, tool: KnownTool) -> tuple[str, ...]:
    user = settings.agents.get(tool.name)
    return tuple(user.inherit) if user is not None else ()


def _known_agent(
    tool: KnownTool,
    settings: Settings,
    common: CommonSettings,
    on_nodes: AgentOnNodes,
    environ: Mapping[str, str],
) -> DrivenAgent:
    command = settings.orchestrator.command_of(tool)
    agent = DrivenAgent(
        name=tool.name,
        tool=tool.name,
        common=common,
        description=tool.description,
        argv=argv_of(command) if tool.program else (),
        pass_env=tool.pass_env,
        env=tool.env,
        caches_prompts=tool.caches_prompts,
        plans=tool.plans,
        login_instructions=tool.login if needs_login(tool) else "",
        memory_bytes=tool.memory_bytes,
        model=partial(_model, tool, environ),
        more={"base_url": local_url(tool, environ)} if tool.local_url else {},
        credential_fingerprint=partial(
            on_nodes.credential_fingerprint, partial(credential_fingerprint, tool, environ)
        ),
        hindrance=on_nodes.hindrance,
    )
    user = settings.agents.get(tool.name)
    return agent if user is None else _with_changes(agent, user)


def _with_changes(agent: DrivenAgent, user: UserAgent) -> DrivenAgent:
    passed_names, set_variables = _passed_and_set_variables(user)
    return replace(
        agent,
        model=(lambda: user.model) if user.model else agent.model,
        policy=user.policy or "",
        inherit=tuple(user.inherit),
        description=user.description or agent.description,
        pass_env=(*agent.pass_env, *passed_names),
        env={**agent.env, **set_variables},
        caches_prompts=user.caches_prompts or agent.caches_prompts,
        memory_bytes=agent.memory_bytes if user.memory_bytes is None else user.memory_bytes,
        plans=agent.plans if user.plans is None else user.plans,
        changes_files=user.changes_files,
    )


def _model(tool: KnownTool, environ: Mapping[str, str]) -> str:
    model = next((environ[name] for name in tool.model_variables if environ.get(name)), "")
    if model or tool.model or not tool.local_url:
        return model or tool.model
    return next(iter(local_models(local_url(tool, environ))), "")


def _program_check(
    name: str, user: UserAgent, common: CommonSettings, environ: Mapping[str, str]
) -> AvailabilityCheck:
    if not user.command:
        raise ConfigError(f"agents.{name}: neither command nor class is set; set one of them")
    environment = {**environ, **_passed_and_set_variables(user)[1]}
    return partial(
        program_availability,
        name,
        user.description,
        user.command[0],
        f"{common.home}/bin",
        environment,
    )


def _agent_of_user(
    name: str, user: UserAgent, common: CommonSettings, on_nodes: AgentOnNodes
) -> Agent:
    passed_names, set_variables = _passed_and_set_variables(user)
    agent = CommandAgent(
        name=name,
        argv=tuple(user.command),
        description=user.description,
        pass_env=passed_names,
        env=set_variables,
        output_from_log=user.output is AgentOutput.LOG,
        caches_prompts=user.caches_prompts,
        memory_bytes=_MEMORY_BYTES if user.memory_bytes is None else user.memory_bytes,
        plans=user.plans,
        changes_files=user.changes_files,
        hindrance=on_nodes.hindrance,
    )
    if user.reader is not None:
        return _agent_with_reader(agent, user, common)
    shell_variables = {} if "BASH_ENV" in passed_names else {"BASH_ENV": str(LOGIN_SHELL)}
    return replace(agent, env={**shell_variables, **set_variables})


def _agent_with_reader(agent: CommandAgent, user: UserAgent, common: CommonSettings) -> DrivenAgent:
    """Return ``agent`` with a reader for the events that its program prints.

    ``user.reader``: the format of the events.
    """
    return DrivenAgent(
        name=agent.name,
        tool="custom",
        common=common,
        argv=agent.argv,
        description=agent.description,
        model=lambda: user.model,
        policy=user.policy or "",
        pass_env=agent.pass_env,
        env=agent.env,
        caches_prompts=agent.caches_prompts,
        memory_bytes=agent.memory_bytes,
        plans=agent.plans,
        changes_files=agent.changes_files,
        hindrance=agent.hindrance,
        more={
            "reader": user.reader,
            "model_option": user.model_option,
            "policies": {
                "full": user.policies.full,
                "edit": user.policies.edit,
                "read-only": user.policies.read_only,
            },
        },
    )


def _passed_and_set_variables(user: UserAgent) -> tuple[tuple[str, ...], dict[str, str]]:
    set_variables = dict(each.split("=", 1) for each in user.env if "=" in each)
    return tuple(each for each in user.env if "=" not in each), set_variables


def _agent_of_class(name: str, path: str) -> Agent:
    module, _, attribute = path.partition(":")
    try:
        agent: Agent = getattr(import_module(module), attribute)()
    except Exception as error:
        raise ConfigError(f"agents.{name}.class: cannot load {path}: {error}") from error
    return _checked(agent, name, f"agents.{name}.class: {path}")


def _checked(agent: Agent, name: str, where: str) -> Agent:
    lacking = [each for each in ("check", "command", "evidence") if not hasattr(agent, each)]
    if lacking:
        raise ConfigError(
            f"{where} is not an agent: the class lacks {', '.join(lacking)}; add the methods"
        )
    if getattr(agent, "name", None) != name:
        raise ConfigError(f"{where}: the attribute 'name' of the class must be {name!r}")
    return agent


def _installed_agents() -> Iterator[tuple[str, Agent]]:
    if not _agents_may_be_installed():
        return
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP):
        yield point.name, _agent_of_class(point.name, point.value)


def _agents_may_be_installed() -> bool:
    """True if an installed package may define agents.

    This check only searches ``sys.path``. The check is faster than ``entry_points``, which reads
    the metadata of every package.
    """
    for folder in sys.path:
        if os.path.isfile(folder):
            return True  # An archive, such as a zip file, may contain packages.
        with suppress(OSError), os.scandir(folder or os.curdir) as entries:
            if any(map(_has_agents, entries)):
                return True
    return False


def _has_agents(entry: os.DirEntry[str]) -> bool:
    if not entry.name.lower().endswith("-info"):
        return False
    try:
        return GROUP.encode() in Path(entry, "entry_points.txt").read_bytes()
    except OSError:
        return False


def availability(
    folder: Path, settings: Settings, environ: Mapping[str, str]
) -> Sequence[Availability]:
    return registry(folder, settings, environ).available()
