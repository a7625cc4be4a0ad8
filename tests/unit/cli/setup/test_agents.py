"""``orchestrator agents``: usable agents, and how to make unusable agents usable."""

import json
import os
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Orchestrator


@pytest.fixture
def claude(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A program that prints its version, first on the PATH."""
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "claude").write_text("#!/bin/sh\necho 9.8.7 of a stand-in\n")
    (bin / "claude").chmod(0o755)
    environ["PATH"] = f"{bin}{os.pathsep}{environ['PATH']}"
    return environ


def test_the_command_that_fixes_an_agent_is_shown(
    orchestrator: Orchestrator, claude: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert orchestrator("agents") == 0

    shown = capsys.readouterr()
    [row] = [line for line in shown.out.splitlines() if line.startswith("claude ")]
    assert row.split()[:3] == ["claude", "no", "9.8.7"]
    assert "none found" in row
    assert "claude: run claude /login, or set ANTHROPIC_API_KEY" in shown.err


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_table_is_not_wider_than_the_terminal(
    orchestrator: Orchestrator,
    claude: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    claude["COLUMNS"] = str(columns)

    assert orchestrator("agents") == 0

    head, *rows = capsys.readouterr().out.splitlines()
    assert ("DESCRIPTION" in head) is (columns >= 80) and "INHERITS" not in head
    assert max(map(len, rows)) <= max(columns, len(head))


def test_no_description_is_cut_in_a_pipe(
    orchestrator: Orchestrator, claude: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    claude.pop("COLUMNS", None)

    assert orchestrator("agents") == 0

    assert "..." not in capsys.readouterr().out


def test_agents_are_listed_as_json(
    orchestrator: Orchestrator, claude: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    claude["ANTHROPIC_API_KEY"] = "a-key-that-nobody-must-see"
    assert orchestrator("agents", "--json") == 0

    out = capsys.readouterr().out
    agents = {each["name"]: each for each in json.loads(out)["agents"]}
    assert agents["claude"]["usable"] and agents["claude"]["fix"] == []
    assert agents["claude"]["version"] == "9.8.7 of a stand-in"
    assert agents["survey"]["usable"]
    # Like the server's answers: fields without a value are omitted.
    assert not any(value in ("", None) for each in agents.values() for value in each.values())
    assert "a-key-that-nobody-must-see" not in out
