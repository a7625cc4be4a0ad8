"""The project is moved, together with the product's folder and the workspace."""

import re
import signal
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.conftest import MakeServer
from tests.integration.site import HANG_SECONDS, Answer, ServerProcess, until
from tests.support.project import Project, agents, edit

pytestmark = pytest.mark.slow

HELD = "echo begun > begun; until [ -e {go} ]; do sleep 0.02; done; echo two > two.txt; rm begun"


@pytest.fixture
def host(make_server: MakeServer, tmp_path: Path) -> ServerProcess:
    """A server whose folder is in its project."""
    site = make_server(agents=agents(tmp_path), workers={"max_retries": 0})
    site.terminate()
    Project(site.folder / "project").begin({"README.md": "hello\n"})
    site.start()
    return site


def move(site: ServerProcess) -> None:
    """Move project, product, and workspace."""
    site.folder = site.folder.rename(site.folder.with_name("renamed"))
    site.workspace = site.folder / "workspace"


def start_job(site: ServerProcess, go: Path) -> str:
    job_id = site.submit("held", [edit(HELD.format(go=go))])
    worktree = site.directory(job_id) / "depth_0" / "worker_1" / "worktree"
    until((worktree / "begun").exists, "it is at work")
    return job_id


def result(site: ServerProcess, job_id: str) -> list[str]:
    return Project(site.folder / "project").files(f"orchestrator/{job_id}/result")


def test_unfinished_jobs_continue_at_the_new_place(host: ServerProcess, tmp_path: Path) -> None:
    before = host.run("before", [edit("echo one > one.txt")])
    go = tmp_path / "go"
    job_id = start_job(host, go)
    assert host.terminate() == 0
    old = host.folder

    move(host)
    host.start()
    go.touch()
    ended = host.wait(job_id)

    assert ended["status"] == "completed", ended
    assert result(host, job_id) == ["README.md", "two.txt"]
    assert str(old) not in str(ended["results"])
    assert not old.exists()
    assert Project(host.folder / "project").worktrees() == []
    again = host.call("POST", f"/jobs/{before['job_id']}/discard", {})
    assert again.status_code == 200, again.text
    assert host.run("after", [edit("echo three > three.txt")])["status"] == "completed"


def test_a_server_whose_project_was_moved_rejects_jobs(host: ServerProcess, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job_id = start_job(host, go)
    old = host.folder

    move(host)

    def refused() -> Answer | None:
        health: dict[str, Any] = requests.get(f"{host.url}/health", timeout=60).json()
        return None if health["ready"] else health

    health = until(refused, "it is noticed")
    assert "was moved" in health["checks"]["place"]
    answer = host.post("more", [edit("echo three > three.txt")])
    assert answer.status_code == 503 and str(old) in answer.json()["detail"], answer.text
    assert re.search(r"serve$|serve ", answer.json()["detail"])
    go.touch()
    worktree = host.directory(job_id) / "depth_0" / "worker_1" / "worktree"
    until(lambda: not (worktree / "begun").exists(), "the worker ends")
    assert host.process is not None
    host.process.send_signal(signal.SIGTERM)
    host.process.wait(HANG_SECONDS)
    assert not old.exists(), list(old.rglob("*"))

    host.start()
    ended = host.wait(job_id)
    assert ended["status"] == "completed", ended
    assert result(host, job_id) == ["README.md", "two.txt"]
