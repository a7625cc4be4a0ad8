"""A home of an installed package that does not exist yet: commands before the first run."""

import stat
from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.output.exit_codes import ExitCode


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / ".orchestrator" / "local"


def run(home: Path, *arguments: str) -> int:
    return execute(arguments, CliContext(folder=home, environ={"PATH": "/usr/bin:/bin"}))


@pytest.mark.parametrize(
    "arguments",
    [("nodes", "init", "--address", "127.0.0.1:8786"), ("service", "show", "--user")],
    ids=["nodes init", "service show"],
)
def test_a_command_that_needs_the_home_creates_it_for_its_user_only(
    home: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home, *arguments) == ExitCode.OK, capsys.readouterr().err

    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert "created " in capsys.readouterr().err


def test_a_list_of_checkpoints_creates_no_home(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home, "checkpoints", "abc") == ExitCode.NOT_FOUND

    assert not home.parent.exists()
    assert "there is no job abc" in capsys.readouterr().err
