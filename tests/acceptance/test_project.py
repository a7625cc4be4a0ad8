"""Commands first print the project of their folder; without a project, they fail."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import wait_until
from tests.acceptance.embedding import copy_product, run
from tests.support.examples import nightly
from tests.support.project import Project

pytestmark = pytest.mark.slow

PLAN = """\
request: Where am I?
tasks: [{id: where, command: echo "at $ORCHESTRATOR_PROJECT_ROOT"}]
"""


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """A directory with the product's folder and two projects."""
    several = tmp_path.resolve() / "my work"
    for name in ("one", "two"):
        (several / name).mkdir(parents=True)
    copy_product(several)
    return several


@pytest.mark.parametrize(
    "command",
    [["run", "x"], ["serve"], *nightly(["run", "x", "--plan-only"], ["gates"], ["init"])],
)
def test_without_a_project_a_command_ends_with_2_and_names_the_option(
    several: Path, command: list[str]
) -> None:
    done = run(several / "orchestrator/bin/orchestrator", *command, cwd=several / "one")

    assert (done.returncode, done.stdout) == (2, ""), done
    assert "--project /path/to/project" in done.stderr
    assert "holds only directories" in done.stderr
    assert not (several / "orchestrator/workspace/server.json").exists()


@pytest.mark.nightly
def test_the_first_line_names_the_project(several: Path) -> None:
    (several / "plan.yaml").write_text(PLAN)
    (several / "plan.yaml").rename(several / "one" / "plan.yaml")
    tool = several / "orchestrator/bin/orchestrator"
    command_line = (tool, "run", "--plan", "plan.yaml", "--project", ".", "--json")

    shown = run(*command_line, "--plan-only", cwd=several / "one")
    done = run(*command_line, cwd=several / "one")

    assert (shown.returncode, shown.stderr) == (0, f"project: {several}/one\n")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == f"project: {several}/one"
    assert f"at {several}/one" in json.loads(done.stdout)["results"]["tasks"][0]["output"]


def test_a_server_for_another_project_is_not_used(several: Path) -> None:
    tool = several / "orchestrator/bin/orchestrator"
    (several / "one" / "plan.yaml").write_text(PLAN)
    run(tool, "run", "--plan", "plan.yaml", "--project", ".", "--keep-server", cwd=several / "one")
    record = json.loads((several / "orchestrator/workspace/server.json").read_text())
    try:
        other = run(tool, "run", "x", "--project", several / "two", cwd=several)
        same = run(tool, "run", "--plan", several / "one/plan.yaml", cwd=several)
    finally:
        run("kill", str(record["pid"]), cwd=several)

    assert other.returncode == 2 and f"kill {record['pid']}" in other.stderr, other.stderr
    assert same.returncode == 0, same.stderr
    assert same.stderr.splitlines()[0] == f"project: {several}/one"


@contextmanager
def serving(several: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    record = several / "orchestrator/workspace/server.json"
    record.unlink(missing_ok=True)
    command = [several / "orchestrator/bin/orchestrator", "serve", "--project", several / name]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=several, stderr=subprocess.DEVNULL, **quiet) as server:
        try:
            wait_until(record.exists)
            yield server
        finally:
            server.terminate()


@pytest.mark.nightly
def test_a_job_keeps_its_project_although_later_calls_name_another(several: Path) -> None:
    def ask(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return run(several / "orchestrator/bin/orchestrator", *arguments, cwd=several)

    one, two = (Project(several / name).begin({"a.txt": "a\n"}) for name in ("one", "two"))
    new = {"agent": "shell", "git": "on", "command": "echo new > new.txt"}
    (several / "plan.json").write_text(json.dumps({"request": "x", "tasks": [new]}))
    command_line = ("run", "--plan", "plan.json", "--project")
    job = json.loads(ask(*command_line, several / "one", "--json").stdout)["job_id"]

    # Without a server and without --project, the command uses the job's project.
    landed = ask("land", job, "--yes")
    assert landed.returncode == 0, landed
    assert (one.files("main"), two.files("main")) == (["a.txt", "new.txt"], ["a.txt"])

    serve = f"bin/orchestrator serve --project '{several}/one'"
    with serving(several, "one") as server:
        waits = ask("submit", "x", "--agent", "survey", "--approve").stdout.strip()
        server.kill()
    # Another project's server does not recover the unfinished job ...
    refused = ask(*command_line, several / "two")
    assert refused.returncode == 1, refused
    assert f"is not the project of unfinished job {waits}; no server was started" in refused.stderr
    assert serve in refused.stderr
    with serving(several, "one"):
        assert ask("reject", waits).returncode == 0
        ask("wait", waits)
    # ... and does not change the ended job.
    with serving(several, "two"):
        for command in (["retry", waits], ["merge", job]):
            other = ask(*command)
            assert other.returncode == 1, other
            assert (
                f"belongs to project {several}/one, but this server serves {several}/two"
                in other.stderr
            )
            assert serve in other.stderr


def test_doctor_names_the_project_and_its_rule(several: Path) -> None:
    tool = several / "orchestrator/bin/orchestrator"
    assert "FAIL  project: unknown project" in run(tool, "doctor", cwd=several).stdout

    (several / "main.py").touch()

    output = run(tool, "doctor", cwd=several).stdout
    assert f"ok    project: {several} (the folder's parent holds files)" in output
