"""The commands that the demo names at its end."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.cli.demo.command import Demo
from orchestrator.cli.demo.folder import DemoFolder
from orchestrator.cli.output.exit_codes import ExitCode


@pytest.mark.parametrize("landed", ["", "1" * 40])
def test_a_demo_that_was_stopped_names_no_result_and_no_rejection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], landed: str
) -> None:
    directory = tmp_path / "workspace" / "job_aa11"
    directory.mkdir(parents=True)
    (directory / "status.json").write_text(json.dumps({"job_id": "aa11", "status": "cancelled"}))

    Demo(DemoFolder(tmp_path), {}, as_json=True).print_result(landed)

    commands = json.loads(capsys.readouterr().out)["commands"]
    own = f"{tmp_path}/bin/orchestrator"
    assert (f"{own} diff aa11" in commands) is bool(landed)
    assert (f"{own} logs aa11 worker_2" in commands) is bool(landed)
    assert (f"{own} logs aa11" in commands) is not bool(landed)


@pytest.mark.parametrize("landed", ["", "1" * 40])
def test_a_demo_that_landed_ends_with_the_first_command_for_the_users_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], landed: str
) -> None:
    Demo(DemoFolder(tmp_path), {}, as_json=False).print_result(landed)

    last = capsys.readouterr().out.splitlines()[-2:]
    assert (last[0] == "Next, with your project:") is bool(landed)
    assert last[1].endswith(' run "Survey this repository"' if landed else str(tmp_path))


def test_ctrl_c_before_the_command_can_handle_it_is_an_interruption(tmp_path: Path) -> None:
    folder = DemoFolder(tmp_path)
    folder.command.parent.mkdir(parents=True)
    folder.command.write_text("#!/bin/sh\nkill -INT $$\n")
    folder.command.chmod(0o700)

    assert Demo(folder, {**os.environ}, as_json=False).run() == ExitCode.INTERRUPTED
