"""The folder of the demo."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from orchestrator.cli.demo import shop
from orchestrator.cli.demo.folder import DemoFailed, DemoFolder, new_folder
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.config import load
from tests.unit.cli.conftest import Orchestrator

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def demo(tmp_path: Path) -> DemoFolder:
    return new_folder(tmp_path / "a demo", os.environ)


def test_its_settings_are_its_own(demo: DemoFolder) -> None:
    environ = {"ORCHESTRATOR_API_URL": "http://elsewhere", "GIT_DIR": "/elsewhere", "HOME": "/h"}
    own = demo.environment(environ)
    assert "HOME" in own and not {"ORCHESTRATOR_API_URL", "GIT_DIR"} & own.keys()

    settings = load(demo.path, environ=own).settings
    assert settings.orchestrator.project_root == demo.project
    assert settings.orchestrator.workspace_root == demo.workspace
    assert (settings.api.port, len(settings.api.api_key)) == (0, 64)


def test_only_the_owner_can_read_the_key_of_the_demo(demo: DemoFolder) -> None:
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (demo.path, demo.path / "config.yaml")]
    assert modes == [0o700, 0o600]


def test_its_repository_has_one_commit_of_all_files(demo: DemoFolder) -> None:
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", demo.head(os.environ)],
        cwd=demo.project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(listed.stdout.split()) == sorted(shop.FILES)


def test_its_plan_has_a_task_for_each_of_four_workers(demo: DemoFolder) -> None:
    plan = yaml.safe_load((demo.path / "plan.yaml").read_text())
    assert len(plan["tasks"]) == plan["config"]["max_workers"] == 4


def test_a_directory_that_exists_is_refused_and_stays(
    tmp_path: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    (tmp_path / "mine").write_text("mine")

    assert orchestrator("demo", "--keep", str(tmp_path)) == ExitCode.FAILED

    out, err = capsys.readouterr()
    assert out == "" and f"{tmp_path} exists" in err
    assert (tmp_path / "mine").read_text() == "mine"


def test_without_git_nothing_remains(tmp_path: Path) -> None:
    with pytest.raises(DemoFailed, match="git not found"):
        new_folder(tmp_path / "demo", {"PATH": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
