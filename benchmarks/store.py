"""Compares the store's cost with that of sqlite3, which writes the same text in the same run.

    python benchmarks/store.py

Every figure is a median. CPU is the time of this process, without waits for the disk.
"""

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from orchestrator.core.events import Event, EventKind
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import StateChange
from orchestrator.core.ports.read_models import JobFilter
from orchestrator.store import SqlStore, sqlite_url

TURNS = 2000
READS = 2000
MANY = 10_000

CONFIG = JobConfig(
    max_workers=4, default_timeout=300, max_retries=2, max_depth=3, max_wall_seconds=86_400
)


def job(name: str) -> Job:
    return Job(id=name, root_id=name, depth=0, request="Do it", config=CONFIG, created_at=1.0)


def worker(root: str, index: int) -> Worker:
    name = f"worker_{index + 1}"
    return Worker(
        id=name, job_id=root, root_id=root, task_id=name, index=index, depth=0, agent="shell"
    )


def submission(root: str, count: int) -> StateChange:
    return StateChange(
        new_jobs=[job(root)],
        new_tasks=[(root, i, TaskSpec(id=f"t{i}", command="true")) for i in range(count)],
        new_workers=[worker(root, i) for i in range(count)],
    )


def turn(number: int) -> StateChange:
    """Return a turn in which one worker ends and the next worker starts."""
    ended_worker, started_worker = worker("a", number), worker("a", number + 1)
    result = WorkerResult(output="done", exit_code=0, work_seconds=0.1)
    return StateChange(
        workers=[replace(ended_worker, status=WorkerStatus.SUCCESS, result=result)],
        new_attempts=[attempt(started_worker)],
        attempts=[attempt(ended_worker, Exit(ended_by=EndedBy.EXIT, code=0, ended_at=2.0))],
        events=[event(2 * number + 1, ended_worker), event(2 * number + 2, started_worker)],
    )


def attempt(of: Worker, exit: Exit | None = None) -> Attempt:
    return Attempt(
        root_id=of.root_id,
        worker_id=of.id,
        number=1,
        job_id=of.job_id,
        started_at=1.0,
        token_hash=f"{of.index:064x}",
        ended_at=exit.ended_at if exit else None,
        exit=exit,
    )


def event(seq: int, of: Worker) -> Event:
    return Event(
        root_id=of.root_id,
        seq=seq,
        job_id=of.job_id,
        kind=EventKind.WORKER_STARTED,
        at=1.0,
        worker_id=of.id,
        data={"attempt": 1, "agent": "shell"},
    )


def clocked(acts: Iterable[Callable[[], object]]) -> tuple[float, float]:
    """Return the median CPU and wall time of one call, in microseconds."""
    cpu, wall = [], []
    for act in acts:
        cpu_start, wall_start = time.thread_time_ns(), time.perf_counter_ns()
        act()
        cpu.append(time.thread_time_ns() - cpu_start)
        wall.append(time.perf_counter_ns() - wall_start)
    return median(cpu) / 1000, median(wall) / 1000


