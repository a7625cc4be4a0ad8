"""Projects with real tests and linters, and job managers that work on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, InProcess
from tests.support.project import Project, agents, python_programs

MakeProject = Callable[..., tuple[InProcess, Project]]
#: Options that disable the plugins of this environment, because loading them takes too long.
PLAIN = "-p no:schemathesis -p no:hypothesispytest -p no:xdist -p no:anyio"


@pytest.fixture
def make_project(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeProject:
    """Create a project, and a job manager whose folder is in the project.

    The project uses pytest and linters of this Python.
    """
    monkeypatch.setenv("PATH", python_programs(tmp_path / "programs"))

    def make(files: dict[str, str], **more: Any) -> tuple[InProcess, Project]:
        project = Project(tmp_path / "project").begin({".gitignore": "__pycache__/\n", **files})
        workspace = project.path / "product" / "workspace"
        settings = {"project_root": str(project.path), "workspace_root": str(workspace)}
        site = make_site(orchestrator=settings, agents=agents(tmp_path), **more)
        site.workspace = workspace
        return site, project

    return make


def gates(site: InProcess, ended: Answer, number: int = 0) -> dict[str, Answer]:
    """Return the gates of one worker of a job, by name."""
    worker = site.get(f"/jobs/{ended['job_id']}")["workers"][number]
    return {each["name"]: each for each in worker["gates"]}


def reasons(ended: Answer) -> list[str]:
    return [row["reason"] for row in ended["results"]["tasks"]]
