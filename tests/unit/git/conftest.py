"""Real repositories, as the product uses them."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.repository.repository import Signature
from orchestrator.git import GitRepository
from tests.support.project import Project

WHO = Signature(name="worker_1", email="worker_1@example.org")
FILES = {"a.txt": "one\ntwo\nthree\n", "dir/b.txt": "b\n"}


def branch_with(project: Project, name: str, changes: Mapping[str, str | None]) -> str:
    """Commit changes (None: remove) on a new branch of ``main``. Return the commit."""
    project.git("checkout", "-q", "-b", name, "main")
    for path, text in changes.items():
        if text is None:
            project.git("rm", "-q", path)
        else:
            project.write(path, text)
            project.git("add", "--", path)
    project.git("commit", "-q", "-m", name)
    project.git("checkout", "-q", "main")
    return project.git("rev-parse", name)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "the project").begin(FILES)


@pytest.fixture
def repository(project: Project) -> GitRepository:
    product = project.path / "product"
    (product / "workspace").mkdir(parents=True)
    return GitRepository(project.path, product / "workspace", product)


@pytest.fixture
def directory(project: Project) -> str:
    """A directory for a new worktree."""
    holder = project.path / "product" / "workspace" / "job_1" / "depth_0" / "worker_1"
    holder.mkdir(parents=True)
    return str(holder / "worktree")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments of each process that the test has started."""
    found: list[list[str]] = []
    original, spawn = subprocess.Popen.__init__, os.posix_spawnp

    def note(self: object, command: list[str], *rest: object, **more: object) -> None:
        found.append(command)
        original(self, command, *rest, **more)  # type: ignore[arg-type,call-overload]

    def note_spawned(program: str, command: list[str], *rest: Any, **more: Any) -> int:
        found.append(command)
        return spawn(program, command, *rest, **more)

    monkeypatch.setattr(subprocess.Popen, "__init__", note)
    monkeypatch.setattr(os, "posix_spawnp", note_spawned)
    return found
