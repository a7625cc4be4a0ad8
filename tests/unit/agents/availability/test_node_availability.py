"""Agents on nodes: the descriptions that the server sends, and the report of a node."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.availability.local_availability import tool_availability
from orchestrator.agents.availability.node_availability import (
    AgentOnNodes,
    description,
    node_report,
)
from orchestrator.composition.settings.agents import descriptions, registry
from orchestrator.config import Settings
from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.known_agents import CLAUDE, CODEX, KNOWN, KnownTool
from orchestrator.core.model.machines import Machine

TASK = TaskSpec(id="a", prompt="p")


def a_program(directory: Path, name: str) -> str:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(directory)


@pytest.fixture
def node(tmp_path: Path) -> dict[str, str]:
    """The environment of a node that has every program, and no login."""
    for each in KNOWN:
        if each.program:
            a_program(tmp_path / "bin", each.program)
    return {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin")}


def found(agent: KnownTool, server: Mapping[str, str], node: Mapping[str, str]) -> dict[str, Any]:
    described = description(agent, agent.program, server, windows=False)
    return node_report([json.loads(json.dumps(described))], node)[0]


@pytest.mark.parametrize("agent", KNOWN, ids=lambda each: each.name)
def test_a_node_and_the_server_find_the_same_in_the_same_environment(
    agent: KnownTool, node: dict[str, str]
) -> None:
    variables = [dict[str, str](), *({name: "x" * 9} for name in agent.credentials)]
    for environ in ({**node, **each} for each in variables):
        unusable = tool_availability(agent, agent.program, environ).unusable_here
        expected = (unusable.reason, list(unusable.fix)) if unusable else ("", [])
        on_node = found(agent, environ, environ)
        assert (on_node["reason"], on_node["fix"]) == expected


def test_a_key_of_the_server_counts_on_a_node_and_is_not_sent(node: dict[str, str]) -> None:
    server = {"ANTHROPIC_API_KEY": "sk-secret", "HOME": "/home/server", "PATH": "/nowhere"}

    assert found(CLAUDE, server, node)["reason"] == ""
    assert "sk-secret" not in str(description(CLAUDE, "claude", server, windows=False))


def test_a_key_of_the_node_does_not_count_because_workers_do_not_get_it(
    node: dict[str, str],
) -> None:
    node["ANTHROPIC_API_KEY"] = "sk-of-node"

    assert found(CLAUDE, {}, node)["reason"] == "no credentials found"


def test_a_login_file_of_the_node_counts(node: dict[str, str]) -> None:
    login = Path(node["HOME"], ".codex", "auth.json")
    login.parent.mkdir(parents=True)
    login.write_text('{"token": 1}')

    assert found(CODEX, {"HOME": "/home/server"}, node)["reason"] == ""
    stamp = found(CODEX, {}, node)["login"]
    login.write_text('{"token": "new"}')
    assert found(CODEX, {}, node)["login"] != stamp
    elsewhere = found(CODEX, {"HOME": "/home/server", "CODEX_HOME": "/elsewhere"}, node)
    assert elsewhere["reason"] == "no credentials found"


def test_a_missing_program_has_the_command_that_installs_it(node: dict[str, str]) -> None:
    missing = found(CODEX, {"OPENAI_API_KEY": "k"}, {**node, "PATH": "/nowhere"})

    assert missing["reason"] == "command 'codex' not found"
    assert missing["fix"] == ["npm install -g @openai/codex"]


def mine(**changes: object) -> Settings:
    agent = {"command": ["only-there"], **changes}
    return Settings.model_validate({"agents": {"mine": agent}})


def test_a_node_searches_for_the_programs_of_the_settings(tmp_path: Path) -> None:
    there = a_program(tmp_path / "there", "only-there")

    def on_node(settings: Settings, path: str) -> list[str]:
        agents = registry(tmp_path, settings, {})
        rows = node_report(descriptions(tmp_path, settings, agents, {}), {"PATH": path})
        return [each["reason"] for each in rows if each["name"] == "mine"]

    assert on_node(mine(), there) == [""]
    assert on_node(mine(), "/nowhere") == ["command 'only-there' not found"]
    assert on_node(mine(env=[f"PATH={there}"]), "/nowhere") == [""]


def test_an_agent_that_only_a_node_has_is_usable(tmp_path: Path) -> None:
    here, n1 = Machine(slots=1), Machine(name="n1", slots=1, agents=frozenset({"mine", "claude"}))
    agents = registry(tmp_path, mine(), {}, lambda: (here, n1))

    agents.get("mine").check(TASK)
    assert agents.resolve("auto", TASK) == "claude"
    [found] = [each for each in agents.available() if each.name == "mine"]
    assert (found.usable, found.works_here, found.nodes) == (True, False, ("n1",))


def test_a_new_login_on_a_node_changes_the_stamp_of_the_agents_logins(tmp_path: Path) -> None:
    machines = [Machine(slots=1), Machine(name="n1", slots=1, logins={"codex": "1:2:3"})]
    agents = registry(tmp_path, mine(), {}, lambda: machines)
    before = agents.credential_fingerprint("codex")
    machines[1] = replace(machines[1], logins={"codex": "1:9:3"})
    assert agents.credential_fingerprint("codex") != before
    assert agents.credential_fingerprint("claude") == registry(
        tmp_path, mine(), {}
    ).credential_fingerprint("claude")


def test_an_agent_that_no_machine_has_is_rejected_with_what_to_do_on_each(tmp_path: Path) -> None:
    lacks = {"mine": "command 'only-there' not found; install it"}
    machines = [Machine(slots=1), *(Machine(name=f"n{n}", slots=1, lacks=lacks) for n in (1, 2))]
    agents = registry(tmp_path, mine(), {"PATH": "/nowhere"}, lambda: machines)

    with pytest.raises(InvalidRequest) as error:
        agents.get("mine").check(TASK)

    assert error.value.message == (
        "task 'a': agent 'mine' is not available: here: command 'only-there' not found; to fix: "
        "install it, or set agents.mine.command in config.yaml; "
        "n1, n2: command 'only-there' not found; install it"
    )


def test_without_a_cluster_only_this_machine_counts() -> None:
    missing = tool_availability(CODEX, "codex", {"PATH": "/nowhere"})
    found = AgentOnNodes(lambda: missing, tuple)()
    assert found == missing
    assert found.hindrance == found.hindrance_here
