"""Questions to git about commits, and gits that are killed."""

import signal
from pathlib import Path

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.git.command.runner import Git
from tests.support.project import Project


def test_an_ancestor_is_in_the_history_of_a_commit(project: Project) -> None:
    git = Git(str(project.path), {})
    first = git.resolve("HEAD")
    project.commit({"new.txt": "x"}, "second")
    second = git.resolve("HEAD")

    assert git.is_ancestor(first, second) and git.is_ancestor(second, second)
    assert not git.is_ancestor(second, first)
    missing = "0123456789" * 4
    assert not git.is_ancestor(missing, second) and not git.is_ancestor(second, missing)


def test_a_killed_git_gives_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nkill -KILL $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    with pytest.raises(RepositoryError, match=f"killed by signal {signal.SIGKILL:d}"):
        Git(str(tmp_path), {}).ask("symbolic-ref", "--quiet", "HEAD")
