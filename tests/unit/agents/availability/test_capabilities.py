"""docs/agents.md states exactly the capabilities that the tests verify."""

from pathlib import Path

from orchestrator.core.model.known_agents import KNOWN
from tests.agents.real import capabilities, failures
from tests.agents.real.tools import AGENTS

DOCUMENT = Path(__file__).parents[4] / "docs" / "agents.md"


def test_the_document_has_the_table_of_what_is_verified() -> None:
    assert capabilities.table() in DOCUMENT.read_text()
    assert failures.table() in DOCUMENT.read_text()
    assert capabilities.versions() in DOCUMENT.read_text()


def test_every_agent_but_aider_is_verified() -> None:
    assert set(AGENTS) == {each.name for each in KNOWN} - {"aider"}
