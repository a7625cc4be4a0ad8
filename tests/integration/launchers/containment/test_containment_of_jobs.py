"""Jobs with another containment mode than the default."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.doctor.leftover_process_search import find_leftover_processes
from orchestrator.composition import JobManager
from orchestrator.config import load
from orchestrator.core.errors import ContainmentUnavailable
from orchestrator.system import process_table
from tests.integration.conftest import MakeServer, MakeSite
from tests.integration.site import InProcess, make_folder, shell, until, worker_processes
from tests.support import above
from tests.support.examples import nightly
from tests.support.project import Project

pytestmark = pytest.mark.usefixtures("spawning")

SPAWN = 'orchestrator spawn "below" --command "echo found > made" --wait'


def held(make_site: MakeSite, mode: str, **workers: object) -> InProcess:
    try:
        return make_site(workers={"containment": mode, **workers})
    except ContainmentUnavailable as error:
        if os.environ.get("CI") and mode == "pidns":
            raise
        pytest.skip(error.message)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sandbox", "basic", *nightly("cgroup", "pidns")])
def test_child_jobs_work_and_every_place_names_the_mode(make_site: MakeSite, mode: str) -> None:
    site = held(make_site, mode)
    ended = site.run("go down", [shell(SPAWN)])
    assert ended["status"] == "completed", site.log(ended["job_id"], "worker_1")
    directory = site.directory(ended["job_id"])
    assert (directory / "depth_1" / "worker_1_1" / "made").read_text() == "found\n"
    assert site.manager.service.server_status.health().containment == mode
    figures = json.loads((directory / "reports" / "analytics.json").read_text())
    assert figures["containment"] == [mode]
    timeline = (directory / "reports" / "timeline.md").read_text()
    assert f"| Containment of processes | {mode} |" in timeline


def test_a_limit_that_was_hit_is_the_reason_and_is_not_tried_again(make_site: MakeSite) -> None:
    site = held(make_site, "subreaper", limits={"file_size": "1M"})
    ended = site.run("too much", [shell("exec head -c 2000000 /dev/zero > file")])
    [row] = ended["results"]["tasks"]
    assert row["status"] == "failed"
    assert row["reason"] == "killed: wrote a file larger than 1 MiB (workers.limits.file_size)"
    names = os.listdir(site.directory(ended["job_id"]) / "logs")
    assert "depth_0_worker_1.log" in names


def test_the_answer_to_a_submission_names_limits_that_are_not_held_exactly(
    make_site: MakeSite,
) -> None:
    site = held(make_site, "subreaper", limits={"memory": "1G"})
    answer = site.post("x", [shell("true")]).json()
    assert "enforce these limits exactly: workers.limits.memory;" in answer["limits_notice"]
    assert site.wait(answer["job_id"])["status"] == "completed"


@pytest.mark.slow
def test_without_a_network_spawn_ends_with_the_reason(
    make_site: MakeSite,
) -> None:
    site = held(make_site, "sandbox", sandbox={"network": False})
    ended = site.run("alone", [shell(SPAWN)])
    assert ended["status"] == "failed"
    assert "child jobs and locks are not available" in site.log(ended["job_id"], "worker_1")


@pytest.mark.slow
@pytest.mark.needs("bwrap")
def test_what_lies_below_tmp_is_as_readable_in_the_sandbox_as_elsewhere(
    make_site: MakeSite, tmp_path: Path
) -> None:
    repository = Project(tmp_path / "repository").begin({"part/a.txt": "one\n"})
    workspace = tmp_path / "workspace"
    section = {"project_root": str(repository.path / "part"), "workspace_root": str(workspace)}
    site = make_site(orchestrator=section, workers={"containment": "sandbox", "max_retries": 0})
    site.workspace = workspace
    others = '"$ORCHESTRATOR_WORKER_DIR"/../worker_1'
    read_only = f'for each in "$ORCHESTRATOR_HOME" {others}; do ! touch "$each/x" || exit 1; done'
    with tempfile.NamedTemporaryFile(dir="/tmp") as stranger:
        ended = site.run(
            "read",
            [
                shell("echo made > made; cat $ORCHESTRATOR_HOME/config.yaml", id="first"),
                shell(f"{read_only}; cat {others}/made", depends_on=["first"]),
                shell("! git commit --allow-empty -m x && git log --oneline", workdir="worktree"),
                shell("touch inside; git log --oneline", workdir="project"),
                shell(f"test ! -e {stranger.name} && touch {stranger.name}"),
            ],
        )
    logs = [site.log(ended["job_id"], f"worker_{number}") for number in range(1, 6)]
    assert [row["status"] for row in ended["results"]["tasks"]] == ["success"] * 5, logs
    assert "containment: sandbox" in logs[0] and "made" in logs[1]
    assert "first" in logs[2] and "first" in logs[3]
    assert (repository.path / "part" / "inside").exists()


@pytest.mark.slow
def test_doctor_and_status_name_what_is_left_when_all_above_a_worker_was_killed(
    make_server: MakeServer, capfd: pytest.CaptureFixture[str]
) -> None:
    server = make_server()
    job = server.submit("stay", [shell("sleep 61 & echo ready; wait")])
    until(lambda: "ready" in server.log(job, "worker_1"), "it runs")
    assert not list(find_leftover_processes(server.workspace)), "its shim holds them"
    assert server.process is not None
    [keeper] = above.keepers(server.process.pid)
    spawner = above.spawner(keeper)
    assert spawner is not None
    holders = (keeper, spawner, *above.shims(keeper))
    server.kill()
    for pid in holders:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(process_table.start_ticks, holders)), "they are dead")
    left = {str(pid) for pid in worker_processes(job)}
    assert len(left) == 2

    where = CliContext(folder=server.folder, environ=server.environment())
    for command in (("doctor",), ("status",), ("status", job)):
        execute(command, where)
        output = capfd.readouterr().out
        assert "(sleep) of worker_1 of job" in output
        [ends] = [line for line in output.splitlines() if "kill -9" in line]
        assert set(ends.partition("kill -9 ")[2].split()) == left

    subprocess.run(["kill", "-9", *left], check=True)
    until(lambda: not worker_processes(job), "they are ended")
    execute(("doctor", "--json"), where)
    checks = json.loads(capfd.readouterr().out)["checks"]
    assert {"name": "leftover processes", "ok": True, "message": "none", "fix": ""} in checks
    execute(("status", job), where)
    assert "kill -9" not in capfd.readouterr().out


def test_a_mode_that_does_not_work_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "tool", {"workers": {"containment": "sandbox"}})
    manager = JobManager(folder, load(folder, environ={}).settings)
    manager.open()
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(ContainmentUnavailable, match="install bubblewrap"):
        manager.start("http://127.0.0.1:1")
    manager.stop()
