"""Migrations, on every database."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, inspect, text

from orchestrator.core.errors import StoreError
from orchestrator.core.gates.gate import GateCause, GateResult, GateStatus
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.job_facts import NO_FACTS, JobFacts, Missing
from orchestrator.core.model.states import JobStatus, MergeState, StopCause, WorkerKind
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import Cost, StateChange
from orchestrator.store import SqlStore, sqlite_url
from orchestrator.store.database import migrate
from orchestrator.store.schema.tables import metadata
from tests.contract.store_adapters import ADAPTERS, database
from tests.contract.store_values import a_job, a_worker

OLD_NOT_MERGED = "what its workers changed could not be merged when it ended"


@pytest.fixture(params=ADAPTERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    """Return a connection to a database that a store has created and closed."""
    store = SqlStore(url)
    store.open()
    store.save(StateChange(new_jobs=[a_job()]))
    store.close()
    with connected(url) as connection:
        yield connection


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        yield connection


# PostgreSQL lists an index on an expression, but SQLite does not.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based")
def test_the_migrations_make_the_tables_that_the_code_knows(url: str) -> None:
    with connected(url) as connection:
        migrate.upgrade(connection, "here")
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})

        assert compare_metadata(context, metadata) == []
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}


#: A schema, except the order of columns and constraints.
SCHEMA = {
    "sqlite": """SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'""",
    "postgresql": """
        SELECT table_name, column_name, data_type || is_nullable || coalesce(column_default, '')
        FROM information_schema.columns WHERE table_schema = current_schema()
        UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes
        WHERE schemaname = current_schema()
        UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = current_schema()::regnamespace""",
}


def schema_of(connection: Connection) -> set[tuple[str, str, tuple[str, ...]]]:
    rows = connection.execute(text(SCHEMA[connection.dialect.name]))
    return {
        (kind, name, tuple(sorted(re.split(r"\s*,?\s+", statement.strip()))))
        for kind, name, statement in rows
    }


