"""Queries on the tables, with values of the core as results."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    func,
    select,
)

from orchestrator.core.events import Event, EventKind
from orchestrator.core.limits.quotas import DaySpent
from orchestrator.core.model.attempt.attempt_result import ESTIMATED, INCOMPLETE, Usage
from orchestrator.core.model.decisions.pause import Pause
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.states import ENDED_JOB, SUCCEEDED_WORKER, JobStatus, WorkerKind
from orchestrator.core.ports import Cost, StoreStats
from orchestrator.store.schema import tables

Value = TypeVar("Value")

#: Largest number that databases compare; callers may request any number.
MOST = 2**63 - 1

_UNFINISHED = [status for status in JobStatus if status not in ENDED_JOB]


def values(
    connection: Connection, kind: type[Value], statement: Select[Any], /, **given: object
) -> list[Value]:
    """Return the rows of a statement; its columns have the names of the fields of ``kind``."""
    found = connection.execute(statement, given)
    names = tuple(found.keys())
    return [kind(**dict(zip(names, row, strict=True))) for row in found]


def _first(found: Sequence[Value]) -> Value | None:
    return found[0] if found else None


def _by(table: Table, *names: str) -> Select[Any]:
    """Return rows whose columns equal the parameters of the same names."""
    return select(*tables.told(table)).where(
        and_(*(table.c[name] == bindparam(name) for name in names))
    )


_job = _by(tables.jobs, "id")
_idempotent = (
    _by(tables.jobs, "submitted_by", "idempotency_key")
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
_workers = _by(tables.workers, "job_id").where(_does_a_task).order_by(tables.workers.c["index"])
_planner = _by(tables.workers, "job_id").where(_is_planner)
_reviewers = (
    _by(tables.workers, "job_id").where(_is_reviewer).order_by(tables.workers.c["index"].desc())
)
_recent_results = (
    select(tables.workers.c.result)
    .where(tables.workers.c.agent == bindparam("agent"), _does_a_task)
    .where(tables.workers.c.status.in_(SUCCEEDED_WORKER), tables.workers.c.ended_at.is_not(None))
    .order_by(tables.workers.c.ended_at.desc())
    .limit(bindparam("most"))
)
_workers_in_tree = (
    _by(tables.workers, "root_id")
    .where(_does_a_task)
    .order_by(tables.workers.c.job_id, tables.workers.c["index"])
)
_worker = _by(tables.workers, "root_id", "id")
_attempts = _by(tables.attempts, "root_id", "worker_id").order_by(tables.attempts.c.number)
_attempts_of = (
    _by(tables.attempts, "root_id")
    .where(tables.attempts.c.worker_id.in_(bindparam("names", expanding=True)))
    .order_by(tables.attempts.c.worker_id, tables.attempts.c.number)
)
_attempt_by_token = _by(tables.attempts, "token_hash").where(tables.attempts.c.ended_at.is_(None))
_events = (
    _by(tables.events, "root_id")
    .where(tables.events.c.seq > bindparam("after"))
    .order_by(tables.events.c.seq)
    .limit(bindparam("most"))
)
_latest_event = (
    _by(tables.events, "root_id", "job_id", "kind").order_by(tables.events.c.seq.desc()).limit(1)
)
_day_spending = _by(tables.spent_days, "day")
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
    given = {"submitted_by": submitted_by, "idempotency_key": idempotency_key}
    return _first(values(connection, Job, _idempotent, **given))


def tasks(
    connection: Connection, job_id: str, names: Collection[str] | None = None
) -> list[TaskSpec]:
    if names is None:
        return list(connection.scalars(_tasks, {"job_id": job_id}))
    return list(connection.scalars(_named_tasks, {"job_id": job_id, "names": list(names)}))


def task(connection: Connection, job_id: str, task_id: str) -> TaskSpec | None:
    given = {"job_id": job_id, "task_id": task_id}
    found: TaskSpec | None = connection.execute(_task, given).scalars().first()
    return found


def workers(connection: Connection, job_id: str) -> list[Worker]:
    return values(connection, Worker, _workers, job_id=job_id)


def recent_usage(connection: Connection, agent: str, most: int) -> list[Usage]:
    found = connection.scalars(_recent_results, {"agent": agent, "most": bounded(most)})
    return [result.usage for result in found if result is not None]


def day_spending(connection: Connection, day: int) -> list[DaySpent]:
    return values(connection, DaySpent, _day_spending, day=day)


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
    """Return the attempt with a token. The empty token means "none" and matches no attempt."""
    if not token_hash:
        return None
    return _first(values(connection, Attempt, _attempt_by_token, token_hash=token_hash))


def events(connection: Connection, root_id: str, after: int, limit: int) -> list[Event]:
    given = {"root_id": root_id, "after": bounded(after), "most": bounded(limit)}
    return values(connection, Event, _events, **given)


def latest_event(
    connection: Connection, root_id: str, job_id: str, kind: EventKind
) -> Event | None:
    given = {"root_id": root_id, "job_id": job_id, "kind": kind}
    return _first(values(connection, Event, _latest_event, **given))


def is_read_only(connection: Connection) -> bool:
    """True if PostgreSQL is a standby, or set to read-only. SQLite fails at the first save
    instead.
    """
    if connection.dialect.name != "postgresql":
        return False
    return connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"


def unfinished(connection: Connection) -> list[str]:
    return list(connection.scalars(_unfinished))


def ended(connection: Connection, before: float, limit: int) -> Sequence[Job]:
    columns = tables.jobs.c
    statement = (
        select(*tables.told(tables.jobs))
        .where(columns.depth == 0, columns.status.in_(ENDED_JOB), columns.ended_at < before)
        .order_by(columns.ended_at.desc(), columns.id)
        .limit(bounded(limit))
    )
    return values(connection, Job, statement)


def pause(connection: Connection) -> Pause | None:
    return connection.execute(select(tables.server_pause.c.pause)).scalar()


def stats(connection: Connection) -> StoreStats:
    counting = select(func.count()).select_from(tables.attempts)
    found = connection.execute(_summary).all()
    workers: Counter[str] = Counter()
    for row in found:
        workers[row.status] += row.number
    marks = [row.cost_marks for row in found]
    known = [row.cost_usd for row in found if row.cost_usd is not None]
    return StoreStats(
        jobs={row.status: row.number for row in connection.execute(_jobs_by_status)},
        workers=dict(+workers),
        attempts=connection.execute(counting).scalar_one(),
        cost=Cost(
            usd=round(sum(known), 6) if known else None,
            estimated=any(each & ESTIMATED for each in marks),
            partial=any(each & INCOMPLETE for each in marks),
        ),
    )


def bounded(number: int) -> int:
    """Return the nearest number that a database compares with."""
    return max(0, min(number, MOST))
