"""Pages of a job's workers, and sorted lists of workers in memory.

For a large job, sorting the workers in the database takes longer than reading a page of workers.
Therefore a sorted list is read from the database only once. Later, only changed workers are read.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
)

from orchestrator.core.model.job import WorkerKey
from orchestrator.core.model.states import WorkerKind, WorkerStatus
from orchestrator.core.ports import StateChange
from orchestrator.core.ports.read_models import (
    TaskLabel,
    WorkerFilter,
    WorkerOrder,
    WorkerPage,
    WorkerRow,
)
from orchestrator.store.database.job_queries import IDLE_SECONDS, WORKER_COLUMNS, worker_columns
from orchestrator.store.read_models.job_list import has_text, lowered
from orchestrator.store.schema import tables

_workers, _tasks = tables.workers.c, tables.tasks.c
#: Maximum number of sorted lists in memory. A list of 10,000 workers takes about 2 MB.
MOST_LISTS = 32
#: Maximum number of changed workers that are read by id. After more changes, all workers are read.
MOST_CHANGED = 1000

#: Sort key of a worker. The last item is the worker's id.
Entry = tuple[Any, ...]


class _Sorting(NamedTuple):
    columns: Sequence[ColumnElement[Any]]
    entry: Callable[[Sequence[Any]], Entry]


def _highest_first(row: Sequence[Any]) -> Entry:
    name, index, value = row[:3]
    return (value is None, 0 if value is None else -value, index, name)


#: Statuses in the order in which a person should check the workers.
_ATTENTION = (
    WorkerStatus.FAILED,
    WorkerStatus.TIMEOUT,
    WorkerStatus.WAITING,
    WorkerStatus.RUNNING,
    WorkerStatus.PENDING,
    WorkerStatus.CANCELLED,
    WorkerStatus.SKIPPED,
)
_attention = case(
    *((_workers.status == status, at) for at, status in enumerate(_ATTENTION)),
    else_=len(_ATTENTION),
)
_seconds = func.coalesce(_workers.ended_at, bindparam("now")) - _workers.started_at - IDLE_SECONDS
_SORTINGS: Mapping[WorkerOrder, _Sorting] = {
    WorkerOrder.INDEX: _Sorting((), lambda row: (row[1], row[0])),
    WorkerOrder.SECONDS: _Sorting((_seconds, _workers.ended_at), _highest_first),
    WorkerOrder.COST: _Sorting((_workers.cost_usd,), _highest_first),
    WorkerOrder.ATTENTION: _Sorting((_attention,), lambda row: (row[2], row[1], row[0])),
}


class SortedWorkers:
    """The sorted list of the workers that match a filter. Any thread may call."""

    def __init__(self, root_id: str, worker_filter: WorkerFilter) -> None:
        self._root_id = root_id
        self._filter = worker_filter
        self._sorting = _SORTINGS[worker_filter.order]
        #: True if changes of workers cannot change the list.
        self._is_fixed = worker_filter.order is WorkerOrder.INDEX and not (
            worker_filter.statuses or worker_filter.agents or worker_filter.text
        )
        self._read_lock = threading.Lock()
        #: The sorted workers; None before the first read, and after a failed read.
        self._entries: list[Entry] | None = None
        #: Workers that have not ended. Their run time grows.
        self._growing: set[str] = set()
        self._changes_lock = threading.Lock()
        self._changed: set[str] = set()

    def note(self, names: Iterable[str]) -> None:
        """Record changed workers. Call this only after the change was committed."""
        if not self._is_fixed:
            with self._changes_lock:
                self._changed.update(names)

    def page(
        self, connection: Connection, now: float, offset: int, limit: int
    ) -> tuple[list[str], int]:
        """Return the ids of the workers on a page, and the number of all workers that match.

        Call this before any other query in the connection's transaction.
        """
        with self._read_lock:
            entries = self._latest_entries(connection, now)
        return [entry[-1] for entry in entries[offset : offset + limit]], len(entries)

    def _latest_entries(self, connection: Connection, now: float) -> list[Entry]:
        # Fetch the changes before the read, so that the read includes all of them. A later change
        # is recorded for the next read.
        with self._changes_lock:
            changed, self._changed = self._changed, set()
        changed |= self._growing
        former, self._entries = self._entries, None
        if former is None or len(changed) > MOST_CHANGED:
            former, rows = [], self._read(connection, now, None)
        else:
            rows = self._read(connection, now, changed) if changed else []
        # Create a new list, because other threads may read the old list.
        entries = [entry for entry in former if entry[-1] not in changed] if changed else former
        if rows:
            entries += map(self._sorting.entry, rows)
            entries.sort()
        if self._filter.order is WorkerOrder.SECONDS and (rows or changed):
            self._growing = {row[0] for row in rows if row[3] is None and row[2] is not None}
        self._entries = entries
        return entries

    def _read(
        self, connection: Connection, now: float, names: set[str] | None
    ) -> Sequence[Sequence[Any]]:
        worker_filter, job_id = self._filter, _workers.job_id
        if names is None:
            conditions = [job_id == worker_filter.job_id]
        else:
            conditions = [_workers.root_id == self._root_id, _workers.id.in_(list(names))]
            # Put the column into an expression. Otherwise SQLite would use the column's index, and
            # read all workers of the job instead of the requested workers.
            conditions.append(func.coalesce(job_id, "") == worker_filter.job_id)
        statement = select(_workers.id, _workers["index"], *self._sorting.columns).where(
            *conditions, *_conditions(worker_filter)
        )
        parameters = {"now": now} if self._filter.order is WorkerOrder.SECONDS else {}
        return connection.execute(statement, parameters).all()


class SortedWorkerLists:
    """The sorted lists in memory.

    Any thread may call. The least recently used list is removed first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Lists by root job and filter. Other modules only check whether this mapping is empty.
        self.lists: OrderedDict[tuple[str, object], SortedWorkers] = OrderedDict()

    def of(self, root_id: str, worker_filter: WorkerFilter) -> SortedWorkers:
        """Return the sorted list for a filter. The filter must not contain a search text."""
        filters = map(frozenset, (worker_filter.statuses, worker_filter.agents))
        key = (root_id, (worker_filter.job_id, *filters, worker_filter.order))
        with self._lock:
            order = self.lists.get(key)
            if order is None:
                # Store the list before its first read, so that it records changes during the read.
                order = self.lists[key] = SortedWorkers(root_id, worker_filter)
                if len(self.lists) > MOST_LISTS:
                    self.lists.popitem(last=False)
            self.lists.move_to_end(key)
            return order

    def changed(self, change: StateChange) -> None:
        """Record changed workers. Call this only after the change was committed."""
        with self._lock:
            orders = list(self.lists.items())
        names: dict[str, set[str]] = {}
        for key in _changed_workers(change):
            names.setdefault(key.root_id, set()).add(key.worker_id)
        for (root_id, _), order in orders:
            if root_id in names:
                order.note(names[root_id])

    def drop(self, root_ids: Iterable[str]) -> None:
        """Remove the lists of root jobs that got or lost workers.

        Call this only after the change was committed.
        """
        dropped = set(root_ids)
        with self._lock:
            for key in [key for key in self.lists if key[0] in dropped]:
                del self.lists[key]

    def clear(self) -> None:
        with self._lock:
            self.lists.clear()


