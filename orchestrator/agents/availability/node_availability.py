"""Availability of agents on the nodes of a cluster.

The server sends descriptions of its agents, without credentials, to the nodes. Each node searches
for the agents in its own environment.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.agents.availability.local_availability import (
    OFF,
    VARIABLE_OF_PATTERN,
    credential_fingerprint,
    program_availability,
    tool_availability,
)
from orchestrator.core.model.known_agents import KnownTool, known
from orchestrator.core.model.machines import Machine, hindrance
from orchestrator.core.ports.agent_availability import Availability

#: A description of an agent, as JSON.
Description = Mapping[str, Any]

#: Placeholder in descriptions for the value of a variable with a credential.
_SET = "set"


class AgentOnNodes:
    """The availability of an agent on all machines of a cluster. Any thread may call."""

    def __init__(
        self, here: Callable[[], Availability], machines: Callable[[], Sequence[Machine]]
    ) -> None:
        """``here`` returns the availability on the server's machine.

        ``machines`` returns all machines, the server's machine first.
        """
        self._here, self._machines = here, machines

    def __call__(self) -> Availability:
        availability, nodes = self._here(), self._machines()[1:]
        able_nodes = tuple(each.name for each in nodes if availability.name in (each.agents or ()))
        if availability.works_here or able_nodes:
            return replace(availability, nodes=able_nodes) if able_nodes else availability
        machine = Machine(slots=0, lacks={availability.name: availability.hindrance_here})
        return replace(
            availability, nowhere=hindrance((machine, *nodes), availability.name) if nodes else ""
        )

    def hindrance(self) -> str:
        return self().hindrance

    def credential_fingerprint(self, here: Callable[[], str]) -> str:
        """Return a text that changes when the agent's login on any machine changes.

        ``here`` returns such a text for the server's machine.
        """
        name = self._here().name
        nodes = (each.logins.get(name, "") for each in self._machines()[1:])
        return " ".join([here(), *filter(None, nodes)])


def description(
    agent: KnownTool, command: str, environ: Mapping[str, str], *, windows: bool
) -> Description:
    """Return the description of a known agent for the nodes.

    The description includes the server's environment variables that show if the agent has a
    credential, because the node's workers get these variables from the server.
    """
    return {
        "name": agent.name,
        "known": True,
        "command": command,
        "windows": windows,
        "variables": _variables(agent, environ),
    }


def program_description(name: str, program: str, bin: str, path: str | None) -> Description:
    """Return the description of an agent from the settings, for the nodes.

    ``bin``: the directory with orchestrator's own commands. ``path``: the agent's own PATH; None to
    use the node's PATH.
    """
    return {"name": name, "program": program, "bin": bin, "path": path}


def _variables(agent: KnownTool, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that show if the agent has a credential; secrets become placeholders."""
    service_variables = [each for names in agent.services.values() for each in names]
    patterns = [*agent.logins, *(each for each in service_variables if each.startswith("{"))]
    secret_names = {*agent.credentials, *service_variables} - set(patterns)
    credentials = {
        name: environ[name] if environ[name].lower() in OFF else _SET
        for name in secret_names
        if environ.get(name)
    }
    plain_names = {match[1] for each in patterns if (match := VARIABLE_OF_PATTERN.match(each))}
    if agent.local_url:
        plain_names.add(f"{agent.name.upper()}_HOST")
    return {**credentials, **{name: environ[name] for name in plain_names if environ.get(name)}}


def node_report(agents: Sequence[Description], environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the node's report about the described agents, as JSON.

    The fields of each agent:

    - ``name``: the agent's name.
    - ``reason``: why the agent cannot work on the node; "" if it can.
    - ``fix``: the steps that make the agent work.
    - ``login``: a text that changes when a login file changes.
    """
    reports = []
    for agent in agents:
        unusable = _look(agent, environ).unusable_here
        reason, fix = (unusable.reason, unusable.fix) if unusable else ("", ())
        tool = known(agent["name"]) if agent.get("known") else None
        login = credential_fingerprint(tool, _environment(agent, environ)) if tool else ""
        reports.append({"name": agent["name"], "reason": reason, "fix": list(fix), "login": login})
    return reports


def _look(agent: Description, environ: Mapping[str, str]) -> Availability:
    name = agent["name"]
    if agent.get("known"):
        tool = known(name)
        assert tool is not None, name
        environment = _environment(agent, environ)
        return tool_availability(tool, agent["command"], environment, windows=agent["windows"])
    if agent.get("program"):
        path = agent["path"] or environ.get("PATH", "")
        return program_availability(name, "", agent["program"], agent["bin"], {"PATH": path})
    return Availability(name=name, description="")


def _environment(agent: Description, environ: Mapping[str, str]) -> Mapping[str, str]:
    inherited = {each: environ[each] for each in ("HOME", "PATH") if each in environ}
    return {**inherited, **agent["variables"]}
