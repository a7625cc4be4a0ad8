"""Writes the rows of a change, and deletes the rows of removed jobs."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    Connection,
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
    select,
    update,
)
from sqlalchemy.engine.interfaces import DBAPICursor

from orchestrator.core.errors import StoreError
from orchestrator.core.model.attempt.attempt_result import NO_USAGE
from orchestrator.core.model.human_input.pause import Pause
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.states import ENDED_JOB, WorkerKind
from orchestrator.core.outcome.job.human_needs import kind_of_worker, kinds_of_job
from orchestrator.core.ports import StateChange
from orchestrator.store.schema import tables
from orchestrator.store.schema.column_types import PlainText, TextCodec, escape
from orchestrator.store.schema.tables import (
    COMPUTED,
    ESTIMATED,
    INCOMPLETE,
    attempts,
    deliveries,
    events,
    jobs,
    label_line,
    leases,
    line_in,
    tasks,
    workers,
)

#: Columns that never change after the insertion, by table. Examples: a job's request, a worker's
#: task.
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
            "callback",
        }
    ),
    "workers": frozenset({"job_id", "task_id", "index", "kind", "depth"}),
    # Writing the unchanged hashes of an attempt would needlessly update an index.
    "attempts": frozenset({"job_id", "token_hash", "record_hash", "node"}),
}


def needs_text(job: Job) -> str:
    """Return the kinds of the job's own needs as text, one kind per line."""
    return _lines(kinds_of_job(job))


def labels_text(job: Job) -> str:
    return _lines(label_line(name, value) for name, value in job.config.labels.items())


def _lines(texts: Iterable[str]) -> str:
    joined = "\n".join(texts)
    return line_in(joined) if joined else ""


def cost_marks(worker: Worker) -> int:
    """Return ESTIMATED, INCOMPLETE, or their sum; 0 if the worker's cost is exact and complete."""
    usage = worker.lower_bound_of_usage
    if usage is NO_USAGE:
        return 0
    has_cost = usage.cost_usd is not None
    is_incomplete = usage.partial or (not has_cost and usage != NO_USAGE)
    return ESTIMATED * (has_cost and usage.cost_estimated) + INCOMPLETE * is_incomplete


#: Functions that compute a column from the complete stored value, by table and column.
_COMPUTED: Mapping[tuple[str, str], Callable[[Any], object]] = {
    ("jobs", "needs"): needs_text,
    ("jobs", "labels"): labels_text,
    ("workers", "cost_marks"): cost_marks,
    ("workers", "need"): kind_of_worker,
}


class PlacedTask(NamedTuple):
    job_id: str
    position: int
    task: TaskSpec


class StoredPause(NamedTuple):
    pause: Pause | None
    id: int = 1


