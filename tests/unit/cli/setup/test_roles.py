"""The command ``orchestrator roles``."""

import json
from pathlib import Path

import pytest

from orchestrator.cli.output.exit_codes import ExitCode
from tests.unit.cli.conftest import Orchestrator


def test_the_command_lists_built_in_roles_and_roles_of_the_user(
    orchestrator: Orchestrator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles" / "artist.md").write_text("Draws \x1b[2Jpictures.\n\nMore.")
    place = {"ORCHESTRATOR_WORKERS__ROLES_DIR": str(tmp_path / "roles")}

    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.items():
            patch.setenv(name, value)
        assert orchestrator("roles", "--json") == ExitCode.OK
        rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
        assert orchestrator("roles") == ExitCode.OK
        shown = capsys.readouterr().out

    assert len(rows) == 9
    assert rows["artist"]["path"] == str(tmp_path / "roles" / "artist.md")
    assert (rows["artist"]["built_in"], rows["backend"]["built_in"]) == (False, True)
    assert "artist" in shown
    assert "\x1b" not in shown


def test_the_command_shows_the_text_of_a_role(
    orchestrator: Orchestrator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orchestrator("roles", "planner") == ExitCode.OK
    assert "three to seven tasks" in capsys.readouterr().out


def test_an_unknown_one_is_wrong_usage(
    orchestrator: Orchestrator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orchestrator("roles", "wizard") == ExitCode.USAGE
    assert "known: backend" in capsys.readouterr().err
