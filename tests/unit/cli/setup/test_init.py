"""``orchestrator init`` writes the skill into the host project, and changes nothing else."""

import json
import os
from pathlib import Path

import pytest

from tests.support.project import Project
from tests.unit.cli.conftest import Orchestrator

FILES = [f"{home}/skills/orchestrate/SKILL.md" for home in (".agents", ".claude")]


#: A file that makes the folder's parent a project.
OWN = "main.py"


def contents(project: Path) -> dict[str, str]:
    return {
        str(path.relative_to(project)): path.read_text()
        for path in sorted(project.rglob("*"))
        if path.is_file() and path.name != OWN
    }


@pytest.fixture
def project(folder: Path) -> Path:
    """The host project: the folder's parent."""
    (folder / "config.yaml").unlink()
    (folder.parent / OWN).touch()
    return folder.parent


def test_init_installs_the_skill_and_changes_nothing_else(
    orchestrator: Orchestrator, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "AGENTS.md").write_text("mine")

    assert orchestrator("init") == 0

    found = contents(project)
    assert list(found) == [*FILES, "AGENTS.md"]
    assert found["AGENTS.md"] == "mine"
    assert found[FILES[0]] == found[FILES[1]]
    assert capsys.readouterr().out.count("created") == 2


def test_the_skill_names_the_command_as_the_project_calls_it(
    orchestrator: Orchestrator, project: Path
) -> None:
    orchestrator("init")

    assert "'the product/bin/orchestrator' submit" in contents(project)[FILES[0]]


def test_another_project_gets_the_whole_path(
    orchestrator: Orchestrator, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()

    assert orchestrator("init", "--project", str(other)) == 0

    assert f"'{folder}/bin/orchestrator' submit" in contents(other)[FILES[1]]


def test_a_second_time_changes_nothing(
    orchestrator: Orchestrator, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orchestrator("init")
    before = contents(project)
    capsys.readouterr()

    assert orchestrator("init") == 0

    assert contents(project) == before
    assert capsys.readouterr().out.count("unchanged") == 2


def test_a_file_that_differs_is_replaced_only_if_forced(
    orchestrator: Orchestrator, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = project / FILES[1]
    mine.parent.mkdir(parents=True)
    mine.write_text("my own words")

    assert orchestrator("init") == 1
    assert mine.read_text() == "my own words"
    assert (project / FILES[0]).exists()
    assert "to replace it: --force" in capsys.readouterr().out
    assert orchestrator("init", "--force") == 0
    assert mine.read_text() == (project / FILES[0]).read_text()


def test_a_dry_run_writes_nothing(
    orchestrator: Orchestrator, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orchestrator("init", "--dry-run", "--json") == 0

    answer = json.loads(capsys.readouterr().out)
    assert contents(project) == {}
    assert answer["dry_run"] is True
    assert [(entry["path"], entry["state"]) for entry in answer["files"]] == [
        (str(project / name), "created") for name in FILES
    ]


def test_a_link_is_replaced_and_what_it_leads_to_stays(
    orchestrator: Orchestrator, project: Path, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere.md"
    target.write_text("mine")
    link = project / FILES[0]
    link.parent.mkdir(parents=True)
    link.symlink_to(target)

    assert orchestrator("init") == 1
    assert orchestrator("init", "--force") == 0

    assert target.read_text() == "mine"
    assert not link.is_symlink()


def test_a_directory_that_cannot_be_written_is_reported(
    orchestrator: Orchestrator, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".claude").write_text("no directory")

    assert orchestrator("init") == 1

    assert "cannot be written: Not a directory" in capsys.readouterr().out
    assert sorted(os.listdir((project / FILES[0]).parent)) == ["SKILL.md"]


def test_a_new_folder_in_a_repository_comes_with_the_command_that_excludes_it(
    orchestrator: Orchestrator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    top = Project(tmp_path / "project").begin({"app.py": ""}).path
    monkeypatch.chdir(top)

    for folder, lines in (("tools/orch", 2), ("../plain", 1)):
        assert orchestrator("init", "--folder", folder) == 0
        first, *others = capsys.readouterr().out.splitlines()
        assert first.startswith("created ") and len(others) == lines - 1
        for line in others:
            assert line.endswith(": echo /tools/orch/ >> .git/info/exclude")
