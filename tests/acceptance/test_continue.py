"""A job that starts from the result of a job that has ended."""

import json
from pathlib import Path

import pytest

from tests.acceptance.embedding import copy_product, run
from tests.support.project import Project

pytestmark = pytest.mark.slow


def test_a_follow_up_job_builds_on_the_result_and_lands_both(tmp_path: Path) -> None:
    project = Project(tmp_path / "host").begin({"README.md": "hello\n"})
    folder = copy_product(project.path)
    exclude = project.path / ".git" / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_text("/orchestrator/\n/plan.json\n")
    command = folder / "bin" / "orchestrator"
    task = {"agent": "shell", "git": "on", "command": "echo one > first.txt"}
    plan = project.path / "plan.json"
    plan.write_text(json.dumps({"request": "make the first file", "tasks": [task]}))
    first = json.loads(run(command, "run", "--plan", plan, "--json", cwd=folder).stdout)["job_id"]
    config = folder / "config.yaml"
    script = tmp_path / "agent.sh"
    script.write_text("cat > /dev/null; cat first.txt > second.txt; echo done\n")
    text = config.read_text() if config.exists() else ""
    config.write_text(f"{text}\nagents:\n  follower: {{command: [bash, {script}]}}\n")

    ran = run(
        command,
        "continue",
        first,
        "Add the file second",
        "--agent",
        "follower",
        "--json",
        cwd=folder,
    )

    assert ran.returncode == 0, ran.stderr
    second = json.loads(ran.stdout)["job_id"]
    diff = run(command, "diff", second, cwd=folder).stdout
    assert ("second.txt" in diff, "first.txt b/first.txt" in diff) == (True, False)
    stored = json.loads((folder / "workspace" / f"job_{second}" / "status.json").read_text())
    assert stored["labels"] == {"continues": first}
    assert run(command, "land", second, "--yes", cwd=folder).returncode == 0
    assert (project.path / "first.txt").read_text() == "one\n"
    assert (project.path / "second.txt").read_text() == "one\n"


@pytest.mark.nightly
def test_a_job_without_a_result_cannot_be_continued(tmp_path: Path) -> None:
    project = Project(tmp_path / "host").begin({"README.md": "hello\n"})
    folder = copy_product(project.path)
    command = folder / "bin" / "orchestrator"
    plan = tmp_path / "plan.json"
    task = {"agent": "shell", "command": "exit 3", "retries": 0, "git": "on"}
    plan.write_text(json.dumps({"request": "x", "tasks": [task]}))
    job = json.loads(run(command, "run", "--plan", plan, "--json", cwd=folder).stdout)["job_id"]

    ran = run(command, "continue", job, "Go on", cwd=folder)

    assert ran.returncode == 1
    assert f"job {job} has no merged result" in ran.stderr
    assert "no new job was started" in ran.stderr
