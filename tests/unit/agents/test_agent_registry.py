"""Agents of the settings and of installed packages."""

import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.command_agents import CommandAgent
from orchestrator.agents.driven_agent import DrivenAgent
from orchestrator.composition.settings.agents import registry
from orchestrator.config import Settings
from orchestrator.core.errors import ConfigError, UnknownAgent

AN_AGENT = """
class Echo:
    name = "echo"
    description = "from a package"
    def check(self, task): ...
    def command(self, assignment): ...
    def evidence(self, directory, log_tail, exit, control): ...
"""


def settings(**agents: dict[str, Any]) -> Settings:
    return Settings.model_validate({"agents": agents})


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the import path with the package ``a_package_of_a_user``."""
    (tmp_path / "a_package_of_a_user.py").write_text(AN_AGENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "a_package_of_a_user", raising=False)
    return tmp_path


def test_an_installed_package_brings_an_agent(installed: Path) -> None:
    record = installed / "a_package_of_a_user-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: a-package\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(
        "[orchestrator.agents]\necho = a_package_of_a_user:Echo\n"
    )

    assert registry(installed, settings()).get("echo").description == "from a package"


def test_a_class_is_an_agent(installed: Path) -> None:
    agents = registry(installed, settings(echo={"class": "a_package_of_a_user:Echo"}))

    assert agents.get("echo").description == "from a package"


@pytest.mark.parametrize(
    ("name", "path", "complaint"),
    [
        ("echo", "no_such_module_at_all:X", "No module named"),
        ("echo", "a_package_of_a_user:Missing", "has no attribute"),
        ("other", "a_package_of_a_user:Echo", "the attribute 'name' of the class must be 'other'"),
        ("echo", "collections:Counter", "the class lacks check, command, evidence"),
    ],
)
def test_a_class_that_is_no_agent_is_a_wrong_setting(
    installed: Path, name: str, path: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=f"agents.{name}.class: .*{path}.*{complaint}"):
        registry(installed, settings(**{name: {"class": path}}))


def test_an_agent_of_the_user_may_have_the_name_of_a_known_agent(tmp_path: Path) -> None:
    agents = registry(tmp_path, settings(claude={"command": ["my-claude"]}))

    assert isinstance(agents.get("claude"), CommandAgent)
    assert "claude" not in [each.name for each in agents.available() if not each.authenticated]


def test_a_users_agent_with_a_reader_is_driven(tmp_path: Path) -> None:
    agents = registry(tmp_path, settings(mine={"command": ["x"], "reader": "codex"}))

    agent = agents.get("mine")
    assert isinstance(agent, DrivenAgent)
    assert (agent.tool, agent.more["reader"]) == ("custom", "codex")


def test_an_agent_of_the_user_accepts_a_model_only_with_a_reader(tmp_path: Path) -> None:
    mine = {"plain": {"command": ["x"]}, "read": {"command": ["x"], "reader": "plain"}}
    agents = registry(tmp_path, settings(**mine))

    takes = {each: agents.takes_model(each) for each in ("plain", "read", "claude", "shell")}
    assert takes == {"plain": False, "read": True, "claude": True, "shell": False}


def test_an_unknown_agent_is_rejected_with_the_names_of_known_agents(tmp_path: Path) -> None:
    with pytest.raises(UnknownAgent, match="known: aider, anthropic, claude, codex"):
        registry(tmp_path, settings()).get("clod")


@pytest.mark.parametrize(
    ("environ", "model"),
    [
        ({}, ""),
        ({"ANTHROPIC_MODEL": "m"}, "m"),
    ],
)
def test_a_variable_names_the_model_of_a_loop(
    tmp_path: Path, environ: dict[str, str], model: str
) -> None:
    agent = registry(tmp_path, settings(), environ).get("anthropic")

    assert isinstance(agent, DrivenAgent)
    assert agent.model() == (model or "claude-sonnet-4-5")
    changed = registry(tmp_path, settings(anthropic={"model": "mine"}), environ).get("anthropic")
    assert isinstance(changed, DrivenAgent) and changed.model() == "mine"
