"""Jobs whose workers are held in other ways than by default."""

import json
import os
import shutil
from pathlib import Path

import pytest

from orchestrator.app import build
from orchestrator.config import load
from orchestrator.core.errors import ContainmentUnavailable
from tests.integration.engine.conftest import MakeSite
from tests.integration.engine.site import InProcess, make_folder, shell

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
@pytest.mark.parametrize("mode", ["cgroup", "pidns", "sandbox", "basic"])
def test_child_jobs_work_and_every_place_names_the_mode(make_site: MakeSite, mode: str) -> None:
    site = held(make_site, mode)
    ended = site.run("go down", [shell(SPAWN)])
    assert ended["status"] == "completed", site.log(ended["job_id"], "worker_1")
    directory = site.directory(ended["job_id"])
    assert (directory / "depth_1" / "worker_1_1" / "made").read_text() == "found\n"
    assert site.manager.service.health().containment == mode
    figures = json.loads((directory / "reports" / "analytics.json").read_text())
    assert figures["containment"] == [mode]
    final = (directory / "FINAL_RESULT.md").read_text()
    assert f"| Containment of processes | {mode} |" in final


def test_a_limit_that_was_hit_is_the_reason_and_is_not_tried_again(make_site: MakeSite) -> None:
    site = held(make_site, "subreaper", limits={"file_size": "1M"})
    ended = site.run("too much", [shell("exec head -c 2000000 /dev/zero > file")])
    [row] = ended["results"]["tasks"]
    assert row["status"] == "failed"
    assert row["reason"] == "killed: wrote a file of more than 1 MiB"
    names = os.listdir(site.directory(ended["job_id"]) / "logs")
    assert "depth_0_worker_1.log" in names


@pytest.mark.slow
def test_without_a_network_a_worker_is_told_that_it_cannot_start_child_jobs(
    make_site: MakeSite,
) -> None:
    site = held(make_site, "sandbox", sandbox={"network": False})
    ended = site.run("alone", [shell(SPAWN)])
    assert ended["status"] == "failed"
    assert "so it cannot start child jobs" in site.log(ended["job_id"], "worker_1")


def test_a_mode_that_does_not_work_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "tool", {"workers": {"containment": "sandbox"}})
    manager = build(folder, load(folder, environ={}).settings)
    manager.open()
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(ContainmentUnavailable, match="install bubblewrap"):
        manager.start("http://127.0.0.1:1")
    manager.stop()
