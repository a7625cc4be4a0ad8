"""Queries that return objects of ``core.model``, such as jobs, or rows of a job tree."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    func,
    select,
    type_coerce,
)

from orchestrator.core.events import Event, EventKind
from orchestrator.core.limits.key_costs_and_jobs import DailyCost
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.human_input.pause import Pause
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.states import ENDED_JOB, SUCCEEDED_WORKER, JobStatus, WorkerKind
from orchestrator.core.ports import Cost, StoreStats
from orchestrator.core.ports.read_models import JobNode, TaskRow, TreeSnapshot, WorkerColumns
from orchestrator.store.schema import tables
from orchestrator.store.schema.column_types import names_of, unescape
from orchestrator.store.schema.tables import ESTIMATED, INCOMPLETE

Value = TypeVar("Value")

#: Largest integer that all databases support. ``bounded`` replaces larger numbers with this number.
MOST = 2**63 - 1

_UNFINISHED = [status for status in JobStatus if status not in ENDED_JOB]


def values(
    connection: Connection, kind: type[Value], statement: Select[Any], /, **parameters: object
) -> list[Value]:
    """Return the rows of a statement as objects of ``kind``.

    The fields of ``kind`` have the names of the columns.
    """
    result = connection.execute(statement, parameters)
    names = tuple(result.keys())
    return [kind(**dict(zip(names, row, strict=True))) for row in result]


def _first(rows: Sequence[Value]) -> Value | None:
    return rows[0] if rows else None


def _rows_by(table: Table, *names: str) -> Select[Any]:
    return select(*tables.value_columns(table)).where(
        and_(*(table.c[name] == bindparam(name) for name in names))
    )


_job = _rows_by(tables.jobs, "id")
_idempotent = (
    _rows_by(tables.jobs, "submitted_by", "idempotency_key")
    .order_by(tables.jobs.c.created_at, tables.jobs.c.id)
    .limit(1)
)
_tasks = (
    select(tables.tasks.c.task)
    .where(tables.tasks.c.job_id == bindparam("job_id"))
    .order_by(tables.tasks.c.position)
)
_named_tasks = _tasks.where(tables.tasks.c.id.in_(bindparam("names", expanding=True)))
_task = select(tables.tasks.c.task).where(
    tables.tasks.c.job_id == bindparam("job_id"), tables.tasks.c.id == bindparam("task_id")
)
_is_planner = tables.workers.c.kind == WorkerKind.PLANNER
_is_reviewer = tables.workers.c.kind == WorkerKind.REVIEWER
_does_a_task = tables.workers.c.kind == WorkerKind.TASK
_workers = (
    _rows_by(tables.workers, "job_id").where(_does_a_task).order_by(tables.workers.c["index"])
)
_planner = _rows_by(tables.workers, "job_id").where(_is_planner)
_reviewers = (
    _rows_by(tables.workers, "job_id")
    .where(_is_reviewer)
    .order_by(tables.workers.c["index"].desc())
)
_recent_results = (
    select(tables.workers.c.result)
    .where(tables.workers.c.agent == bindparam("agent"), _does_a_task)
    .where(tables.workers.c.status.in_(SUCCEEDED_WORKER), tables.workers.c.ended_at.is_not(None))
    .order_by(tables.workers.c.ended_at.desc())
    .limit(bindparam("most"))
)
_workers_in_tree = (
    _rows_by(tables.workers, "root_id")
    .where(_does_a_task)
    .order_by(tables.workers.c.job_id, tables.workers.c["index"])
)
_worker = _rows_by(tables.workers, "root_id", "id")
_attempts = _rows_by(tables.attempts, "root_id", "worker_id").order_by(tables.attempts.c.number)
_attempts_of = (
    _rows_by(tables.attempts, "root_id")
    .where(tables.attempts.c.worker_id.in_(bindparam("names", expanding=True)))
    .order_by(tables.attempts.c.worker_id, tables.attempts.c.number)
)
_attempt_by_token = _rows_by(tables.attempts, "token_hash").where(
    tables.attempts.c.ended_at.is_(None)
)
_events = (
    _rows_by(tables.events, "root_id")
    .where(tables.events.c.seq > bindparam("after"))
    .order_by(tables.events.c.seq)
    .limit(bindparam("most"))
)
_latest_event = (
    _rows_by(tables.events, "root_id", "job_id", "kind")
    .order_by(tables.events.c.seq.desc())
    .limit(1)
)
_day_spending = _rows_by(tables.spent_days, "day")
_jobs_by_status = select(tables.jobs.c.status, func.count().label("number")).group_by(
    tables.jobs.c.status
)
_summary = select(
    tables.workers.c.status,
    tables.workers.c.cost_marks,
    func.count().filter(_does_a_task).label("number"),
    func.sum(tables.workers.c.cost_usd).label("cost_usd"),
).group_by(tables.workers.c.status, tables.workers.c.cost_marks)
_unfinished = (
    select(tables.jobs.c.id)
    .where(tables.jobs.c.status.in_(_UNFINISHED), tables.jobs.c.parent_worker_id.is_(None))
    .order_by(tables.jobs.c.created_at, tables.jobs.c.id)
)


def job(connection: Connection, job_id: str) -> Job | None:
    return _first(values(connection, Job, _job, id=job_id))


def idempotent(connection: Connection, submitted_by: str, idempotency_key: str) -> Job | None:
    parameters = {"submitted_by": submitted_by, "idempotency_key": idempotency_key}
    return _first(values(connection, Job, _idempotent, **parameters))


def tasks(
    connection: Connection, job_id: str, names: Collection[str] | None = None
) -> list[TaskSpec]:
    if names is None:
        return list(connection.scalars(_tasks, {"job_id": job_id}))
    return list(connection.scalars(_named_tasks, {"job_id": job_id, "names": list(names)}))


def task(connection: Connection, job_id: str, task_id: str) -> TaskSpec | None:
    parameters = {"job_id": job_id, "task_id": task_id}
    spec: TaskSpec | None = connection.execute(_task, parameters).scalars().first()
    return spec


def workers(connection: Connection, job_id: str) -> list[Worker]:
    return values(connection, Worker, _workers, job_id=job_id)


def recent_usage(connection: Connection, agent: str, most: int) -> list[Usage]:
    results = connection.scalars(_recent_results, {"agent": agent, "most": bounded(most)})
    return [result.usage for result in results if result is not None]


def day_spending(connection: Connection, day: int) -> list[DailyCost]:
    return values(connection, DailyCost, _day_spending, day=day)


def planner(connection: Connection, job_id: str) -> Worker | None:
    return _first(values(connection, Worker, _planner, job_id=job_id))


def reviewers(connection: Connection, job_id: str) -> list[Worker]:
    return values(connection, Worker, _reviewers, job_id=job_id)


def workers_in_tree(connection: Connection, root_id: str) -> list[Worker]:
    return values(connection, Worker, _workers_in_tree, root_id=root_id)


def worker(connection: Connection, key: WorkerKey) -> Worker | None:
    return _first(values(connection, Worker, _worker, root_id=key.root_id, id=key.worker_id))


def attempts(connection: Connection, key: WorkerKey) -> list[Attempt]:
    return values(connection, Attempt, _attempts, **key._asdict())


def attempts_of(connection: Connection, root_id: str, worker_ids: Collection[str]) -> list[Attempt]:
    return values(connection, Attempt, _attempts_of, root_id=root_id, names=list(worker_ids))


def attempt_by_token(connection: Connection, token_hash: str) -> Attempt | None:
    """Return the attempt whose token has the hash ``token_hash``; None if there is no such attempt.

    If the hash is empty, the result is None, because attempts without a token have an empty hash.
    """
    if not token_hash:
        return None
    return _first(values(connection, Attempt, _attempt_by_token, token_hash=token_hash))


def events(connection: Connection, root_id: str, after: int, limit: int) -> list[Event]:
    parameters = {"root_id": root_id, "after": bounded(after), "most": bounded(limit)}
    return values(connection, Event, _events, **parameters)


def latest_event(
    connection: Connection, root_id: str, job_id: str, kind: EventKind
) -> Event | None:
    parameters = {"root_id": root_id, "job_id": job_id, "kind": kind}
    return _first(values(connection, Event, _latest_event, **parameters))


def is_read_only(connection: Connection) -> bool:
    """True if a PostgreSQL database accepts no writes: it is a standby, or set to read-only.

    Always False for SQLite: if an SQLite database is read-only, the first write fails.
    """
    if connection.dialect.name != "postgresql":
        return False
    return connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"


def unfinished(connection: Connection) -> list[str]:
    return list(connection.scalars(_unfinished))


def ended(connection: Connection, before: float, limit: int) -> Sequence[Job]:
    columns = tables.jobs.c
    statement = (
        select(*tables.value_columns(tables.jobs))
        .where(columns.depth == 0, columns.status.in_(ENDED_JOB), columns.ended_at < before)
        .order_by(columns.ended_at.desc(), columns.id)
        .limit(bounded(limit))
    )
    return values(connection, Job, statement)


def pause(connection: Connection) -> Pause | None:
    return connection.execute(select(tables.server_pause.c.pause)).scalar()


def stats(connection: Connection) -> StoreStats:
    counting = select(func.count()).select_from(tables.attempts)
    rows = connection.execute(_summary).all()
    workers: Counter[str] = Counter()
    for row in rows:
        workers[row.status] += row.number
    marks = [row.cost_marks for row in rows]
    costs = [row.cost_usd for row in rows if row.cost_usd is not None]
    return StoreStats(
        jobs={row.status: row.number for row in connection.execute(_jobs_by_status)},
        workers=dict(+workers),
        attempts=connection.execute(counting).scalar_one(),
        cost=Cost(
            usd=round(sum(costs), 6) if costs else None,
            estimated=any(each & ESTIMATED for each in marks),
            partial=any(each & INCOMPLETE for each in marks),
        ),
    )


def bounded(number: int) -> int:
    """Return the number, limited to the range from 0 to MOST, which every database supports."""
    return max(0, min(number, MOST))


_job_columns, _task_columns, _worker_columns = tables.jobs.c, tables.tasks.c, tables.workers.c
#: Number of characters at the beginning of a job's request that ``JOB_COLUMNS`` has.
REQUEST_CHARACTERS = 300


def plain(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column that is read as its stored text.

    For ten thousand rows, the conversion to the column's type would take longer than the query.
    """
    return type_coerce(column, Text).label(column.key)


