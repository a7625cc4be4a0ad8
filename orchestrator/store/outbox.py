"""The stored outbox: messages to external receivers, with the results of their deliveries.

``SqlStore.save`` adds entries. Results are written through a separate connection, so that the
supervisor's thread does not wait for these writes.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, and_, bindparam, func, select, update

from orchestrator.core import failpoints
from orchestrator.core.ports.outbox import EntryFilter, EntryPage, EntryState, OutboxEntry
from orchestrator.store.database import job_queries
from orchestrator.store.schema.tables import deliveries

Result = TypeVar("Result")

_columns = deliveries.c
_is_pending = _columns.state == EntryState.PENDING
_CHANGING = ("due_at", "state", "attempts", "last_status", "last_error", "answer", "done_at")
_record = (
    update(deliveries)
    .where(
        _columns.root_id == bindparam("of_root"),
        _columns.seq == bindparam("of_seq"),
        _columns.endpoint == bindparam("of_endpoint"),
    )
    .values({name: bindparam(name) for name in _CHANGING})
)


class SqlOutbox:
    """The outbox in the SQL database; implements core.ports.outbox.OutboxStore."""

    def __init__(
        self,
        read: Callable[[Callable[[Connection], Any]], Any],
        write: Callable[[Callable[[Connection], object]], None],
    ) -> None:
        """``read`` runs a query. ``write`` runs a function in a transaction."""
        self._read = read
        self._write = write
        self._lock = threading.Lock()

    def due(self, now: float, busy: Collection[str], limit: int) -> Sequence[OutboxEntry]:
        statement = (
            select(deliveries)
            .where(_is_pending, _columns.due_at <= now, _columns.endpoint.not_in(list(busy)))
            .order_by(_columns.due_at, _columns.id)
            .limit(limit)
        )
        return self._entries(statement)

    def next_due(self) -> float | None:
        statement = select(func.min(_columns.due_at)).where(_is_pending)
        due_at: float | None = self._read(lambda connection: connection.scalar(statement))
        return due_at

    def pending(self, endpoint: str, root_id: str) -> Sequence[OutboxEntry]:
        condition = and_(_is_pending, _columns.endpoint == endpoint, _columns.root_id == root_id)
        return self._entries(select(deliveries).where(condition).order_by(_columns.seq))

    def record(self, entries: Sequence[OutboxEntry]) -> None:
        rows = [
            {
                "of_root": each.root_id,
                "of_seq": each.seq,
                "of_endpoint": each.endpoint,
                **{name: getattr(each, name) for name in _CHANGING},
            }
            for each in entries
        ]
        failpoints.reached("outbox: before the record")
        self._change(lambda connection: connection.execute(_record, rows))

    def fail_pending(self, endpoint: str, error: str, now: float) -> None:
        statement = (
            update(deliveries)
            .where(_is_pending, _columns.endpoint == endpoint)
            .values(state=EntryState.FAILED, last_error=error, done_at=now)
        )
        self._change(lambda connection: connection.execute(statement))

    def entry(self, entry_id: str) -> OutboxEntry | None:
        # An id has the form PREFIX_ROOT_SEQ_NAME. Search by the root job's id, too, because the
        # table has no index of ids, but the primary key begins with the root job's id.
        parts = entry_id.split("_", 3)
        if len(parts) < 4:
            return None
        condition = and_(_columns.root_id == parts[1], _columns.id == entry_id)
        return next(iter(self._entries(select(deliveries).where(condition))), None)

    def page(self, entry_filter: EntryFilter, offset: int, limit: int) -> EntryPage:
        conditions = [
            column == value
            for column, value in (
                (_columns.endpoint, entry_filter.endpoint),
                (_columns.state, entry_filter.state),
            )
            if value
        ]
        if entry_filter.job_id:
            is_of_job = (_columns.job_id == entry_filter.job_id) | (
                _columns.root_id == entry_filter.job_id
            )
            conditions.append(is_of_job)
        rows = select(deliveries).where(*conditions)
        total = select(func.count()).select_from(deliveries).where(*conditions)
        latest = rows.order_by(_columns.created_at.desc(), _columns.id.desc())
        return EntryPage(
            entries=self._entries(latest.offset(job_queries.bounded(offset)).limit(limit)),
            total=self._read(lambda connection: connection.scalar(total)),
        )

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        statement = select(_columns.endpoint, _columns.state, func.count()).group_by(
            _columns.endpoint, _columns.state
        )
        counts: dict[str, dict[str, int]] = {}
        for endpoint, state, number in self._read(
            lambda connection: connection.execute(statement).all()
        ):
            counts.setdefault(endpoint, {})[str(state)] = number
        return counts

    def _entries(self, statement: Select[Any]) -> Sequence[OutboxEntry]:
        entries: Sequence[OutboxEntry] = self._read(
            lambda connection: job_queries.values(connection, OutboxEntry, statement)
        )
        return entries

    def _change(self, action: Callable[[Connection], object]) -> None:
        with self._lock:
            self._write(action)
