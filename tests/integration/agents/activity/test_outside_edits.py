"""Files that an agent writes outside the worktree are reported from the agent's events."""

from pathlib import Path

import pytest

from tests.integration.agents.conftest import KEY
from tests.integration.conftest import MakeSite
from tests.integration.site import InProcess
from tests.support.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "host").begin({"README.md": "hello\n"})


@pytest.fixture
def site(
    make_site: MakeSite, program: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> InProcess:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    settings = {"claude_command": str(program), "project_root": str(project.path)}
    return make_site(orchestrator=settings)


def a_task(steps: str, **environment: str) -> dict[str, object]:
    return {"agent": "claude", "prompt": "x", "env": {"STAND_IN": steps, **environment}}


def test_a_file_in_the_home_directory_is_named_in_the_reason(
    site: InProcess, empty_home: Path
) -> None:
    ended = site.run("Write it", [a_task("writes-elsewhere result")], gates="off")

    [row] = ended["results"]["tasks"]
    assert (row["status"], row["outside"]) == ("success", [str(empty_home / "notes.md")])
    assert "here.md" in row["files_created"]
    assert row["reason"] == f"files changed outside the worker's worktree: {empty_home}/notes.md"
    assert ended["reason"] == f"worker_1: {row['reason']}"


def test_a_file_of_the_checkout_is_named_with_the_worker_that_wrote_it(
    site: InProcess, project: Project
) -> None:
    task = a_task("writes-to-checkout result", CHECKOUT=str(project.path))
    ended = site.run("Write it", [task], gates="off")

    [row] = ended["results"]["tasks"]
    path = str(project.path / "README.md")
    assert (row["status"], row["outside"]) == ("success", [path])
    assert row["reason"] == f"files changed outside the worker's worktree: {path}"
    assert ended["reason"] == f"worker_1: {row['reason']}"
