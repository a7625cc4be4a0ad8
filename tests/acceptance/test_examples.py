"""Every example in examples/ runs, through the real scripts and a real server."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2]
PLANS = sorted(path.name for path in (FOLDER / "examples").glob("*.yaml"))


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A server of its own: another workspace, any free port."""
    if not (FOLDER / ".venv").exists():
        if os.environ.get("CI"):
            pytest.fail("no .venv: run ./install.sh")
        pytest.skip("no .venv: run ./install.sh")
    yield {
        **{k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")},
        "ORCHESTRATOR_API__API_KEY": "k" * 32,
        "ORCHESTRATOR_API__PORT": "0",
        # Wherever this checkout lies.
        "ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT": str(FOLDER),
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
@pytest.mark.parametrize("name", PLANS)
def test_a_plan_of_the_examples_completes(name: str, environment: dict[str, str]) -> None:
    plan = str(FOLDER / "examples" / name)

    done = run(str(FOLDER / "quick-start.sh"), "--plan", plan, "--json", environment=environment)

    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["status"] == "completed"
    assert Path(status["results"]["final_report"]).is_file()


@pytest.mark.slow
def test_the_curl_example_really_recurses(environment: dict[str, str]) -> None:
    plan = str(FOLDER / "examples" / "recurse_with_curl.yaml")

    done = run(str(FOLDER / "quick-start.sh"), "--plan", plan, "--json", environment=environment)

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
