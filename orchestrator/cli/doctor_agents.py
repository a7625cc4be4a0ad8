"""Doctor's look at the agents: which ones can work here."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.cli.health_check import Check

if TYPE_CHECKING:
    from orchestrator.config import Settings, UserAgent


def agent_checks(settings: "Settings | None") -> Iterator[Check]:
    yield _shell()
    yield Check(name="agent survey", ok=True, message="built in")
    if settings is None:
        return
    for name, agent in settings.agents.items():
        yield _user_agent(name, agent)
    if not settings.agents:
        message = "none is connected: requests are surveyed, nothing is built; add one under agents"
        yield Check(name="AI agents", ok=None, message=message)


def _shell() -> Check:
    found = shutil.which("bash")
    if found is None:
        fix = "install bash; commands of workers run in it"
        return Check(name="agent shell", ok=False, message="bash is not on the PATH", fix=fix)
    return Check(name="agent shell", ok=True, message=found)


def _user_agent(name: str, agent: "UserAgent") -> Check:
    program = agent.command[0]
    found = shutil.which(program)
    if found is None:
        fix = f"install it, or write its full path in config.yaml: agents.{name}.command"
        message = f"{program} is not on the PATH"
        return Check(name=f"agent {name}", ok=False, message=message, fix=fix)
    return Check(name=f"agent {name}", ok=True, message=found)
