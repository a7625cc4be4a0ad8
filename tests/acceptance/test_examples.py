"""Every example in examples/ runs, through the real scripts and a real server."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.conftest import KEY, Server

FOLDER = Path(__file__).resolve().parents[2]
#: The agent of the examples: `auto` selects this script instead of an AI tool.
WORK = {
    *("candidates.yaml", "documentation.yaml", "full_stack.yaml", "gates.yaml"),
    "microservices.yaml",
}
PLANS = sorted({path.name for path in (FOLDER / "examples").glob("*.yaml")} - WORK)
#: Other plans run at night, because they use the same functions.
BY_DAY = ("dependencies.yaml",)
AGENT = Path(__file__).with_name("example_agent.py")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return variables of a separate server, with its own workspace and any port."""
    if not (FOLDER / ".venv").exists():
        if os.environ.get("CI"):
            pytest.fail("no .venv: run ./install.sh")
        pytest.skip("no .venv: run ./install.sh")
    yield {
        **{k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")},
        "ORCHESTRATOR_API__API_KEY": secrets.token_urlsafe(),
        "ORCHESTRATOR_API__PORT": "0",
        # A project outside this checkout.
        "ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT": str(FOLDER / "docs"),
        "ORCHESTRATOR_ORCHESTRATOR__WORKSPACE_ROOT": str(tmp_path / "workspace"),
        "ORCHESTRATOR_LOGGING__LOG_DIR": str(tmp_path / "logs"),
    }


def run(*command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_there_are_examples_of_every_kind() -> None:
    assert {
        "ci_fan_out.yaml",
        "dependencies.yaml",
        "recurse_with_curl.yaml",
        "survey.yaml",
    } <= set(PLANS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in BY_DAY else pytest.mark.nightly)
        for name in sorted({*PLANS} - {"recurse_with_curl.yaml"})
    ],
)
def test_a_plan_of_the_examples_completes(name: str, environment: dict[str, str]) -> None:
    plan = str(FOLDER / "examples" / name)

    done = run(str(FOLDER / "quick-start.sh"), "--plan", plan, "--json", environment=environment)

    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["status"] == "completed"
    assert Path(status["results"]["final_report"]).is_file()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A user's repository with the product's folder."""
    project = tmp_path_factory.mktemp("host project")
    make_repository(project)
    folder = project / "the product"
    folder.mkdir()
    for name in ("orchestrator", "bin", "api_server.py", "requirements.txt"):
        (folder / name).symlink_to(FOLDER / name)
    (folder / "workspace").mkdir()
    settings = {
        "api": {"port": 0, "api_key": KEY},
        "agents": {"scripted": {"command": [sys.executable, str(AGENT)]}},
        "workers": {"agent": "scripted", "retry_backoff_seconds": 0.1},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "config.yaml").chmod(0o600)
    server = Server(folder=folder, project=project)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def make_repository(project: Path) -> None:
    (project / "hello.py").write_text('"""A host project."""\n')
    (project / ".gitignore").write_text("/the product/\n__pycache__/\n")
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=project, check=True)


@dataclass(frozen=True)
class Ran:
    """The result of an example's job."""

    server: Server
    status: dict[str, Any]

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        return {each["worker_id"]: each for each in self.status["results"]["tasks"]}

    @property
    def files(self) -> set[str]:
        """Return the changes of the result branch relative to the user's branch."""
        branch = f"orchestrator/{self.status['job_id']}/result"
        command = ["git", "diff", "--name-only", "main", branch]
        done = subprocess.run(
            command, cwd=self.server.project, capture_output=True, text=True, check=True
        )
        return set(done.stdout.split())

    def gates(self, worker_id: str) -> dict[str, str]:
        """Outcomes of the latest attempt's gates."""
        with self.server.client() as client:
            workers = client.job(self.status["job_id"])["workers"]
        [worker] = [each for each in workers if each["worker_id"] == worker_id]
        return {gate["name"]: gate["outcome"] for gate in worker["gates"]}

    def report(self, *name: str) -> str:
        return self.server.cli("report", self.status["job_id"], *name).stdout


