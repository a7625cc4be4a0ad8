"""A job manager whose folder is untracked in the repository that it works on."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from tests.integration.conftest import MakeSite
from tests.integration.site import KEY, Answer, InProcess
from tests.support.project import Project, agents
from tests.support.untouched import differences, fingerprint

FILES = {"README.md": "hello\n", "src/app.py": "one\ntwo\nthree\n", ".gitignore": "*.tmp\n"}


class Host:
    """A project, and a job manager for it."""

    def __init__(self, site: InProcess, project: Project) -> None:
        self.site = site
        self.project = project

    def run(self, *tasks: dict[str, Any], **config: Any) -> Answer:
        return self.site.run("change things", list(tasks), **config)

    def final(self, job_id: str) -> str:
        return (self.site.directory(job_id) / "FINAL_RESULT.md").read_text()

    def record(self, job_id: str) -> Answer:
        path = self.site.directory(job_id) / "reports" / f"merge_{job_id}.json"
        found: Answer = json.loads(path.read_text())
        return found

    def command(self, *arguments: str) -> int:
        server = {"ORCHESTRATOR_API_URL": self.site.url, "ORCHESTRATOR_API_KEY": KEY}
        environ = {"PATH": os.environ["PATH"], **server}
        return execute(arguments, CliContext(folder=self.site.folder, environ=environ))

    def watch_changes(self) -> Callable[[], list[bytes]]:
        """Record the project's current state.

        Return a function that returns the paths that have changed since.
        """
        before = fingerprint(self.project.path)
        return lambda: differences(before, fingerprint(self.project.path))


MakeHost = Callable[..., Host]


@pytest.fixture
def make_host(make_site: MakeSite, tmp_path: Path) -> MakeHost:
    def make(project: Project | None = None, inside: str = "", **more: Any) -> Host:
        project = project or Project(tmp_path / "project").begin(FILES)
        root = project.path / inside
        settings = {"workspace_root": str(root / "product" / "workspace")}
        section = {"project_root": str(root), **settings}
        site = make_site(orchestrator=section, agents=agents(tmp_path), **more)
        site.workspace = root / "product" / "workspace"
        return Host(site, project)

    return make


@pytest.fixture
def host(make_host: MakeHost) -> Host:
    return make_host()
