"""Statements that write whole values, prepared once for a database.

The supervisor waits for each save, so speed matters: compiled text and rows passed to the driver's
own cursor take a fraction of the time of ``Connection.execute``.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    Delete,
    Dialect,
    Insert,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    insert,
    literal_column,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPICursor

from orchestrator.core.errors import StoreError
from orchestrator.core.model.decisions.pause import Pause
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.states import WorkerKind
from orchestrator.core.ports import Change
from orchestrator.store.schema import tables

#: A job's request, and a worker's task, never change.
_FIXED: Mapping[str, frozenset[str]] = {
    "jobs": frozenset(
        {
            "root_id",
            "depth",
            "request",
            "parent_worker_id",
            "parent_job_id",
            "submitted_by",
            "idempotency_key",
            "created_at",
        }
    ),
    "workers": frozenset({"job_id", "task_id", "index", "kind", "depth"}),
    "attempts": frozenset({"job_id"}),
}


class PlacedTask(NamedTuple):
    """A row of ``tasks``."""

    job_id: str
    position: int
    task: TaskSpec


class StoredPause(NamedTuple):
    """The row of ``server_pause``."""

    pause: Pause | None
    id: int = 1


class Writing:
    """One statement, and how a value becomes its row."""

    def __init__(self, table: Table, statement: Insert | Update | Delete, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        names = cast(list[str], compiled.positiontup)
        processors = [table.c[name].type.bind_processor(dialect) for name in names]
        self._table = table
        self._text = str(compiled)
        sources = [tables.source_of(table.c[name]) for name in names]
        self._fields = attrgetter(*(each for each in sources if isinstance(each, str)))
        #: Columns that are made from the whole value, in their order.
        self._made = [(at, make) for at, make in enumerate(sources) if not isinstance(make, str)]
        self._converted = [(at, convert) for at, convert in enumerate(processors) if convert]

    def run(self, cursor: DBAPICursor, values: Sequence[object]) -> None:
        """Write all values. Raise StoreError if a row to change is missing."""
        cursor.executemany(self._text, [self._row(value) for value in values])
        missing = len(values) - cursor.rowcount
        if missing:
            raise StoreError(
                f"{missing} of {len(values)} {self._table.name} to change do not exist"
            )

    def _row(self, value: object) -> list[Any]:
        row = list(self._fields(value))
        for at, make in self._made:
            row.insert(at, make(value))
        for at, convert in self._converted:
            row[at] = convert(row[at])
        return row


def inserting(table: Table, dialect: Dialect) -> Writing:
    names = [column.key for column in table.c]
    return Writing(table, insert(table).values({name: bindparam(name) for name in names}), dialect)


def replacing(table: Table, dialect: Dialect) -> Writing:
    """Return an insert that replaces a row with the same primary key."""
    names = [column.key for column in table.c]
    made = sqlite.insert(table) if dialect.name == "sqlite" else postgresql.insert(table)
    statement = made.values({name: bindparam(name) for name in names})
    keys = [column.key for column in table.primary_key]
    changing = {name: statement.excluded[name] for name in names if name not in keys}
    upsert = statement.on_conflict_do_update(index_elements=keys, set_=changing)
    return Writing(table, upsert, dialect)


def updating(table: Table, dialect: Dialect) -> Writing:
    """Return an update of all changeable columns, by primary key. Idempotent."""
    keys = [column.key for column in table.primary_key]
    fixed = _FIXED[table.name].union(keys)
    changing = [column.key for column in table.c if column.key not in fixed]
    statement = (
        update(table)
        .where(and_(*(table.c[name] == bindparam(name) for name in keys)))
        .values({name: bindparam(name) for name in changing})
    )
    return Writing(table, statement, dialect)


class Removal:
    """Removes rows of jobs, by the jobs' ids."""

    def __init__(self, statement: Delete, dialect: Dialect) -> None:
        self._text = str(statement.compile(dialect=dialect))

    def run(self, cursor: DBAPICursor, job_ids: Sequence[str]) -> None:
        cursor.executemany(self._text, [(job_id,) for job_id in job_ids])


def _plan_removals() -> tuple[Delete, Delete]:
    """Return the removals of a job's tasks, and of its workers except the planner."""
    tasks, workers = tables.tasks, tables.workers
    of_tasks = workers.c.kind == literal_column(f"'{WorkerKind.TASK}'")
    return (
        delete(tasks).where(tasks.c.job_id == bindparam("job_id")),
        delete(workers).where(workers.c.job_id == bindparam("job_id"), of_tasks),
    )


class Writings:
    """Every statement that a change may need."""

    def __init__(self, dialect: Dialect) -> None:
        self._new_jobs = inserting(tables.jobs, dialect)
        self._old_plans = [Removal(each, dialect) for each in _plan_removals()]
        self._new_tasks = inserting(tables.tasks, dialect)
        self._new_workers = inserting(tables.workers, dialect)
        self._new_attempts = inserting(tables.attempts, dialect)
        self._events = inserting(tables.events, dialect)
        self._jobs = updating(tables.jobs, dialect)
        self._workers = updating(tables.workers, dialect)
        self._attempts = updating(tables.attempts, dialect)
        self._spent_days = replacing(tables.spent_days, dialect)
        self._pauses = replacing(tables.server_pause, dialect)

    def write(self, cursor: DBAPICursor, change: Change) -> None:
        for removal in self._old_plans if change.replaced_plans else ():
            removal.run(cursor, change.replaced_plans)
        for writing, values in self._parts(change):
            if values:
                writing.run(cursor, values)

    def _parts(self, change: Change) -> Iterator[tuple[Writing, Sequence[object]]]:
        """Yield the parts in an order in which every row follows the rows to which it refers."""
        yield self._new_jobs, change.new_jobs
        yield self._new_tasks, [PlacedTask(*given) for given in change.new_tasks]
        yield self._new_workers, change.new_workers
        yield self._jobs, change.jobs
        yield self._workers, change.workers
        yield self._new_attempts, change.new_attempts
        yield self._attempts, change.attempts
        yield self._events, change.events
        yield self._spent_days, change.spent_days
        yield self._pauses, [StoredPause(each) for each in change.pauses[-1:]]
