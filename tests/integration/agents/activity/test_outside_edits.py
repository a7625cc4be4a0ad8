"""Files that an agent writes outside the worktree are reported from the agent's events."""

from pathlib import Path

import pytest

from tests.integration.agents.conftest import KEY
from tests.integration.conftest import MakeSite
from tests.support.project import Project


def test_a_file_in_the_home_directory_is_named_in_the_reason(
    make_site: MakeSite,
    program: Path,
    tmp_path: Path,
    empty_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    project = Project(tmp_path / "host").begin({"README.md": "hello\n"})
    settings = {"claude_command": str(program), "project_root": str(project.path)}
    site = make_site(orchestrator=settings)
    task = {"agent": "claude", "prompt": "x", "env": {"STAND_IN": "writes-elsewhere result"}}

    ended = site.run("Write it", [task], gates="off")

    [row] = ended["results"]["tasks"]
    assert (row["status"], row["outside"]) == ("success", [str(empty_home / "notes.md")])
    assert "here.md" in row["files_created"]
    assert row["reason"] == f"files changed outside the worker's worktree: {empty_home}/notes.md"
    assert ended["reason"] == f"worker_1: {row['reason']}"
