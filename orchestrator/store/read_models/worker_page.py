"""A page of a job's workers."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, exists, func, or_, select

from orchestrator.core.model.states import WorkerKind, WorkerStatus
from orchestrator.core.ports.read_models import (
    TaskLabel,
    WorkerFilter,
    WorkerOrder,
    WorkerPage,
    WorkerRow,
)
from orchestrator.store.queries import (
    IDLE_SECONDS,
    WORKER_COLUMNS,
    bounded,
    last_seq,
    worker_columns,
)
from orchestrator.store.read_models.job_list import has_text, lowered
from orchestrator.store.schema import tables

_workers, _tasks = tables.workers.c, tables.tasks.c
#: Statuses in the order by attention: those that a person should look at come first.
_ATTENTION = (
    WorkerStatus.FAILED,
    WorkerStatus.TIMEOUT,
    WorkerStatus.WAITING,
    WorkerStatus.RUNNING,
    WorkerStatus.PENDING,
    WorkerStatus.CANCELLED,
    WorkerStatus.SKIPPED,
)
_index = _workers["index"]
_attention = case(
    *((_workers.status == status, at) for at, status in enumerate(_ATTENTION)),
    else_=len(_ATTENTION),
)
_elapsed = func.coalesce(_workers.ended_at, bindparam("now")) - _workers.started_at
_seconds = _elapsed - IDLE_SECONDS
_ORDERS: dict[WorkerOrder, Sequence[ColumnElement[Any]]] = {
    WorkerOrder.INDEX: (_index,),
    WorkerOrder.SECONDS: (_seconds.desc().nulls_last(), _index),
    WorkerOrder.COST: (_workers.cost_usd.desc().nulls_last(), _index),
    WorkerOrder.ATTENTION: (_attention, _index),
}
_labels = select(_tasks.id, _tasks.title, _tasks.model, _tasks.role).where(
    _tasks.job_id == bindparam("job_id"), _tasks.id.in_(bindparam("names", expanding=True))
)


def ordered_ids(
    connection: Connection,
    wanted: WorkerFilter,
    now: float,
    offset: int = 0,
    limit: int | None = None,
) -> list[str]:
    """Return the ids of the workers that match, in order; ``limit`` None: all."""
    # Only the ids, because sorting whole rows of a large job takes twice as long.
    ordered = select(_workers.id).where(*_conditions(wanted)).order_by(*_ORDERS[wanted.order])
    if limit is not None:
        ordered = ordered.offset(bounded(offset)).limit(bounded(limit))
    given = {"now": now} if wanted.order is WorkerOrder.SECONDS else {}
    return list(connection.scalars(ordered, given))


def worker_page(
    connection: Connection,
    root_id: str,
    wanted: WorkerFilter,
    names: Sequence[str],
    total: int | None,
) -> WorkerPage:
    """Return the page of the workers ``names``; ``total``: the number of workers that match, if it
    is known.
    """
    found = _rows(connection, root_id, names)
    if total is None:
        counting = select(func.count()).select_from(tables.workers).where(*_conditions(wanted))
        total = connection.execute(counting).scalar_one()
    return WorkerPage(
        workers=found,
        labels=_labels_of(connection, wanted.job_id, {each.task_id for each in found}),
        total=total,
        last_seq=last_seq(connection, root_id),
    )


def _rows(connection: Connection, root_id: str, names: Sequence[str]) -> list[WorkerRow]:
    statement = select(*WORKER_COLUMNS).where(_workers.root_id == root_id, _workers.id.in_(names))
    rows = connection.execute(statement).fetchall() if names else []
    found = {row[0]: WorkerRow._make(row) for row in zip(*worker_columns(rows), strict=True)}
    # A job may have been removed since its names were read.
    return [found[name] for name in names if name in found]


def _conditions(wanted: WorkerFilter) -> list[ColumnElement[bool]]:
    found = [_workers.job_id == wanted.job_id, _workers.kind == WorkerKind.TASK]
    if wanted.statuses:
        found.append(_workers.status.in_(list(wanted.statuses)))
    if wanted.agents:
        found.append(_workers.agent.in_(list(wanted.agents)))
    if wanted.text:
        found.append(_mentions(wanted.text))
    return found


def _mentions(text: str) -> ColumnElement[bool]:
    """Return the condition that a worker, its task, or its reason has a text."""
    asked = lowered(text)
    own = (_workers.id, _workers.task_id, _workers.reason)
    same = and_(_tasks.job_id == _workers.job_id, _tasks.id == _workers.task_id)
    titled = exists().where(same, has_text(lowered(_tasks.title), asked))
    return or_(*(has_text(lowered(column), asked) for column in own), titled)


def _labels_of(connection: Connection, job_id: str, names: set[str]) -> dict[str, TaskLabel]:
    given = {"job_id": job_id, "names": sorted(names)}
    found = connection.execute(_labels, given) if names else ()
    return {name: TaskLabel(title, model, role) for name, title, model, role in found}