def rows_of(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    names = inspect(connection).get_table_names()
    return {
        name: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {name}"))]
        for name in names
    }


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_new_database_is_as_the_migrations_make_it(adapter: str, tmp_path: Path) -> None:
    found = []
    for name, make in (("a", migrate.create), ("b", lambda to: migrate.upgrade(to, "here"))):
        (tmp_path / name).mkdir()
        with database(adapter, tmp_path / name) as url, connected(url) as connection:
            make(connection)
            found.append((schema_of(connection), rows_of(connection)))

    assert found[0] == found[1]
    assert len(found[0][0]) > 20


def test_opening_again_changes_neither_schema_nor_data(url: str, connection: Connection) -> None:
    connection.rollback()
    for _ in range(2):
        store = SqlStore(url)
        store.open()
        assert store.job("a") == a_job()
        store.close()

    assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1


def test_costs_of_older_workers_are_read_from_their_results(url: str) -> None:
    usages = [
        {"steps": 1, "cost_usd": 0.25, "cost_estimated": False, "partial": False},
        {"steps": 1, "cost_usd": 0.5, "cost_estimated": True, "partial": False},
        {"steps": 2, "cost_usd": None, "cost_estimated": False, "partial": False},
        {"steps": None, "cost_usd": None, "cost_estimated": False, "partial": False},
    ]
    store = SqlStore(url)
    store.open()
    workers = [a_worker(a_job(), index) for index in range(len(usages))]
    store.save(StateChange(new_jobs=[a_job()], new_workers=workers))
    store.close()
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for worker, usage in zip(workers, usages, strict=True):
            document = {"output": 'a "usage":{"cost_usd":7}', "usage": usage}
            text_of = {"id": worker.id, "result": json.dumps(document, separators=(",", ":"))}
            connection.execute(text("UPDATE workers SET result = :result WHERE id = :id"), text_of)
        _back_to_0004(connection)
        for index in ("summary", "ended"):
            connection.execute(text(f"DROP INDEX ix_workers_{index}"))
        for column in ("cost_usd", "cost_marks"):
            connection.execute(text(f"ALTER TABLE workers DROP COLUMN {column}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))

    store.open()

    assert store.stats().cost == Cost(usd=0.75, estimated=True, partial=True)
    assert store.stats().workers == {"pending": 4}
    store.close()


#: Rows of releases up to migration 0004: status, plan source, parent worker, stopped by, reason;
#: then the values of the new columns: stop cause, merge state, awaits approval, facts.
FACTS_OF_REASONS = [
    (
        ("planning", "given", None, None, "waits for approval"),
        (None, MergeState.NONE, True, NO_FACTS),
    ),
    (
        ("planning", "claude", None, None, "claude plans it"),
        (None, MergeState.NONE, False, NO_FACTS),
    ),
    (
        ("failed", "none", None, None, "an empty plan"),
        (None, MergeState.NONE, False, JobFacts(plan_error="an empty plan")),
    ),
    (
        (
            "partial",
            "given",
            None,
            None,
            f"{OLD_NOT_MERGED}: git is away; orchestrator retry abc tries that again",
        ),
        (None, MergeState.FAILED, False, JobFacts(merge_error="git is away")),
    ),
    (
        (
            "completed",
            "given",
            None,
            None,
            "not in the result: worker_2, for conflicts in a.py, b\0.py; in part worker_3: why: so",
        ),
        (
            None,
            MergeState.IN_PART,
            False,
            JobFacts(
                missing=(
                    Missing(worker_id="worker_2", job_id="j4", why="conflict in a.py, b\0.py"),
                    Missing(worker_id="worker_3", job_id="j4", why="why: so", in_part=True),
                )
            ),
        ),
    ),
    (
        (
            "completed",
            "given",
            None,
            None,
            "not in the result: worker_1, worker_2 (merge_strategy: manual)",
        ),
        (
            None,
            MergeState.IN_PART,
            False,
            JobFacts(
                missing=(
                    Missing(worker_id="worker_1", job_id="j5", why="merge_strategy: manual"),
                    Missing(worker_id="worker_2", job_id="j5", why="merge_strategy: manual"),
                )
            ),
        ),
    ),
    *(
        (
            ("cancelled", "given", parent, by, f"cancelled by {by}"),
            (cause, MergeState.NONE, False, NO_FACTS),
        )
        for parent, by, cause in (
            (None, "the caller (key shutdown)", StopCause.USER),
            (None, "the caller (key x): the plan was rejected", StopCause.USER),
            ("worker_1", "worker_1", StopCause.WITHDRAWN),
            ("worker_1", "worker_1, which ended failed", StopCause.PARENT),
            ("worker_1_2", "worker_1", StopCause.PARENT),
            (None, "max_wall_seconds (5 s)", StopCause.WALL_TIME),
            ("worker_1", "max_tokens of job abc", StopCause.LIMIT),
            (None, "max_cost_usd of job abc", StopCause.LIMIT),
        )
    ),
]


def test_facts_of_former_reasons_are_in_columns(url: str) -> None:
    store = SqlStore(url)
    store.open()
    jobs = [
        a_job(
            id=f"j{at}",
            root_id=f"j{at}",
            status=JobStatus(status),
            plan_source=source,
            parent_worker_id=parent,
            cancelled_by=by,
            reason=reason,
        )
        for at, ((status, source, parent, by, reason), _) in enumerate(FACTS_OF_REASONS)
    ]
    kinds = {0: WorkerKind.TASK, -1: WorkerKind.PLANNER, -2: WorkerKind.REVIEWER}
    workers = [a_worker(jobs[0], index, id=f"w{-index}") for index in kinds]
    store.save(StateChange(new_jobs=jobs, new_workers=workers))
    store.close()
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        _back_to_0004(connection)

    store.open()

    found = [store.job(job.id) for job in jobs]
    expected = [
        replace(job, stop_cause=cause, merge_state=merging, awaits_approval=approval, facts=facts)
        for job, (_, (cause, merging, approval, facts)) in zip(jobs, FACTS_OF_REASONS, strict=True)
    ]
    assert found == expected
    stored = [store.worker(worker.key) for worker in workers]
    assert [worker and worker.kind for worker in stored] == list(kinds.values())
    store.close()


def test_figures_of_older_workers_are_read_from_their_results(url: str) -> None:
    job = a_job()
    usage = Usage(steps=3, input_tokens=20, output_tokens=10, cost_usd=0.5)
    passed = GateResult(name="tests", status=GateStatus.PASSED)
    unrun = GateResult(name="lint", status=GateStatus.BROKEN, cause=GateCause.PROGRAM_MISSING)
    result = WorkerResult(usage=usage, files_created=("a.py", "b.py"), gates=(passed, unrun))
    tasks = [
        TaskSpec(id="build", prompt=f"Build\n it {'x' * 100}", model="large", role="backend"),
        TaskSpec(id="test", command=("true", "1"), depends_on=("build",)),
    ]
    store = SqlStore(url)
    store.open()
    change = StateChange(
        new_jobs=[job],
        new_tasks=[("a", at, task) for at, task in enumerate(tasks)],
        new_workers=[
            a_worker(job, 0, task_id="build", result=result),
            a_worker(job, 1, task_id="test"),
        ],
    )
    store.save(change)
    before = store.snapshot("a")
    store.close()
    with create_engine(url, poolclass=NullPool).begin() as connection:
        _back_to_0008(connection)

    store.open()

    assert store.snapshot("a") == before
    assert store.workers("a")[0].result == result
    store.close()


def _back_to_0008(connection: Connection) -> None:
    for index in ("jobs_needs", "workers_need", "workers_time", "tasks_labels"):
        connection.execute(text(f"DROP INDEX ix_{index}"))
    for column in ("need", "question", "cancelled_by", "model"):
        connection.execute(text(f"ALTER TABLE workers DROP COLUMN {column}"))
    connection.execute(text("ALTER TABLE attempts DROP COLUMN node"))
    for table in ("server_pause", "deliveries", "server_lease"):
        connection.execute(text(f"DROP TABLE {table}"))
    ours = ("needs", "labels", "run", "pause", "paused_seconds", "plan_version", "callback")
    for column in ours:
        connection.execute(text(f"ALTER TABLE jobs DROP COLUMN {column}"))
    figures = ("steps", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    counts = ("gates_passed", "gates_failed", "gates_not_run", "files", "chosen")
    for column in (*figures, *counts):
        connection.execute(text(f"ALTER TABLE workers DROP COLUMN {column}"))
    for column in ("id", "title", "model", "role", "depends_on"):
        connection.execute(text(f"ALTER TABLE tasks DROP COLUMN {column}"))
    connection.execute(text("UPDATE alembic_version SET version_num = '0008'"))


def _back_to_0004(connection: Connection) -> None:
    _back_to_0008(connection)
    connection.execute(text("DROP TABLE spent_days"))
    for column in ("record_hash", "session"):
        connection.execute(text(f"ALTER TABLE attempts DROP COLUMN {column}"))
    for index in ("summary", "ended"):
        connection.execute(text(f"DROP INDEX ix_workers_{index}"))
    for column in ("stop_cause", "merge_state", "awaits_approval", "facts"):
        connection.execute(text(f"ALTER TABLE jobs DROP COLUMN {column}"))
    for column in ("kind", "waiting_for"):
        connection.execute(text(f"ALTER TABLE workers DROP COLUMN {column}"))
    columns = 'status, cost_marks, "index", cost_usd'
    connection.execute(text(f"CREATE INDEX ix_workers_summary ON workers ({columns})"))
    columns = 'agent, ended_at, status, "index"'
    connection.execute(
        text(f"CREATE INDEX ix_workers_ended ON workers ({columns}) WHERE ended_at IS NOT NULL")
    )
    connection.execute(text("UPDATE alembic_version SET version_num = '0004'"))


def test_a_newer_schema_is_refused_and_left_alone(url: str, connection: Connection) -> None:
    connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    connection.commit()
    store = SqlStore(url)

    with pytest.raises(StoreError, match="created by a newer release"):
        store.open()
    with pytest.raises(StoreError, match="not open"):
        store.job("a")

    version = text("SELECT version_num FROM alembic_version")
    assert connection.execute(version).scalar_one() == "9999"


def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        # A foreign table with which the last step of the migration conflicts.
        connection.execute(text("CREATE TABLE attempts (other INTEGER)"))

    with pytest.raises(StoreError, match="attempts"):
        SqlStore(url).open()

    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["attempts"]


def test_the_migrations_are_part_of_the_package() -> None:
    package = resources.files("orchestrator.store")

    assert (package / "migrations" / "env.py").is_file()
    assert [file.name for file in (package / "migrations" / "versions").iterdir() if file.is_file()]


def test_a_database_is_left_alone_that_has_the_newest_of_the_migrations() -> None:
    versions = migrate.MIGRATIONS / "versions"

    assert max(file.name for file in versions.glob("v*.py")).startswith(f"v{migrate.LATEST}_")
    assert ScriptDirectory(str(migrate.MIGRATIONS)).get_heads() == [migrate.LATEST]


def test_the_package_may_lie_under_any_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "100% of a b" / "migrations"
    moved.parent.mkdir()
    moved.symlink_to(migrate.MIGRATIONS)
    monkeypatch.setattr(migrate, "MIGRATIONS", moved)

    store = SqlStore(sqlite_url(tmp_path / "orchestrator.db"))
    store.open()
    store.close()

    with sqlite3.connect(tmp_path / "orchestrator.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall()
    connection.close()
