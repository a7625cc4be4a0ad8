"""A store that is unreachable, or that rejects a server without a lease."""

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.core.errors import StoreAway
from orchestrator.core.model.job import Job
from orchestrator.core.ports import StateChange, Tree
from orchestrator.store import SqlStore
from tests.integration.conftest import MakeSite
from tests.integration.site import shell, until
from tests.support.project import Project, agents, edit


def test_what_changed_is_merged_and_reported_when_the_store_is_back(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "project").begin({"a.txt": "a\n"})
    site = make_site(orchestrator={"project_root": str(project.path)}, agents=agents(tmp_path))
    read, reads = SqlStore.tree, 0

    def away_at_first(
        store: SqlStore, root_id: str, job_ids: Collection[str] | None = None
    ) -> Tree | None:
        nonlocal reads
        reads += 1
        if reads < 3:
            raise StoreAway("the connection is lost")
        return read(store, root_id, job_ids)

    monkeypatch.setattr(SqlStore, "tree", away_at_first)
    answer = site.run("x", [edit("echo b > b.txt")])

    assert answer["status"] == "completed"
    assert "b.txt" in project.files(f"orchestrator/{answer['job_id']}/result")
    assert (site.directory(answer["job_id"]) / "FINAL_RESULT.md").exists()


def test_a_store_that_cannot_be_reached_is_logged_in_one_line_and_so_is_its_return(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    save, failures = SqlStore.save, 5

    def away_at_first(store: SqlStore, change: StateChange) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreAway("the connection is lost")
        save(store, change)

    monkeypatch.setattr(SqlStore, "save", away_at_first)
    assert site.run("x", [shell("true")])["status"] == "completed"

    records = [each for each in caplog.records if each.name.startswith("orchestrator.engine")]
    assert [record.getMessage() for record in records] == [
        "cannot save the state, so no worker starts: the connection is lost",
        f"the state cannot be saved: removed {site.workspace}/.disk-reserve to free space",
        "the state can be saved again; workers start",
    ]
    assert not any(record.exc_info for record in records)


def test_missing_files_are_written_although_the_store_was_away_at_the_start(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended, tries, is_back = SqlStore.ended, 0, threading.Event()

    def away_at_first(store: SqlStore, before: float, limit: int) -> Sequence[Job]:
        nonlocal tries
        tries += 1
        if not is_back.is_set():
            raise StoreAway("the connection is lost")
        return ended(store, before, limit)

    monkeypatch.setattr(SqlStore, "ended", away_at_first)
    site = make_site()
    result = site.directory(site.run("x", [shell("true")])["job_id"]) / "FINAL_RESULT.md"
    until(result.exists, "the report is written")
    result.unlink()
    until(lambda: tries > 1, "housekeeping has repeated its read")
    is_back.set()

    until(result.exists, "the report is written again")
    texts = [record.getMessage() for record in caplog.records]
    assert texts.count("the store is unavailable; retrying: the connection is lost") == 1
    assert not any("housekeeping failed" in text for text in texts)


def test_a_server_that_lost_its_lease_rejects_changes_with_the_reason(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    supervisor = site.manager.parts.supervisor
    saving = threading.Event()

    def away(store: SqlStore, change: StateChange) -> None:
        saving.set()
        raise StoreAway("the connection is lost")

    monkeypatch.setattr(SqlStore, "save", away)
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(site.post, "x", [shell("true")])
        assert saving.wait(30)

        supervisor.fail("its lease ended")

        for response in (waiting.result(), site.post("y", [shell("true")])):
            assert response.status_code == 503
            assert response.json()["detail"] == "the server exits: its lease ended"
    supervisor.stop()
    assert not any(record.exc_info for record in caplog.records), "it is not a bug"
