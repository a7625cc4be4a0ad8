"""Which project a folder works on: told first, and refused where nothing says so."""

import json
import os
from pathlib import Path

import pytest

from tests.acceptance.embedding import PRODUCT, embedded, run

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


def test_the_plan_of_the_readme_checks_the_project(tmp_path: Path) -> None:
    text = (PRODUCT / "README.md").read_text().split("# plan.yaml\n")[1].split("```")[0]
    host = tmp_path.resolve() / "host"
    (host / "tests").mkdir(parents=True)
    (host / "plan.yaml").write_text(text)
    (host / "tests" / "test_one.py").write_text("def test_one() -> None:\n    assert True\n")
    tool = embedded(host) / "bin" / "orchestrator"
    path = f"{PRODUCT / '.venv' / 'bin'}:{os.environ['PATH']}"

    good = run(tool, "run", "--plan", "plan.yaml", "--json", cwd=host, PATH=path)
    (host / "unused.py").write_text("import os\n")
    bad = run(tool, "run", "--plan", "plan.yaml", "--json", cwd=host, PATH=path)

    assert good.returncode == 0, good.stderr
    assert [each["status"] for each in json.loads(good.stdout)["results"]["tasks"]] == (
        ["success"] * 3
    )
    assert "1 passed" in json.loads(good.stdout)["results"]["tasks"][1]["output"]
    assert bad.returncode == 6, bad.stderr
    assert "unused.py" in json.loads(bad.stdout)["results"]["tasks"][0]["output"]


def test_doctor_names_the_project_and_its_rule(several: Path) -> None:
    tool = several / "orchestrator/bin/orchestrator"
    assert "FAIL  project: unknown project" in run(tool, "doctor", cwd=several).stdout

    (several / "main.py").touch()

    said = run(tool, "doctor", cwd=several).stdout
    assert f"ok    project: {several} (the folder's parent holds files)" in said
