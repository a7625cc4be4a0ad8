"""A server with a git project, and the actions of a person on its pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Page

from orchestrator.api.client import OrchestratorClient
from orchestrator.security.secrets.api_keys import hash_key
from tests.acceptance.conftest import PRODUCT, Server
from tests.agents.model_api import ModelApi
from tests.support.project import Project

KEY = "key-of-the-browser-tests-0123456789"
#: A key with the scope ``read``.
READER = "key-of-one-who-looks-0123456789"


@dataclass
class Site:
    server: Server
    project: Project
    models: ModelApi | None = None

    @property
    def url(self) -> str:
        return str(self.server.record["url"])

    def log_in(self, page: Page, path: str = "/", key: str = KEY) -> None:
        page.goto(self.url + path)
        page.get_by_label("Key").fill(key)
        page.get_by_role("button", name="Log in").click()
        page.locator(".top").wait_for()

    def client(self) -> OrchestratorClient:
        return OrchestratorClient(api_url=self.url, api_key=KEY)

    def job(self, tasks: list[dict[str, Any]], wait: bool = True, **more: Any) -> str:
        """Submit a job; return its id, after its end if ``wait`` is set."""
        with self.client() as client:
            made = client.orchestrate(tasks=tasks, **{"request": "A job of the tests", **more})
            job = str(made["job_id"])
            if wait:
                client.wait(job, timeout=60)
            return job


def new_site(
    folder: Path,
    agents: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Site:
    """Start a server in a new project.

    ``agents``: more agents for config.yaml. ``variables``: more environment variables.
    """
    product = folder / "project" / "product"
    product.mkdir(parents=True)
    for name in ("orchestrator", "bin", ".venv", "api_server.py", "requirements.txt"):
        if (PRODUCT / name).exists():
            (product / name).symlink_to(PRODUCT / name)
    (product / "workspace").mkdir()
    config = product / "config.yaml"
    reader = {"name": "looker", "key_hash": hash_key(READER), "scopes": ["read"]}
    api = {"port": 0, "api_key": KEY, "keys": [reader]}
    config.write_text(yaml.safe_dump({"api": api, "agents": dict(agents or {})}))
    config.chmod(0o600)
    project = Project(folder / "project")
    project.git("init", "-q", "-b", "main")
    (project.path / ".gitignore").write_text("product/\n")
    (project.path / "README.md").write_text("# A project\n")
    project.git("add", "-A")
    project.git("commit", "-qm", "begin")
    server = Server(folder=product, project=project.path, variables=dict(variables or {}))
    server.start()
    return Site(server=server, project=project)


def shell(command: str, **more: Any) -> dict[str, Any]:
    return {"agent": "shell", "command": command, **more}


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element with this name has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
              const at = document.activeElement;
              return at.ariaLabel || at.labels?.[0]?.innerText || at.innerText;
            }"""
        )
        if str(focused).strip().startswith(name):
            return
    raise AssertionError(f"80 presses of Tab did not focus {name!r}")
