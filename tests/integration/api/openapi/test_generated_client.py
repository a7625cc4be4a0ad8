"""A client that openapi-python-client generates: it is compiled, loaded, and used."""

import compileall
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from orchestrator.api.openapi.operations import OPERATIONS
from tests.integration.site import KEY, InProcess

pytestmark = pytest.mark.nightly

GENERATOR = "openapi-python-client==0.29.1"
INSTALL_SECONDS = 300
#: Program that loads every module, and then runs and reads a job with the generated client.
USE = """
import importlib, pkgutil, sys
import orchestrator_client as made
from orchestrator_client.api.jobs import get_job, orchestrate
from orchestrator_client.api.tasks import create_task, list_tasks
from orchestrator_client.api.watching import wait_for_job
from orchestrator_client.models import OrchestrateRequest, Problem, TaskBody

for each in pkgutil.walk_packages(made.__path__, "orchestrator_client."):
    importlib.import_module(each.name)
url, key = sys.argv[1:]
client = made.AuthenticatedClient(
    base_url=url, token=key, prefix="", auth_header_name="X-API-Key", timeout=60
)
body = OrchestrateRequest.from_dict({"request": "x", "tasks": [{"command": "echo made"}]})
job = orchestrate.sync(client=client, body=body).job_id
ended = wait_for_job.sync(job, client=client, timeout=50.0)
assert ended.status == "completed", ended
assert get_job.sync(job, client=client).workers[0].worker_id == "worker_1"
assert list_tasks.sync(client=client).total == 0
unknown = {"description": "enough text", "cli_assignments": [{"cli_name": "x"}]}
refused = create_task.sync(client=client, body=TaskBody.from_dict(unknown))
assert isinstance(refused, Problem) and refused.errors[0].pointer.endswith("/cli_name")
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[InProcess]:
    site = InProcess(tmp_path / "site", {})
    yield site
    site.stop()


def test_a_generated_client_has_every_call_and_runs_a_job(site: InProcess, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    install = [str(python), "-m", "pip", "install", "-q", GENERATOR]
    installed = subprocess.run(
        install, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if installed.returncode:
        pytest.skip(f"{GENERATOR} cannot be installed: {installed.stderr[-500:]}")
    document = tmp_path / "openapi.json"
    document.write_bytes(requests.get(f"{site.url}/openapi.json", timeout=60).content)
    command = [str(python.with_name("openapi-python-client")), "generate", "--path", str(document)]
    path = f"{python.parent}:/usr/bin:/bin"
    made = subprocess.run(
        [*command, "--output-path", str(tmp_path / "made"), "--fail-on-warning"],
        env={"PATH": path},
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr

    package = tmp_path / "made" / "orchestrator_client"
    assert compileall.compile_dir(package, quiet=1)
    calls = [each for each in package.glob("api/*/*.py") if each.name != "__init__.py"]
    assert len(calls) == len(OPERATIONS)
    subprocess.run(
        [str(python), "-c", USE, site.url, KEY], cwd=tmp_path / "made", check=True, timeout=120
    )
