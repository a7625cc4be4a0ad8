"""A page of a job's workers."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from orchestrator.core.ports.read_models import TaskLabel, WorkerPage, WorkerRow
from orchestrator.store.job_queries import WORKER_COLUMNS, worker_columns
from orchestrator.store.schema import tables

_workers, _tasks = tables.workers.c, tables.tasks.c
_names: Any = bindparam("names", expanding=True)
_rows = select(*WORKER_COLUMNS).where(
    _workers.root_id == bindparam("root_id"), _workers.id.in_(_names)
)
_labels = select(_tasks.id, _tasks.title, _tasks.model, _tasks.role).where(
    _tasks.job_id == bindparam("job_id"), _tasks.id.in_(_names)
)


def worker_page(
    connection: Connection,
    root_id: str,
    job_id: str,
    names: Sequence[str],
    *,
    total: int,
    last_seq: int,
) -> WorkerPage:
    """Return a page with the workers ``names``. ``total``: the number of all workers that match."""
    found = _named(connection, root_id, names)
    return WorkerPage(
        workers=found,
        labels=_labels_of(connection, job_id, {each.task_id for each in found}),
        total=total,
        last_seq=last_seq,
    )


def _named(connection: Connection, root_id: str, names: Sequence[str]) -> list[WorkerRow]:
    given = {"root_id": root_id, "names": list(names)}
    rows = connection.execute(_rows, given).fetchall() if names else []
    found = {row[0]: WorkerRow._make(row) for row in zip(*worker_columns(rows), strict=True)}
    # A job may have been removed since its names were read.
    return [found[name] for name in names if name in found]


def _labels_of(connection: Connection, job_id: str, names: set[str]) -> dict[str, TaskLabel]:
    given = {"job_id": job_id, "names": sorted(names)}
    found = connection.execute(_labels, given).fetchall() if names else ()
    return {name: TaskLabel(title, model, role) for name, title, model, role in found}