def ran(project: Server, name: str) -> Ran:
    done = project.cli("run", "--plan", str(FOLDER / "examples" / name), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return Ran(project, json.loads(done.stdout))


@pytest.mark.slow
def test_an_agent_has_services_built_by_a_child_job(project: Server) -> None:
    job = ran(project, "microservices.yaml")

    services = {f"services/{name}/app.py" for name in ("catalog", "orders", "gateway")}
    assert services | {"services/CONTRACT.md"} <= job.files
    parent = job.tasks["worker_1"]
    assert parent["status"] == "recursive_success"
    children = {each["worker_id"]: each["status"] for each in parent["child_results"]}
    assert children == dict.fromkeys(("worker_1_1", "worker_1_2", "worker_1_3"), "success")
    assert "Service gateway" in job.report("LEVEL_1_REPORT.md")
    assert job.gates("worker_1")["tests-of-services"] == "passed"


@pytest.mark.nightly
@pytest.mark.slow
def test_a_full_stack_is_built_in_the_order_of_its_parts(project: Server) -> None:
    job = ran(project, "full_stack.yaml")

    assert len(job.files) == 6, job.files
    passed = [job.gates(worker_id) for worker_id in job.tasks]
    names = ("schema", "server-tests", "page", "whole")
    assert [each[name] for each, name in zip(passed, names, strict=True)] == ["passed"] * 4


@pytest.mark.nightly
@pytest.mark.slow
def test_a_broken_link_of_the_documentation_is_returned(project: Server) -> None:
    job = ran(project, "documentation.yaml")

    assert job.files == {f"guide/{name}.md" for name in ("start", "parts", "change", "README")}
    assert job.tasks["worker_4"]["attempts"] == 2
    assert "failed: gate links failed" in job.report("LEVEL_0_REPORT.md")


@pytest.mark.nightly
@pytest.mark.slow
def test_the_smallest_candidate_that_passes_is_chosen(project: Server) -> None:
    job = ran(project, "candidates.yaml")

    assert job.files == {"slug.py"}
    with project.client() as client:
        found = client.candidates(job.status["job_id"], "slug")
    assert (found["chosen"], found["by"]) == ("worker_3", "size"), found


@pytest.mark.nightly
@pytest.mark.slow
def test_a_worker_retries_with_the_findings_of_a_gate(project: Server) -> None:
    job = ran(project, "gates.yaml")

    assert job.files == {"price.py"}
    assert job.tasks["worker_1"]["attempts"] == 2
    outcomes = job.gates("worker_1")
    assert (outcomes["prices"], outcomes["todo"], outcomes["manual"]) == (
        "passed",
        "failed",
        "did_not_run",
    )


@pytest.mark.slow
def test_the_curl_example_really_recurses(environment: dict[str, str]) -> None:
    plan = str(FOLDER / "examples" / "recurse_with_curl.yaml")

    done = run(str(FOLDER / "quick-start.sh"), "--plan", plan, "--json", environment=environment)

    assert done.returncode == 0, done.stderr
    parent = json.loads(done.stdout)["results"]["tasks"][0]
    assert parent["status"] == "recursive_success"
    assert [child["output"] for child in parent["child_results"]] == [
        "hello from worker_1_1",
        "hello from worker_1_2",
    ]


@pytest.mark.slow
def test_the_python_client_example_runs_beside_a_server(
    environment: dict[str, str], tmp_path: Path
) -> None:
    server = subprocess.Popen(
        [str(FOLDER / "bin" / "orchestrator"), "serve"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        assert "serving at" in server.stderr.readline()
        python = str(FOLDER / ".venv" / "bin" / "python")
        example = str(FOLDER / "examples" / "python_client.py")

        done = run(python, example, environment=environment)

        assert done.returncode == 0, done.stderr
        assert "worker_1 success hello" in done.stdout
        assert "worker_2 success HELLO\n" in done.stdout
    finally:
        server.terminate()
        server.communicate(timeout=30)
