"""Doctor's check of the agents: their availability on this machine."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.doctor.check import HealthCheck
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.core.errors import ConfigError

if TYPE_CHECKING:
    from orchestrator.config import Settings, UserAgent
    from orchestrator.core.ports.agent_availability import Availability

NONE_USABLE = "no AI agent is available, so a request only surveys the project"


def agent_checks(
    folder: Path, settings: "Settings | None", environ: Mapping[str, str]
) -> Iterator[HealthCheck]:
    yield _shell()
    yield HealthCheck(name="agent survey", ok=True, message="built in")
    if settings is None:
        return
    for name, agent in settings.agents.items():
        if agent.command:
            yield _user_agent(name, agent)
    yield from _known_agent_checks(folder, settings, environ)


def _known_agent_checks(
    folder: Path, settings: "Settings", environ: Mapping[str, str]
) -> Iterator[HealthCheck]:
    """Yield a check for each known agent whose program is installed here, usable or not."""
    from orchestrator.composition import availability
    from orchestrator.core.model.known_agents import KNOWN

    try:
        agents = availability(folder, settings, environ)
    except ConfigError as error:
        yield HealthCheck(
            name="agents",
            ok=False,
            message=error.message,
            fix="correct this setting in config.yaml",
        )
        return
    names = {each.name for each in KNOWN} - {
        name for name, agent in settings.agents.items() if agent.command
    }
    known_agents = [each for each in agents if each.name in names]
    yield from (_as_check(each) for each in known_agents if each.usable or each.path)
    if not any(each.usable for each in known_agents) and not settings.agents:
        fix = f"list what each agent needs: {COMMAND} agents"
        yield HealthCheck(name="AI agents", ok=None, message=NONE_USABLE, fix=fix)


def _as_check(agent: "Availability") -> HealthCheck:
    name = f"agent {agent.name}"
    if agent.usable:
        location = agent.path or agent.description
        return HealthCheck(name=name, ok=True, message=f"{location}; login: {agent.credential}")
    return HealthCheck(name=name, ok=None, message=agent.hindrance)


def _shell() -> HealthCheck:
    program = shutil.which("bash")
    if program is None:
        fix = "install bash; it runs the commands of workers"
        return HealthCheck(name="agent shell", ok=False, message="bash is not on the PATH", fix=fix)
    return HealthCheck(name="agent shell", ok=True, message=program)


def _user_agent(name: str, agent: "UserAgent") -> HealthCheck:
    program = agent.command[0]
    path = shutil.which(program)
    if path is None:
        fix = f"install {program}, or set its full path in config.yaml: agents.{name}.command"
        message = f"{program} is not on the PATH"
        return HealthCheck(name=f"agent {name}", ok=False, message=message, fix=fix)
    return HealthCheck(name=f"agent {name}", ok=True, message=path)
