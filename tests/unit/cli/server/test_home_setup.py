"""The home of an installed package is private, and is not committed to the user's git."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.server.home_setup import prepare_home, write_command
from orchestrator.core.errors import ConfigError
from orchestrator.security.files import tool_config_boundary
from orchestrator.security.files.orchestrator_home import local_home

LINE = "/.orchestrator/local/"


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *arguments]
    done = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    top = tmp_path / "a shop"
    top.mkdir()
    git(top, "init", "-q")
    (top / "a.txt").write_text("a")
    (top / ".orchestrator").mkdir()
    (top / ".orchestrator" / "gates.yaml").write_text("gates: []\n")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "first")
    return top


def excluded(project: Path) -> list[str]:
    path = git(project, "rev-parse", "--git-path", "info/exclude").strip()
    return [line for line in (project / path).read_text().splitlines() if LINE in line]


def test_a_home_is_private_and_excluded_from_git(project: Path) -> None:
    home, lines = local_home(project), list[str]()
    for _ in range(2):
        prepare_home(home, {}, lines.append)

    modes = {each: stat.S_IMODE((home / each).stat().st_mode) for each in (".", "config.yaml")}
    assert modes == {".": 0o700, "config.yaml": 0o600}
    assert excluded(project) == [LINE] and not (project / ".gitignore").exists()
    assert git(project, "status", "--porcelain") == ""
    [line] = lines
    assert str(home) in line and ".git/info/exclude" in line


def test_its_other_files_stay_files_that_the_project_commits(project: Path) -> None:
    prepare_home(local_home(project), {}, lambda text: None)
    (project / ".orchestrator" / "plans").mkdir()
    (project / ".orchestrator" / "plans" / "a.yaml").write_text("request: x\n")
    assert git(project, "status", "--porcelain") == "?? .orchestrator/plans/\n"


def test_linked_worktrees_share_the_line(project: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(project, "worktree", "add", "-q", str(linked))
    for each in (linked, project):
        prepare_home(local_home(each), {}, lambda text: None)
        assert git(each, "status", "--porcelain") == ""
    assert excluded(project) == [LINE]


def test_settings_that_came_with_a_clone_are_refused(project: Path) -> None:
    home = local_home(project)
    home.mkdir(mode=0o700)
    (home / "config.yaml").write_text("agents: {a: {command: [evil]}}\n")
    git(project, "add", "-f", str(home))
    with pytest.raises(ConfigError, match="another person may have written"):
        prepare_home(home, {}, lambda text: None)


def test_without_a_repository_nothing_else_is_written(tmp_path: Path) -> None:
    prepare_home(local_home(tmp_path), {}, lambda text: None)
    assert [each.name for each in tmp_path.iterdir()] == [".orchestrator"]


def test_ruff_and_the_editor_of_its_settings_know_it(tmp_path: Path) -> None:
    home = local_home(tmp_path)
    prepare_home(home, {}, lambda text: None)
    found = home / "workspace" / "job_1" / "a.py"
    found.parent.mkdir(parents=True)
    found.write_text("import os\n")
    tool_config_boundary.write(home / "workspace")
    check = [sys.executable, "-m", "ruff", "check", "--no-cache", "."]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "$schema=./config.schema.json" in (home / "config.yaml").read_text()
    assert (home / "config.schema.json").is_file()


def test_its_command_runs_the_installation_in_it(tmp_path: Path) -> None:
    program = write_command(tmp_path)
    help_text = subprocess.run([program, "spawn", "-h"], capture_output=True, text=True, check=True)
    assert "orchestrator spawn" in help_text.stdout
