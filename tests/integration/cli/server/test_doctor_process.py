"""Doctor for the API: the checks of the command, in a process with a timeout."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestrator.cli.command_context import PROJECT_VARIABLE
from orchestrator.cli.server import doctor_process
from orchestrator.cli.server.doctor_process import DoctorProcess
from orchestrator.core.errors import Unavailable
from orchestrator.security.files.orchestrator_home import VARIABLE
from orchestrator.security.files.product_files import FOLDER
from tests.integration.site import make_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make_folder(tmp_path / "folder", {})
    made.chmod(0o700)
    return made


def test_the_checks_are_those_of_the_command(folder: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    command = ["--home", str(folder), "doctor", "--json", "--project", str(project)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "orchestrator", *command],
        # Commands in the results depend on the working directory.
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(FOLDER)},
    )
    environ = {**os.environ, VARIABLE: str(folder), PROJECT_VARIABLE: str(project)}
    found = DoctorProcess(folder, environ)()
    expected = json.loads(done.stdout)["checks"]
    assert [each.name for each in found] == [each["name"] for each in expected]
    assert [each.fix for each in found] == [each["fix"] for each in expected]


def test_the_checks_find_the_project_by_the_same_rule_as_the_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --project, the check of the project would name this option as the rule."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, '{"checks": []}', "")

    monkeypatch.setattr(subprocess, "run", run)

    assert DoctorProcess(folder, {VARIABLE: str(folder)})() == []
    assert commands[0][-4:] == ["--home", str(folder), "doctor", "--json"]


def slow(folder: Path, tmp_path: Path) -> tuple[DoctorProcess, Path]:
    """Return a doctor whose ``git`` hangs, and the file that this git writes first."""
    program, begun = tmp_path / "bin" / "git", tmp_path / "begun"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n: > '{begun}'\nexec sleep 60\n")
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, VARIABLE: str(folder)}
    return DoctorProcess(folder, environ), begun


def test_a_check_that_hangs_ends_with_a_failure(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_process, "DOCTOR_SECONDS", 3.0)
    doctor, _ = slow(folder, tmp_path)
    [found] = doctor()
    assert (found.ok, found.name) == (False, "doctor")
    assert "took longer than 3 s" in found.message
    assert found.fix.endswith("doctor")


@pytest.mark.nightly
def test_a_second_caller_does_not_wait_for_the_first(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_process, "DOCTOR_SECONDS", 15.0)
    doctor, begun = slow(folder, tmp_path)
    first = threading.Thread(target=doctor)
    first.start()
    while not begun.exists():
        assert first.is_alive()
    with pytest.raises(Unavailable, match="running for another caller"):
        doctor()
    first.join()
    assert doctor()[0].name == "doctor", "the second call returns the same result"