def tokens() -> ColumnElement[Any]:
    """Return the SQL expression for a worker's tokens, as ``usage_sums.tokens`` counts them."""
    first, *others = (
        _worker_columns.input_tokens,
        _worker_columns.cache_write_tokens,
        _worker_columns.output_tokens,
    )
    total = sum((func.coalesce(part, 0) for part in others), func.coalesce(first, 0))
    first_known = func.coalesce(first, *others)
    return case((first_known.is_(None), None), else_=total).label("tokens")


def _idle_seconds() -> ColumnElement[Any]:
    attempts = tables.attempts.c
    latest = func.coalesce(attempts.ended_at, attempts.started_at)
    until = func.coalesce(_worker_columns.ended_at, func.max(latest))
    idle = (
        select(until - _worker_columns.started_at - func.sum(latest - attempts.started_at))
        .where(
            attempts.root_id == _worker_columns.root_id, attempts.worker_id == _worker_columns.id
        )
        .correlate(tables.workers)
        .scalar_subquery()
    )
    return case((_worker_columns.attempt > 1, func.coalesce(idle, 0.0)), else_=0.0)


#: SQL expression for the seconds between a worker's attempts. Lists that are ordered by run time
#: subtract these seconds, because they are not run time.
IDLE_SECONDS = _idle_seconds()
JOB_COLUMNS = (
    _job_columns.id,
    _job_columns.parent_job_id,
    _job_columns.parent_worker_id,
    _job_columns.depth,
    plain(_job_columns.status),
    func.substr(_job_columns.request, 1, REQUEST_CHARACTERS, type_=_job_columns.request.type),
    _job_columns.created_at,
    _job_columns.started_at,
    _job_columns.run,
)
#: The columns are in the order of the fields of ``WorkerColumns``. Ids and agents' names are plain
#: words, and need no conversion.
WORKER_COLUMNS = (
    plain(_worker_columns.id),
    plain(_worker_columns.job_id),
    plain(_worker_columns.task_id),
    _worker_columns["index"].label("position"),
    plain(_worker_columns.agent),
    plain(_worker_columns.status),
    plain(_worker_columns.reason),
    _worker_columns.attempt,
    _worker_columns.started_at,
    _worker_columns.ended_at,
    IDLE_SECONDS.label("idle_seconds"),
    plain(_worker_columns.child_job_ids),
    _worker_columns.steps,
    tokens(),
    _worker_columns.cost_usd,
    _worker_columns.gates_passed,
    _worker_columns.gates_failed,
    _worker_columns.gates_not_run,
    _worker_columns.files,
    plain(_worker_columns.chosen),
)
#: Positions of columns in ``WORKER_COLUMNS``: the job's id, and the worker's index.
_JOB_POSITION, _INDEX_POSITION = 1, 3

