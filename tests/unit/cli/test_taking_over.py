"""``land``, ``undo``, and ``apply`` reject workers, which must not change the user's checkout."""

from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.output.exit_codes import ExitCode

COMMANDS = (
    ("land", "abc123", "--yes"),
    ("undo", "abc123", "--yes"),
    ("restore", "abc123", "--yes"),
    ("apply", "abc123", "--yes"),
)


def ran(folder: Path, worker_directory: Path, *arguments: str) -> int:
    environ = {"ORCHESTRATOR_WORKER_DIR": str(worker_directory)}
    return execute(arguments, CliContext(folder=folder, environ=environ))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_worker_of_the_folder_is_refused(
    command: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "folder" / "workspace" / "job_abc123" / "depth_0" / "worker_1"

    assert ran(tmp_path / "folder", own, *command) == ExitCode.FAILED
    assert "a worker must not change the user's checkout" in capfd.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_worker_of_another_folder_is_a_user_here(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    foreign = tmp_path / "other" / "workspace" / "job_abc123" / "depth_0" / "worker_1"

    assert ran(tmp_path / "folder", foreign, *command) == ExitCode.NOT_FOUND


def test_a_worker_may_copy_results_to_another_directory(tmp_path: Path) -> None:
    own = tmp_path / "folder" / "workspace" / "job_abc123" / "depth_0" / "worker_1"
    to = ("--to", str(tmp_path))

    assert ran(tmp_path / "folder", own, "apply", "abc123", *to) == ExitCode.NOT_FOUND


@pytest.mark.parametrize("other", ["--ff-only", "--squash"])
def test_two_conflicting_ways_to_land_are_rejected(
    other: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ("land", "abc123", "--no-ff", other)

    assert ran(tmp_path / "folder", tmp_path, *command) == ExitCode.USAGE
    assert "pass one of them" in capfd.readouterr().err
