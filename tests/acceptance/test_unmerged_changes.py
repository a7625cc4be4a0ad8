"""Work that a job's result lacks, and the displayed commands that get this work."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import wait_until
from tests.acceptance.embedding import copy_product, run
from tests.support.project import Project

pytestmark = pytest.mark.slow

ONE = {"agent": "shell", "git": "on", "command": "echo one > shared.txt", "retries": 0}
TWO = {**ONE, "command": "echo two > shared.txt"}
FAILS = {**ONE, "command": "echo three > three.txt; exit 3"}
TRIED = {
    **ONE,
    "agent": ["shell", "shell"],
    "command": "case $ORCHESTRATOR_WORKER_ID in *_4) seq 9 > n.txt;; *) seq 2 > n.txt;; esac",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "host").begin({"shared.txt": "zero\n"})


@pytest.fixture
def folder(project: Project) -> Iterator[Path]:
    """The product in a project, with its server."""
    folder = copy_product(project.path)
    (project.path / ".git" / "info").mkdir(exist_ok=True)
    (project.path / ".git" / "info" / "exclude").write_text("/orchestrator/\n/plan.json\n")
    command = [folder / "bin" / "orchestrator", "serve"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=project.path, stderr=subprocess.DEVNULL, **quiet) as server:
        try:
            wait_until((folder / "workspace" / "server.json").exists)
            yield folder
        finally:
            server.terminate()


@pytest.mark.nightly
def test_a_losing_an_unmerged_and_a_failed_worker_have_different_causes(
    folder: Path, project: Project
) -> None:
    plan = project.path / "plan.json"
    plan.write_text(json.dumps({"request": "x", "tasks": [ONE, TWO, FAILS, TRIED]}))
    run(folder / "bin" / "orchestrator", "run", "--plan", plan, cwd=folder)
    [directory] = (folder / "workspace").glob("job_*")
    job = directory.name.removeprefix("job_")

    outside = {each["worker_id"]: each for each in status_of(folder, job)["made_not_in_result"]}

    causes = {name: each["cause"] for name, each in outside.items()}
    assert causes == {"worker_2": "left_out", "worker_3": "failed", "worker_4": "lost_comparison"}
    report = (directory / "FINAL_RESULT.md").read_text()
    assert f"| **Merged** | worker_1, worker_5 → branch `orchestrator/{job}/result`" in report
    rest = report.partition("## Not merged")[2]
    status = run(folder / "bin" / "orchestrator", "status", job, cwd=folder).stdout
    for each in outside.values():
        assert each["branch"] in rest
        assert each["command"] in report
        assert f"{each['worker_id']} ({each['branch']})" in status
        assert each["command"] in status

    # The commands are pasted unchanged, in the folder inside the project.
    assert "+three" in pasted(outside["worker_3"]["show"], folder)
    assert "+9" in pasted(outside["worker_4"]["show"], folder)
    pasted(outside["worker_3"]["command"], folder, code=6)
    pasted(outside["worker_2"]["command"], folder, code=6)
    branch = f"orchestrator/{job}/result"
    assert [project.show(branch, name) for name in ("shared.txt", "three.txt")] == ["two", "three"]
    remaining = {each["worker_id"] for each in status_of(folder, job)["made_not_in_result"]}
    assert remaining == {"worker_4"}


def status_of(folder: Path, job: str) -> dict[str, Any]:
    shown = run(folder / "bin" / "orchestrator", "status", job, "--json", cwd=folder)
    answer: dict[str, Any] = json.loads(shown.stdout)
    return answer


def pasted(command: str, folder: Path, code: int = 0) -> str:
    """Return the output of a command that runs in the folder."""
    ran = run("bash", "-ec", command, cwd=folder)
    assert ran.returncode == code, f"{command}: {ran.stdout}{ran.stderr}"
    return str(ran.stdout)


def test_the_shown_commands_work_after_run_has_stopped_its_server(project: Project) -> None:
    folder, plan = copy_product(project.path), project.path / "plan.json"
    orchestrator, record = folder / "bin" / "orchestrator", folder / "workspace" / "server.json"
    flaky = {**ONE, "command": "test -e ../../ready || { touch ../../ready; exit 1; }; echo > f"}
    plan.write_text(json.dumps({"request": "x", "tasks": [ONE, TWO, flaky]}))
    assert run(orchestrator, "run", "--plan", plan, cwd=folder).returncode == 6
    [directory] = (folder / "workspace").glob("job_*")
    job = directory.name.removeprefix("job_")
    assert not record.exists()

    merged = run(orchestrator, "merge", job, "--strategy", "theirs", cwd=folder)
    assert (merged.returncode, "worker_2" in merged.stdout) == (6, True), merged.stderr
    assert not record.exists()

    assert run(orchestrator, "retry", "nosuch", cwd=folder).returncode == 3
    assert not record.exists()

    retried = run(orchestrator, "retry", job, cwd=folder)
    assert retried.returncode == 0, retried.stderr
    try:
        run(orchestrator, "wait", job, cwd=folder)
        assert status_of(folder, job)["counts"]["success"] == 3
    finally:
        if record.exists():
            os.kill(json.loads(record.read_text())["pid"], signal.SIGTERM)
    wait_until(lambda: not record.exists())


@pytest.mark.nightly
def test_an_interrupted_merge_without_a_server_names_the_command_that_continues_it(
    project: Project, tmp_path: Path
) -> None:
    folder, plan = copy_product(project.path), project.path / "plan.json"
    orchestrator, record = folder / "bin" / "orchestrator", folder / "workspace" / "server.json"
    slow, begun = tmp_path / "slow", tmp_path / "begun"
    gate = f"test ! -e '{slow}' || {{ touch '{begun}'; sleep 60; }}"
    plan.write_text(json.dumps({"request": "x", "config": {"gates": [gate]}, "tasks": [ONE]}))
    assert run(orchestrator, "run", "--plan", plan, cwd=folder).returncode == 0
    [directory] = (folder / "workspace").glob("job_*")
    job = directory.name.removeprefix("job_")

    slow.touch()
    with subprocess.Popen(
        [orchestrator, "merge", job], cwd=folder, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(begun.exists)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert f"interrupted; job {job} continues when a server runs: bin/orchestrator serve" in err
    wait_until(lambda: not record.exists())
    slow.unlink()
    merged = run(orchestrator, "merge", job, cwd=folder)
    assert (merged.returncode, "merged: worker_1" in merged.stdout) == (0, True), merged.stderr