_root: Any = bindparam("root_id")
_of_jobs = (
    select(*JOB_COLUMNS)
    .where(_job_columns.root_id == _root)
    .order_by(_job_columns.depth, _job_columns.created_at, _job_columns.id)
)
_of_tasks = (
    select(
        plain(_task_columns.job_id),
        plain(_task_columns.id),
        plain(_task_columns.title),
        plain(_task_columns.depends_on),
    )
    .join(tables.jobs, _job_columns.id == _task_columns.job_id)
    .where(_job_columns.root_id == _root)
)
_of_workers = select(*WORKER_COLUMNS).where(
    _worker_columns.root_id == _root, _worker_columns.kind == WorkerKind.TASK
)
_last_seq = select(func.max(tables.events.c.seq)).where(tables.events.c.root_id == _root)


def snapshot(connection: Connection, root_id: str) -> TreeSnapshot | None:
    parameters = {"root_id": root_id}
    jobs = [JobNode._make(row) for row in connection.execute(_of_jobs, parameters)]
    if not jobs:
        return None
    positions = {job.id: position for position, job in enumerate(jobs)}
    rows = connection.execute(_of_workers, parameters).fetchall()
    ordered = sorted(rows, key=lambda row: (positions[row[_JOB_POSITION]], row[_INDEX_POSITION]))
    return TreeSnapshot(
        jobs=jobs,
        tasks=[
            TaskRow(job_id, name, unescape(title), names_of(depends_on))
            for job_id, name, title, depends_on in connection.execute(
                _of_tasks, parameters
            ).fetchall()
        ],
        workers=worker_columns(ordered),
        last_seq=last_seq(connection, root_id),
    )


def last_seq(connection: Connection, root_id: str) -> int:
    return connection.execute(_last_seq, {"root_id": root_id}).scalar_one() or 0


def worker_columns(rows: Sequence[Any]) -> WorkerColumns:
    if not rows:
        return WorkerColumns(*([] for _ in WORKER_COLUMNS))
    columns = WorkerColumns._make(zip(*rows, strict=True))
    names: Any = columns.child_job_ids
    return columns._replace(
        reason=[unescape(text) for text in columns.reason],
        child_job_ids=[names_of(text) for text in names],
        chosen=[None if each is None else bool(each) for each in columns.chosen],
    )
