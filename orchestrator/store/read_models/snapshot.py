"""All rows of a root job at one moment, without documents."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    bindparam,
    case,
    func,
    select,
    type_coerce,
)

from orchestrator.core.model.states import WorkerKind
from orchestrator.core.ports.listings import JobNode, TaskRow, TreeSnapshot, WorkerColumns
from orchestrator.store.schema import tables
from orchestrator.store.schema.columns import names_of, restored

_jobs, _tasks, _workers = tables.jobs.c, tables.tasks.c, tables.workers.c
#: Characters of a job's request.
REQUEST_CHARACTERS = 300


def plain(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column as the text that is stored: for ten thousand rows, reading each value by
    its type takes longer than the query.
    """
    return type_coerce(column, Text).label(column.key)


def tokens() -> ColumnElement[Any]:
    """Return the tokens of a worker, as ``core.limits.budget.tokens`` counts them."""
    first, *others = (_workers.input_tokens, _workers.cache_write_tokens, _workers.output_tokens)
    total = sum((func.coalesce(part, 0) for part in others), func.coalesce(first, 0))
    known = func.coalesce(first, *others)
    return case((known.is_(None), None), else_=total).label("tokens")


def _idle_seconds() -> ColumnElement[Any]:
    """Return the seconds of a worker between its attempts; read only for workers with several."""
    attempts = tables.attempts.c
    latest = func.coalesce(attempts.ended_at, attempts.started_at)
    until = func.coalesce(_workers.ended_at, func.max(latest))
    idle = (
        select(until - _workers.started_at - func.sum(latest - attempts.started_at))
        .where(attempts.root_id == _workers.root_id, attempts.worker_id == _workers.id)
        .correlate(tables.workers)
        .scalar_subquery()
    )
    return case((_workers.attempt > 1, func.coalesce(idle, 0.0)), else_=0.0)


#: Also what a list by time subtracts.
IDLE_SECONDS = _idle_seconds()
JOB_COLUMNS = (
    _jobs.id,
    _jobs.parent_job_id,
    _jobs.parent_worker_id,
    _jobs.depth,
    plain(_jobs.status),
    func.substr(_jobs.request, 1, REQUEST_CHARACTERS, type_=_jobs.request.type),
    _jobs.created_at,
    _jobs.started_at,
    _jobs.run,
)
#: In the order of ``WorkerColumns``. Ids and agents are plain words.
WORKER_COLUMNS = (
    plain(_workers.id),
    plain(_workers.job_id),
    plain(_workers.task_id),
    _workers["index"].label("position"),
    plain(_workers.agent),
    plain(_workers.status),
    plain(_workers.reason),
    _workers.attempt,
    _workers.started_at,
    _workers.ended_at,
    IDLE_SECONDS.label("idle_seconds"),
    plain(_workers.child_job_ids),
    _workers.steps,
    tokens(),
    _workers.cost_usd,
    _workers.gates_passed,
    _workers.gates_failed,
    _workers.gates_not_run,
    _workers.files,
    plain(_workers.chosen),
)
_PLACE_OF_JOB, _PLACE_OF_INDEX = 1, 3

_root: Any = bindparam("root_id")
_of_jobs = (
    select(*JOB_COLUMNS)
    .where(_jobs.root_id == _root)
    .order_by(_jobs.depth, _jobs.created_at, _jobs.id)
)
_of_tasks = (
    select(plain(_tasks.job_id), plain(_tasks.id), plain(_tasks.title), plain(_tasks.depends_on))
    .join(tables.jobs, _jobs.id == _tasks.job_id)
    .where(_jobs.root_id == _root)
)
_of_workers = select(*WORKER_COLUMNS).where(
    _workers.root_id == _root, _workers.kind == WorkerKind.TASK
)
_last_seq = select(func.max(tables.events.c.seq)).where(tables.events.c.root_id == _root)


def snapshot(connection: Connection, root_id: str) -> TreeSnapshot | None:
    """Return the rows of a root job; None if it does not exist."""
    given = {"root_id": root_id}
    jobs = [JobNode._make(row) for row in connection.execute(_of_jobs, given)]
    if not jobs:
        return None
    place = {job.id: at for at, job in enumerate(jobs)}
    rows = connection.execute(_of_workers, given).fetchall()
    ordered = sorted(rows, key=lambda row: (place[row[_PLACE_OF_JOB]], row[_PLACE_OF_INDEX]))
    return TreeSnapshot(
        jobs=jobs,
        tasks=[
            TaskRow(job_id, name, restored(title), names_of(needed))
            for job_id, name, title, needed in connection.execute(_of_tasks, given).fetchall()
        ],
        workers=worker_columns(ordered),
        last_seq=last_seq(connection, root_id),
    )


def last_seq(connection: Connection, root_id: str) -> int:
    """Return the number of the latest event; 0: none."""
    return connection.execute(_last_seq, {"root_id": root_id}).scalar_one() or 0


def worker_columns(rows: Sequence[Any]) -> WorkerColumns:
    """Return rows of ``WORKER_COLUMNS`` column by column."""
    if not rows:
        return WorkerColumns(*([] for _ in WORKER_COLUMNS))
    found = WorkerColumns._make(zip(*rows, strict=True))
    names: Any = found.child_job_ids
    return found._replace(
        reason=[restored(text) for text in found.reason],
        child_job_ids=[names_of(text) for text in names],
        chosen=[None if each is None else bool(each) for each in found.chosen],
    )
