"""Help that lists agents."""

import pytest

from orchestrator.core.model.known_agents import KNOWN
from tests.unit.cli.conftest import Orchestrator


@pytest.mark.parametrize(
    ("command", "name_of_property"), [("message", "reads_messages"), ("attach", "resumes")]
)
def test_help_lists_the_agents_with_which_the_command_works(
    orchestrator: Orchestrator,
    capsys: pytest.CaptureFixture[str],
    command: str,
    name_of_property: str,
) -> None:
    *others, last = (each.name for each in KNOWN if getattr(each, name_of_property))

    orchestrator(command, "--help")

    text_without_spaces = "".join(capsys.readouterr().out.split())
    assert f"{','.join(others)},or{last}" in text_without_spaces
