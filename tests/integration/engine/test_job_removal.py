"""A removal deletes a job completely or not at all. An interrupted removal is completed."""

import json
import logging
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.errors import StoreAway
from orchestrator.core.model.states import JobStatus
from orchestrator.core.ports import StateChange
from orchestrator.engine.job_removal import JobRemoval
from orchestrator.store import SqlStore, sqlite_url
from orchestrator.workspace import WorkspaceJobFiles
from tests.contract.store_values import a_job
from tests.faults import crash_points
from tests.faults.site import FaultSite
from tests.faults.zygote import Zygote
from tests.integration.conftest import MakeServer, MakeSite
from tests.integration.site import HOLD, Site, complete_lines, shell, until
from tests.support.examples import every_second

KEEP = {"keep_jobs_seconds": 1.0}


def remaining_quota_of(site: Site, job_id: str) -> list[str]:
    """Return the files of a job, and its rows in the database."""
    found = [path.name for path in site.workspace.iterdir() if job_id in path.name]
    with sqlite3.connect(site.workspace / "orchestrator.db") as connection:
        for table in ("jobs", "workers", "attempts", "events"):
            query = f"SELECT count(*) FROM {table} WHERE root_id = ?"
            found += [table] * connection.execute(query, [job_id]).fetchone()[0]
    connection.close()
    return found


@pytest.mark.slow
def test_an_old_job_is_removed_and_one_that_runs_stays(
    make_site: MakeSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    site = make_site(orchestrator=KEEP)
    release = tmp_path / "release"
    running = site.submit("long", [shell(HOLD, env={"RELEASE": str(release)})])
    site.key_of(running)
    old = site.run("short", [shell("mkdir locked; touch locked/x; chmod 0 locked")])["job_id"]

    until(lambda: not remaining_quota_of(site, old), "nothing is left of it")

    assert site.call("GET", f"/jobs/{old}").status_code == 404
    assert site.call("POST", f"/jobs/{old}/retry").status_code == 404
    assert [record.job_id for record in caplog.records if record.msg == "job removed"] == [old]
    assert site.status(running)["status"] == "running"
    assert site.directory(running).is_dir()
    release.touch()
    assert site.wait(running)["status"] == "completed"


@pytest.mark.slow
def test_without_the_setting_no_job_is_removed(make_site: MakeSite) -> None:
    site = make_site()
    job = site.run("short", [shell("true")])["job_id"]

    assert site.manager.parts.housekeeping._keep_seconds is None
    until(lambda: not site.manager.parts.housekeeping._thread.is_alive(), "it has nothing to do")
    assert site.status(job)["status"] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("point", every_second(crash_points.OF_REMOVAL))
def test_a_crash_leaves_no_job_half_removed(zygote: Zygote, tmp_path: Path, point: str) -> None:
    place = {"workspace_root": "./workspace", "project_root": "./project"}
    site = FaultSite(tmp_path / "site", zygote, (point,), orchestrator={**place, **KEEP})
    try:
        job_id = site.submit_once([shell("echo done")])
        assert site.process is not None
        until(lambda: site.process.poll() is not None, "it has crashed", 60)
        assert any(each.endswith(point) for each in site.reached())
        site.crashes = ""
        site.ensure()

        until(lambda: not remaining_quota_of(site, job_id), f"nothing is left after {point}", 30)
        assert site.call("GET", f"/jobs/{job_id}").status_code == 404
    finally:
        site.end()


@pytest.mark.slow
def test_the_audit_log_names_what_was_removed(make_server: MakeServer) -> None:
    site = make_server(orchestrator=KEEP)
    job = site.run("short", [shell("true")])["job_id"]
    until(lambda: not remaining_quota_of(site, job), "nothing is left of it")

    def noted() -> bool:
        lines = complete_lines(site.folder / "logs" / "audit.jsonl")
        entries = [json.loads(line) for line in lines]
        expected = {"key": "(retention)", "method": "DELETE", "target": f"/api/v1/jobs/{job}"}
        return any(expected.items() <= entry.items() for entry in entries)

    until(noted, "it is in the audit log")


@pytest.mark.slow
def test_files_that_a_crash_left_old_are_put_right_by_the_next_server(
    make_server: MakeServer,
) -> None:
    site = make_server()
    job = site.run("short", [shell("true")])["job_id"]
    site.terminate()
    status = site.directory(job) / "status.json"
    status.write_text(status.read_text().replace("completed", "running"))
    (site.directory(job) / "FINAL_RESULT.md").unlink()
    site.start()

    until(lambda: site.status_file(job)["status"] == "completed", "its status is right")
    until((site.directory(job) / "FINAL_RESULT.md").exists, "its report is there")


@pytest.mark.slow
def test_a_job_that_has_not_ended_is_never_removed(tmp_path: Path) -> None:
    store = SqlStore(sqlite_url(tmp_path / "state.db"))
    store.open()
    store.save(StateChange(new_jobs=[a_job("busy")]))
    (tmp_path / "job_busy").mkdir()
    files = WorkspaceJobFiles(tmp_path)
    removal = JobRemoval(store, files)

    removal.begin("busy")
    assert os.listdir(tmp_path / "job_busy") == [] and removal.interrupted() == ()
    files.mark_removed("busy")
    removal.finish("busy")
    assert (tmp_path / "job_busy").is_dir() and removal.interrupted() == ()
    store.close()


@pytest.mark.slow
def test_a_removal_that_the_database_rejects_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.database.connections.LOCK_TIMEOUT", 0.1)
    database = tmp_path / "state.db"
    store = SqlStore(sqlite_url(database))
    store.open()
    job = replace(a_job("old"), status=JobStatus.COMPLETED, ended_at=5.0)
    store.save(StateChange(new_jobs=[job]))
    (tmp_path / "job_old" / "depth_0").mkdir(parents=True)
    removal = JobRemoval(store, WorkspaceJobFiles(tmp_path))

    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreAway):
            removal.begin("old")

    assert os.listdir(tmp_path / "job_old") == ["depth_0"]
    assert (removal.interrupted(), store.job("old")) == ((), job)
    assert removal.begin("old")
    removal.delete_files("old")
    assert (store.job("old"), list(tmp_path.glob("*old*"))) == (None, [])
    store.close()


@pytest.mark.slow
def test_a_removal_that_a_caller_waits_for_is_left_to_the_caller(tmp_path: Path) -> None:
    store = SqlStore(sqlite_url(tmp_path / "state.db"))
    store.open()
    (tmp_path / "job_old" / "depth_0").mkdir(parents=True)
    saving, others = threading.Event(), threading.Event()

    def forget(root_id: str, directory: str, present: str) -> list[str]:
        saving.set()
        assert others.wait(10)
        return ["refs/kept"]

    removal = JobRemoval(store, WorkspaceJobFiles(tmp_path, forget=forget))
    assert removal.begin("old")
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(removal.delete_files, "old")
        assert saving.wait(10)
        assert removal.interrupted() == (), "housekeeping must not delete it"
        second = threads.submit(removal.delete_files, "old")
        others.set()
        assert (first.result(10), second.result(10)) == (["refs/kept"], ())
    store.close()
