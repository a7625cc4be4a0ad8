"""Faults of a SQLite database: crashes, wrong files, and other programs."""

import errno
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy.dialects import sqlite

from orchestrator.core.errors import StoreError
from orchestrator.core.model.states import JobStatus
from orchestrator.core.ports import StateChange
from orchestrator.store import SqlStore, sqlite_url
from orchestrator.store.database import connections, job_queries
from tests.contract.store_values import a_job, a_worker, an_attempt, an_event

SAVES_FOR_EVER = """
import sys
from orchestrator.core.ports import StateChange
from orchestrator.core.model.states import JobStatus
from orchestrator.store import SqlStore
from tests.contract.store_values import a_job, a_worker, an_event

store = SqlStore(sys.argv[1])
store.open()
job, first = a_job(), store.events("a", 0, 10**9)
if not first:
    store.save(StateChange(new_jobs=[job]))
for number in range(len(first), 10**9):
    store.save(StateChange(new_workers=[a_worker(job, number)], events=[an_event(job, number + 1)]))
    print(number + 1, flush=True)
"""

ROOT = Path(__file__).parents[4]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orchestrator.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    store = SqlStore(sqlite_url(path))
    store.open()
    yield store
    store.close()


def killed_after(path: Path, saves: int) -> int:
    """Kill a process after ``saves`` reported saves; return the last number that it printed."""
    saving = subprocess.Popen(
        [sys.executable, "-c", SAVES_FOR_EVER, sqlite_url(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert saving.stdout is not None
    lines = [saving.stdout.readline() for _ in range(saves)]
    saving.send_signal(signal.SIGKILL)
    lines += saving.stdout.readlines()
    saving.stdout.close()
    saving.wait(30)
    whole = [line for line in lines if line.endswith("\n")]
    assert len(whole) >= saves
    return int(whole[-1])


def test_kill_9_loses_nothing_that_was_acknowledged(path: Path) -> None:
    for saves in (1, 25):
        acknowledged = killed_after(path, saves)

        store = SqlStore(sqlite_url(path))
        store.open()
        events, workers = store.events("a", 0, 10**6), store.workers("a")
        store.close()

        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert len(events) >= acknowledged
        assert len(workers) == len(events)
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()


def test_the_files_are_for_their_owner_alone(store: SqlStore, path: Path) -> None:
    store.save(StateChange(new_jobs=[a_job()]))

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert modes == {path.name: 0o600, f"{path.name}-wal": 0o600, f"{path.name}-shm": 0o600}


def pragma(store: SqlStore, name: str) -> object:
    with store._opened().writer.begin():
        return store._opened().writer.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def test_the_writer_checks_references_and_does_not_hold_up_readers(store: SqlStore) -> None:
    assert pragma(store, "journal_mode") == "wal"
    assert pragma(store, "foreign_keys") == 1


def test_only_a_durable_change_waits_for_the_disk(store: SqlStore) -> None:
    full, normal = 2, 1
    job, worker = a_job(), a_worker(a_job())
    submission = StateChange(new_jobs=[job], new_workers=[worker])
    start = StateChange(new_attempts=[an_attempt(worker)])
    refused = StateChange(new_workers=[worker])
    end = StateChange(jobs=[replace(job, status=JobStatus.COMPLETED)])
    assert [change.durable for change in (submission, start, end)] == [True, False, True]

    store.save(submission)
    assert pragma(store, "synchronous") == full
    store.save(start)
    assert pragma(store, "synchronous") == normal
    with pytest.raises(StoreError):
        store.save(refused)
    store.save(end)
    assert pragma(store, "synchronous") == full


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the files that were synced to the disk, in order."""
    files: list[str] = []

    def fsync(descriptor: int, real: Callable[[int], None] = os.fsync) -> None:
        real(descriptor)
        files.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", fsync)
    return files


def test_other_changes_reach_the_disk_a_moment_later(
    store: SqlStore, path: Path, synced: list[str]
) -> None:
    worker = a_worker(a_job())
    store.save(StateChange(new_jobs=[a_job()], new_workers=[worker]))
    assert synced == []

    store.save(StateChange(new_attempts=[an_attempt(worker)]))

    deadline = time.monotonic() + 60
    while not synced and time.monotonic() < deadline:
        time.sleep(0.001)
    assert synced[0] == f"{path}-wal"


def test_many_changes_reach_the_disk_at_once(store: SqlStore, synced: list[str]) -> None:
    store.save(StateChange(new_jobs=[a_job()]))

    for number in range(500):
        store.save(StateChange(new_workers=[a_worker(a_job(), number)]))
    store.close()

    assert 1 <= len(synced) < 250


def test_a_failed_fsync_of_the_log_is_logged(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    store.save(StateChange(new_jobs=[a_job()]))
    store.save(StateChange(new_workers=[a_worker(a_job())]))
    store.close()

    assert "to the disk: Input/output error" in caplog.text


def test_a_failed_fsync_of_the_log_is_logged_once_until_an_fsync_succeeds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    log = tmp_path / "x.db-wal"
    sync = connections.DeferredSync(str(tmp_path / "x.db"))

    def logged_after_more_commits() -> int:
        for _ in range(3):
            sync.request_flush()
            time.sleep(3 * connections.LATE_SECONDS)
        return caplog.text.count("to the disk")

    assert logged_after_more_commits() == 1
    log.touch()
    assert logged_after_more_commits() == 1
    log.unlink()
    assert logged_after_more_commits() == 2
    sync.close()


def test_any_path_will_do(tmp_path: Path) -> None:
    directory = tmp_path / "a b%41?c#d=ü&e"
    directory.mkdir()
    store = SqlStore(sqlite_url(directory / "orchestrator.db"))

    store.open()
    store.close()

    assert [file.name for file in directory.iterdir()] == ["orchestrator.db"]


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"certainly not a database" * 1000)

    with pytest.raises(StoreError, match=rf"{path} is not a database; restore a copy"):
        SqlStore(sqlite_url(path)).open()

    assert path.read_bytes() == b"certainly not a database" * 1000


def test_a_damaged_database_is_refused_with_its_path(store: SqlStore, path: Path) -> None:
    store.save(StateChange(new_jobs=[a_job()]))
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))

    with pytest.raises(StoreError, match=rf"{path} is damaged .*; restore a copy"):
        store.open()


def test_an_unreadable_value_is_an_error_with_the_path(store: SqlStore, path: Path) -> None:
    store.save(StateChange(new_jobs=[a_job()]))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE jobs SET status = 'nonsense'")
    connection.close()

    with pytest.raises(
        StoreError, match=rf"{path} contains an unreadable value.*nonsense.*; the data is"
    ):
        store.job("a")


def test_a_missing_directory_is_an_error_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "orchestrator.db"

    with pytest.raises(StoreError, match=rf"cannot open {path}: No such file"):
        SqlStore(sqlite_url(path)).open()


def test_a_store_in_memory_is_refused() -> None:
    with pytest.raises(StoreError, match="needs a file"):
        SqlStore("sqlite://").open()


@pytest.mark.parametrize("url", ["", "no url", "nosuch://x/y"])
def test_a_wrong_url_is_a_store_error(url: str) -> None:
    with pytest.raises(StoreError):
        SqlStore(url).open()


def test_a_password_is_in_no_message() -> None:
    store = SqlStore("postgresql+psycopg://me:s3cret@127.0.0.1:1/none?connect_timeout=2")

    with pytest.raises(StoreError) as raised:
        store.open()

    assert "s3cret" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)


def test_a_lock_of_another_program_fails_a_change_only_while_it_is_held(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LOCK_TIMEOUT", 0.1)
    store = SqlStore(sqlite_url(path))
    store.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match=rf"{path} is locked by another program"):
        store.save(StateChange(new_jobs=[a_job()]))
    assert store.job("a") is None
    other.execute("ROLLBACK")
    store.save(StateChange(new_jobs=[a_job()]))

    assert store.job("a") == a_job()
    other.close()
    store.close()


def test_one_server_at_a_time_has_the_file_whatever_its_path(path: Path) -> None:
    link = path.parent / "link.db"
    link.symlink_to(path.name)
    first, second = (SqlStore(sqlite_url(each), alone=True) for each in (path, link))
    first.open()

    with pytest.raises(StoreError, match=f"another server uses {link}; stop it, or use another"):
        second.open()
    first.save(StateChange(new_jobs=[a_job()]))

    first.close()
    second.open()
    assert second.job("a") == a_job()
    second.close()


def test_one_server_at_a_time_has_the_file_also_without_its_lock_file(tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.db"
    first, second = (SqlStore(sqlite_url(path), alone=True) for _ in range(2))
    first.open()
    (tmp_path / "orchestrator.db-lock").unlink()

    with pytest.raises(StoreError, match="another server uses"):
        second.open()

    first.close()
    second.open()
    second.close()


def test_a_full_disk_is_an_error_and_leaves_the_stored_data(store: SqlStore, path: Path) -> None:
    store.save(StateChange(new_jobs=[a_job()]))
    driver = store._opened().writer.connection.driver_connection
    assert driver is not None
    # For SQLite, a database that may not grow is a full disk.
    pages = driver.execute("PRAGMA page_count").fetchone()[0]
    driver.execute(f"PRAGMA max_page_count={pages}")

    with pytest.raises(StoreError, match=rf"the disk of {path} is full"):
        store.save(StateChange(new_jobs=[a_job("b", request="x" * 1_000_000)]))
    assert (store.job("a"), store.job("b")) == (a_job(), None)
    store.save(StateChange(new_jobs=[a_job("c", request="x" * 1_000_000)]))

    assert store.job("c") is not None


def test_a_reader_in_the_midst_of_a_read_does_not_hold_up_the_writer(store: SqlStore) -> None:
    store.save(StateChange(new_jobs=[a_job()]))
    with store._opened()._readers.connect() as reader:
        count = "SELECT count(*) FROM jobs"
        assert reader.exec_driver_sql(count).scalar_one() == 1

        begun = time.monotonic()
        store.save(StateChange(new_jobs=[a_job("b")]))

        assert time.monotonic() - begun < connections.LOCK_TIMEOUT / 2
        assert reader.exec_driver_sql(count).scalar_one() == 1
    assert store.job("b") is not None


def test_readers_cannot_write(store: SqlStore) -> None:
    with (
        store._opened()._readers.connect() as reader,
        pytest.raises(Exception, match="readonly database"),
    ):
        reader.exec_driver_sql("DELETE FROM jobs")


def test_the_latest_of_an_agent_are_found_without_reading_all_workers(
    store: SqlStore, path: Path
) -> None:
    asked = job_queries._recent_results.params(agent="claude", most=50)
    made = asked.compile(dialect=sqlite.dialect(paramstyle="named")).construct_expanded_state()

    with closing(sqlite3.connect(path)) as connection:
        explain = f"EXPLAIN QUERY PLAN {made.statement}"
        plan = connection.execute(explain, made.parameters).fetchall()

    assert [step for *_, step in plan] == [
        "SEARCH workers USING INDEX ix_workers_ended (agent=? AND ended_at>?)"
    ]


def test_a_closed_store_holds_no_descriptor(path: Path) -> None:
    def descriptors() -> list[str]:
        links = Path("/proc/self/fd").iterdir()
        return [target for link in links if str(path) in (target := _target(link))]

    store = SqlStore(sqlite_url(path))
    store.open()
    readers = [Thread(target=store.job, args=("a",)) for _ in range(20)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(30)
    assert descriptors()

    store.close()

    assert descriptors() == []


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def test_the_folder_may_be_copied_as_a_backup(store: SqlStore, path: Path, tmp_path: Path) -> None:
    job = a_job()
    store.save(StateChange(new_jobs=[job], new_workers=[a_worker(job)], events=[an_event(job, 1)]))
    copy = tmp_path / "copy"
    shutil.copytree(path.parent, copy, ignore=shutil.ignore_patterns("copy"))

    other = SqlStore(sqlite_url(copy / path.name))
    other.open()

    assert other.tree("a") == store.tree("a")
    other.close()
