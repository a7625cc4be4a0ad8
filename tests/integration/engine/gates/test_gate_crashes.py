"""Servers that die while gates run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import crash_points
from tests.integration.conftest import MakeCrashing
from tests.integration.site import ServerProcess, until, worker_processes
from tests.support.examples import nightly
from tests.support.project import Project, agents, edit


@pytest.mark.parametrize(
    "point", [crash_points.OF_GATES[-1], *nightly(*crash_points.OF_GATES[:-1])]
)
def test_a_crash_around_a_gate_loses_nothing_and_runs_none_beside_itself(
    crashing: MakeCrashing, point: str
) -> None:
    site, project = crashing(point, files={"a.txt": "a\n"})
    before = project.snapshot()
    # The gate fails, also on the base. Each worktree has its own lock in its parent directory.
    gate = (
        f"exec 9>>../lock; flock -n 9 || echo overlap >> {site.effects}; "
        f"echo ran >> {site.effects}; sleep 0.05; exit 1"
    )
    config = {"gates": [gate, "test -d ."]}
    body = {"request": "x", "config": config, "tasks": [edit("echo b > b.txt"), edit("touch c")]}
    headers = {"Idempotency-Key": "one"}
    job = str(
        site.insist(lambda: site.call("POST", "/orchestrate", body, headers=headers))["job_id"]
    )
    until(lambda: any(point in each for each in site.reached()), f"it came to {point!r}", 40)
    site.crashes = ""

    answer = site.wait_through(job)

    assert answer["status"] == "completed", (answer, site.tail())
    assert "overlap" not in site.effects.read_text()
    for worker in site.insist(lambda: site.call("GET", f"/jobs/{job}"))["workers"]:
        assert [each["status"] for each in worker["gates"]] == ["known", "passed"]
        assert len(worker["attempts"]) == 1
    assert {"b.txt", "c"} <= set(project.files(f"orchestrator/{job}/result"))
    until(lambda: project.worktrees() == [], "the worktree of the base is gone")
    assert project.snapshot() == before


@pytest.mark.parametrize("how", ["kill", *nightly("terminate")])
def test_gates_of_a_server_that_ended_are_run_again_and_never_twice_at_once(
    make_server: Callable[..., ServerProcess], tmp_path: Path, effects: Path, how: str
) -> None:
    project = Project(tmp_path / "project").begin({"a.txt": ""})
    settings = {"project_root": str(project.path)}
    server = make_server(orchestrator=settings, agents=agents(tmp_path))
    release = tmp_path / "release"
    gate = (
        f"exec 9>>{effects}.lock; flock -n 9 || echo overlap >> {effects}; echo began >> {effects};"
        f" until [ -e {release} ]; do sleep 0.02; done; echo ended >> {effects}"
    )
    task = edit(f"echo x > x.txt; echo worked >> {effects}", gates=[gate])
    job = server.submit("x", [task])
    until(lambda: "began" in effects.read_text(), "the gate runs")

    server.kill() if how == "kill" else server.terminate()
    server.start()
    until(lambda: effects.read_text().count("began") == 2, "it runs again")
    release.touch()
    ended = server.wait(job)

    assert ended["status"] == "completed", ended
    assert ended["results"]["tasks"][0]["attempts"] == 1
    assert effects.read_text().split() == ["worked", "began", "began", "ended"]
    assert worker_processes(job) == []
