"""Which project a folder works on: told first, and refused where nothing says so."""

import json
from pathlib import Path

import pytest

from tests.acceptance.embedding import embedded, run

pytestmark = pytest.mark.slow

PLAN = """\
request: Where am I?
tasks: [{id: where, command: echo "at $ORCHESTRATOR_PROJECT_ROOT"}]
"""


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """A directory with nothing but the folder and two projects."""
    several = tmp_path.resolve() / "my work"
    for name in ("one", "two"):
        (several / name).mkdir(parents=True)
    embedded(several)
    return several


@pytest.mark.parametrize("command", [["run", "x"], ["serve"], ["gates"], ["init"]])
def test_without_a_project_a_command_ends_with_2_and_says_what_to_type(
    several: Path, command: list[str]
) -> None:
    done = run(several / "orchestrator/bin/orchestrator", *command, cwd=several / "one")

    assert (done.returncode, done.stdout) == (2, ""), done
    assert "--project /path/to/project" in done.stderr
    assert "holds only directories" in done.stderr
    assert not (several / "orchestrator/workspace/server.json").exists()


def test_the_first_line_names_the_project(several: Path) -> None:
    (several / "plan.yaml").write_text(PLAN)
    (several / "plan.yaml").rename(several / "one" / "plan.yaml")
    tool = several / "orchestrator/bin/orchestrator"

    done = run(tool, "run", "--plan", "plan.yaml", "--project", ".", "--json", cwd=several / "one")

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


def test_doctor_names_the_project_and_its_rule(several: Path) -> None:
    tool = several / "orchestrator/bin/orchestrator"
    assert "FAIL  project: unknown project" in run(tool, "doctor", cwd=several).stdout

    (several / "main.py").touch()

    said = run(tool, "doctor", cwd=several).stdout
    assert f"ok    project: {several} (the folder's parent holds files)" in said