class TableWriter:
    """Writes values to one table: converts them to rows, and runs one statement for all rows."""

    def __init__(self, table: Table, statement: Insert | Update | Delete, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        names = cast(list[str], compiled.positiontup)
        self._table = table
        self._text = str(compiled)
        sources = [table.c[name].info.get("source", name) for name in names]
        self._fields = attrgetter(*(source for source in sources if source != COMPUTED))
        #: Positions of columns that are computed from the complete value, each with its function.
        self._computed = [
            (position, _COMPUTED[table.name, names[position]])
            for position, source in enumerate(sources)
            if source == COMPUTED
        ]
        kinds = [(position, table.c[name].type) for position, name in enumerate(names)]
        #: Positions of text columns. ``_converted`` has the other columns that need a conversion.
        self._texts = [position for position, kind in kinds if isinstance(kind, PlainText)]
        other_kinds = (
            (position, kind) for position, kind in kinds if not isinstance(kind, PlainText)
        )
        converters = (
            (position, kind.write if isinstance(kind, TextCodec) else kind.bind_processor(dialect))
            for position, kind in other_kinds
        )
        self._converted = [(position, convert) for position, convert in converters if convert]

    def run(self, cursor: DBAPICursor, values: Sequence[object]) -> None:
        """Write all values. Raise StoreError if a row to update does not exist."""
        cursor.executemany(self._text, [self._row(value) for value in values])
        missing = len(values) - cursor.rowcount
        if missing:
            raise StoreError(
                f"{missing} of {len(values)} rows of {self._table.name} cannot be changed: they do "
                "not exist"
            )

    def _row(self, value: object) -> list[Any]:
        row = list(self._fields(value))
        for position, compute in self._computed:
            row.insert(position, compute(value))
        # This repeats the check in ``escape``, because most texts then need no call of ``escape``.
        for position in self._texts:
            if (text := row[position]) is not None and not text.isprintable():
                row[position] = escape(text)
        for position, convert in self._converted:
            if (field := row[position]) is not None:
                row[position] = convert(field)
        return row


#: One of the functions ``insert_writer``, ``replace_writer``, and ``update_writer``, which return a
#: writer for a table.
Prepare = Callable[[Table, Dialect], TableWriter]


def insert_writer(table: Table, dialect: Dialect) -> TableWriter:
    names = [column.key for column in table.c]
    return TableWriter(
        table, insert(table).values({name: bindparam(name) for name in names}), dialect
    )


def replace_writer(table: Table, dialect: Dialect) -> TableWriter:
    """Return a writer that inserts rows, and replaces existing rows with the same primary key."""
    names = [column.key for column in table.c]
    # Import this here, because the dialect of PostgreSQL would take 30 ms of the start of a server
    # with SQLite.
    if dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        insertion: Any = sqlite.insert(table)
    else:
        from sqlalchemy.dialects import postgresql as dialect_of_postgresql

        insertion = dialect_of_postgresql.insert(table)
    statement = insertion.values({name: bindparam(name) for name in names})
    keys = [column.key for column in table.primary_key]
    changing = {name: statement.excluded[name] for name in names if name not in keys}
    upsert = statement.on_conflict_do_update(index_elements=keys, set_=changing)
    return TableWriter(table, upsert, dialect)


def update_writer(table: Table, dialect: Dialect) -> TableWriter:
    """Return a writer that finds rows by primary key, and updates all columns that may change.

    The update is idempotent.
    """
    keys = [column.key for column in table.primary_key]
    fixed = _FIXED[table.name].union(keys)
    changing = [column.key for column in table.c if column.key not in fixed]
    statement = (
        update(table)
        .where(and_(*(table.c[name] == bindparam(name) for name in keys)))
        .values({name: bindparam(name) for name in changing})
    )
    return TableWriter(table, statement, dialect)


def _plan_removals() -> tuple[Delete, Delete]:
    tasks, workers = tables.tasks, tables.workers
    is_task = workers.c.kind == literal_column(f"'{WorkerKind.TASK}'")
    return (
        delete(tasks).where(tasks.c.job_id == bindparam("job_id")),
        delete(workers).where(workers.c.job_id == bindparam("job_id"), is_task),
    )


class StateWriter:
    """The prepared statements that write a change.

    Each statement is compiled at its first use, because a short job needs only half of them.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._prepared: dict[tuple[Prepare, str], TableWriter] = {}

    @cached_property
    def _old_plans(self) -> Sequence[str]:
        return [str(each.compile(dialect=self._dialect)) for each in _plan_removals()]

    @cached_property
    def _dropped_attempts(self) -> str:
        columns = tables.attempts.primary_key.columns
        removal = delete(tables.attempts).where(*(each == bindparam(each.key) for each in columns))
        return str(removal.compile(dialect=self._dialect))

    def write(self, cursor: DBAPICursor, change: StateChange) -> None:
        for removal in self._old_plans if change.replaced_plans else ():
            cursor.executemany(removal, [(job_id,) for job_id in change.replaced_plans])
        if change.dropped_attempts:
            dropped = [(*key, number) for key, number in change.dropped_attempts]
            cursor.executemany(self._dropped_attempts, dropped)
        for prepare, table, values in _parts(change):
            if values:
                self._prepared_writer(prepare, table).run(cursor, values)

    def _prepared_writer(self, prepare: Prepare, table: Table) -> TableWriter:
        key = prepare, table.name
        if key not in self._prepared:
            self._prepared[key] = prepare(table, self._dialect)
        return self._prepared[key]


def _parts(change: StateChange) -> Iterator[tuple[Prepare, Table, Sequence[object]]]:
    """Yield the parts of a change: the kind of statement, the table, and the values to write.

    Referenced rows come before the rows that refer to them.
    """
    yield insert_writer, tables.jobs, change.new_jobs
    yield insert_writer, tables.tasks, [PlacedTask(*row) for row in change.new_tasks]
    yield insert_writer, tables.workers, change.new_workers
    yield update_writer, tables.jobs, change.jobs
    yield update_writer, tables.workers, change.workers
    # Replace existing rows, because a change without events may be written twice:
    # ``Connections._is_stored`` recognizes a stored change only by its first event.
    yield replace_writer, tables.attempts, change.new_attempts
    yield update_writer, tables.attempts, change.attempts
    yield insert_writer, tables.events, change.events
    yield replace_writer, tables.spent_days, change.spent_days
    yield replace_writer, tables.server_pause, [StoredPause(each) for each in change.pauses[-1:]]
    yield insert_writer, tables.deliveries, change.outbox


_in_tree = select(jobs.c.id).where(jobs.c.root_id == bindparam("root"))
#: Tables in the order of deletion: a row is deleted before the rows to which it refers.
_DELETIONS = (
    delete(deliveries).where(deliveries.c.root_id == bindparam("root")),
    delete(leases).where(leases.c.root_id == bindparam("root")),
    delete(events).where(events.c.root_id == bindparam("root")),
    delete(attempts).where(attempts.c.root_id == bindparam("root")),
    delete(workers).where(workers.c.root_id == bindparam("root")),
    delete(tasks).where(tasks.c.job_id.in_(_in_tree)),
    # Delete the deepest jobs first, because a child job refers to its parent job.
    delete(jobs).where(jobs.c.root_id == bindparam("root"), jobs.c.depth == bindparam("at_depth")),
)
_ended = select(jobs.c.id).where(jobs.c.id == bindparam("root"), jobs.c.status.in_(ENDED_JOB))
_depths = select(jobs.c.depth).where(jobs.c.root_id == bindparam("root")).distinct()


def delete_jobs(connection: Connection, root_ids: Collection[str]) -> None:
    """Delete the rows of each job tree in ``root_ids`` if its root job has ended.

    All other job trees stay unchanged.
    """
    for root_id in root_ids:
        if connection.execute(_ended, {"root": root_id}).first() is not None:
            _delete_rows(connection, root_id)


def _delete_rows(connection: Connection, root_id: str) -> None:
    depths = sorted(connection.scalars(_depths, {"root": root_id}), reverse=True)
    *other_deletions, job_deletion = _DELETIONS
    for deletion in other_deletions:
        connection.execute(deletion, {"root": root_id})
    for depth in depths:
        connection.execute(job_deletion, {"root": root_id, "at_depth": depth})