def _changed_workers(change: StateChange) -> Iterator[WorkerKey]:
    for worker in change.workers:
        yield worker.key
    # A worker's run time depends on its attempts.
    for attempt in (*change.new_attempts, *change.attempts):
        yield attempt.key
    for key, _ in change.dropped_attempts:
        yield key


def _conditions(worker_filter: WorkerFilter) -> list[ColumnElement[bool]]:
    conditions = [_workers.kind == WorkerKind.TASK]
    if worker_filter.statuses:
        conditions.append(_workers.status.in_(list(worker_filter.statuses)))
    if worker_filter.agents:
        conditions.append(_workers.agent.in_(list(worker_filter.agents)))
    if worker_filter.text:
        conditions.append(_mentions(worker_filter.text))
    return conditions


def _mentions(text: str) -> ColumnElement[bool]:
    lowered_text = lowered(text)
    columns = (_workers.id, _workers.task_id, _workers.reason)
    same_task = and_(_tasks.job_id == _workers.job_id, _tasks.id == _workers.task_id)
    is_in_title = exists().where(same_task, has_text(lowered(_tasks.title), lowered_text))
    return or_(*(has_text(lowered(column), lowered_text) for column in columns), is_in_title)


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
    """Return a page with the workers whose ids are ``names``, in this order.

    ``total``: the number of all workers that match. ``last_seq``: the number of the latest event.
    """
    rows = _rows_named(connection, root_id, names)
    return WorkerPage(
        workers=rows,
        labels=_labels_of(connection, job_id, {each.task_id for each in rows}),
        total=total,
        last_seq=last_seq,
    )


def _rows_named(connection: Connection, root_id: str, names: Sequence[str]) -> list[WorkerRow]:
    parameters = {"root_id": root_id, "names": list(names)}
    rows = connection.execute(_rows, parameters).fetchall() if names else []
    rows_by_name = {row[0]: WorkerRow._make(row) for row in zip(*worker_columns(rows), strict=True)}
    # A job may have been removed since its names were read.
    return [rows_by_name[name] for name in names if name in rows_by_name]


def _labels_of(connection: Connection, job_id: str, names: set[str]) -> dict[str, TaskLabel]:
    parameters = {"job_id": job_id, "names": sorted(names)}
    rows = connection.execute(_labels, parameters).fetchall() if names else ()
    return {name: TaskLabel(title, model, role) for name, title, model, role in rows}