class Raw:
    """The same tables, written by sqlite3 from prepared rows."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        synchronous = f"synchronous={'FULL' if durable else 'NORMAL'}"
        for pragma in ("journal_mode=WAL", synchronous, "foreign_keys=ON"):
            self.connection.execute(f"PRAGMA {pragma}")

    def insert(self, table: str, rows: list[tuple[object, ...]]) -> None:
        marks = ", ".join("?" * len(rows[0]))
        self.connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def in_transaction(self, act: Callable[[], None]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        act()
        self.connection.execute("COMMIT")

    def turn(self, ended: tuple[object, ...], rows: dict[str, list[tuple[object, ...]]]) -> None:
        def write() -> None:
            self.connection.execute(UPDATE_WORKER, ended)
            self.insert("attempts", rows["started"])
            self.connection.execute(UPDATE_ATTEMPT, rows["ended"][0])
            self.insert("events", rows["events"])

        self.in_transaction(write)


UPDATE_WORKER = (
    "UPDATE workers SET agent=?, status=?, reason=?, attempt=?, budget_from=?, failure=?, "
    "not_before=?, child_job_ids=?, child_workers=?, started_at=?, ended_at=?, result=? "
    "WHERE root_id=? AND id=?"
)
UPDATE_ATTEMPT = (
    "UPDATE attempts SET started_at=?, token_hash=?, ended_at=?, exit=?, reason=? "
    "WHERE root_id=? AND worker_id=? AND number=?"
)


def copy_of_rows(path: Path, table: str, order: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    rows = connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
    connection.close()
    return rows


def raw_turns(source: Path, raw: Raw) -> list[Callable[[], None]]:
    """Return the rows that the store wrote in each turn, read from the store's file."""
    workers = copy_of_rows(source, "workers", '"index"')
    attempts = {row[1]: row for row in copy_of_rows(source, "attempts", "number")}
    events = copy_of_rows(source, "events", "seq")

    def act(number: int) -> Callable[[], None]:
        worker_row = workers[number]
        attempt_row = attempts[worker_row[1]]
        rows = {
            "started": [attempts[workers[number + 1][1]]],
            "ended": [(*attempt_row[4:], *attempt_row[:3])],
            "events": events[2 * number : 2 * number + 2],
        }
        return lambda: raw.turn((*worker_row[6:], *worker_row[:2]), rows)

    return [act(number) for number in range(TURNS)]


def measure_turns(directory: Path) -> None:
    path = directory / "store.db"
    store = SqlStore(sqlite_url(path))
    store.open()
    store.save(submission("a", TURNS + 1))
    store.save(StateChange(new_attempts=[attempt(worker("a", 0))]))
    changes = [turn(number) for number in range(TURNS)]
    raw = Raw(empty_copy(path, directory / "raw.db"), durable=changes[0].durable)
    ours = clocked(partial(store.save, change) for change in changes)
    theirs = clocked(raw_turns(path, raw))
    report("save of one turn (5 rows)", ours, theirs)
    store.close()


def empty_copy(source: Path, target: Path) -> Path:
    """Return a copy of the database before the turns, with which both programs start."""
    with sqlite3.connect(source) as source_connection, sqlite3.connect(target) as target_connection:
        source_connection.backup(target_connection)
    return target


def measure_many(directory: Path) -> None:
    store = SqlStore(sqlite_url(directory / "many.db"))
    store.open()
    raw = Raw(empty_copy(directory / "many.db", directory / "many-raw.db"), durable=True)
    ours = clocked([lambda: store.save(submission("a", MANY))])
    tables = [("jobs", "id"), ("tasks", "position"), ("workers", '"index"')]
    rows = [(table, copy_of_rows(directory / "many.db", table, order)) for table, order in tables]

    def insert() -> None:
        for table, table_rows in rows:
            raw.insert(table, table_rows)

    report(f"save of {MANY} tasks and workers", ours, clocked([lambda: raw.in_transaction(insert)]))
    store.close()


def measure_reads(directory: Path) -> None:
    store = SqlStore(sqlite_url(directory / "reads.db"))
    store.open()
    store.save(submission("a", 5))
    store.save(StateChange(events=[event(i + 1, worker("a", 0)) for i in range(10)]))
    reads: dict[str, Callable[[], object]] = {
        "job": lambda: store.job("a"),
        "5 workers": lambda: store.workers("a"),
        "5 tasks": lambda: store.tasks("a"),
        "10 events": lambda: store.events("a", 0, 100),
        "tree": lambda: store.tree("a"),
        "list of jobs": lambda: store.jobs_of(JobFilter(), 0, 50),
    }
    for name, read in reads.items():
        cpu, wall = clocked([read] * READS)
        print(f"read {name:30} {cpu:9.0f} us CPU {wall:9.0f} us")
    store.close()


def report(what: str, ours: tuple[float, float], theirs: tuple[float, float]) -> None:
    print(
        f"{what:35} {ours[0]:9.0f} us CPU {ours[1]:9.0f} us, sqlite3 {theirs[0]:9.0f} us CPU "
        f"{theirs[1]:9.0f} us, ratio {ours[0] / theirs[0]:.1f} CPU {ours[1] / theirs[1]:.1f}"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        measure_turns(Path(directory))
        measure_many(Path(directory))
        measure_reads(Path(directory))


if __name__ == "__main__":
    main()
