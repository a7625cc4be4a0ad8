"""The leases of locks, as rows of the database.

A lease is active only while its attempt runs. Another table has one row with the greatest fencing
number. Each acquisition first increments this number. The update locks the row, so acquisitions run
one after another, also on PostgreSQL.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Transaction, and_, delete, exists, insert, or_, select, update
from sqlalchemy.sql import ColumnElement

from orchestrator.core import failpoints
from orchestrator.core.locks.lock_table import (
    EVERYTHING,
    Grant,
    LockLease,
    are_related,
    names_above,
    overlap,
)
from orchestrator.core.model.job import Attempt, WorkerKey
from orchestrator.store.schema.tables import attempts, lease_numbers, leases

_is_active = exists().where(
    attempts.c.root_id == leases.c.root_id,
    attempts.c.worker_id == leases.c.worker_id,
    attempts.c.number == leases.c.attempt,
    attempts.c.ended_at.is_(None),
)
_shown = [column for column in leases.c if column is not leases.c.passed_on]


def acquire(
    connection: Connection,
    transaction: Transaction,
    owner: Attempt,
    names: Sequence[str],
    at: float,
) -> Grant:
    """Acquire leases on all locks ``names`` for the attempt ``owner``, or on none of them.

    ``at``: the current time (Unix time). If leases of other workers block one of
    the locks, roll back ``transaction``, and return the blocking leases. Leases of the owner's
    ancestors and descendants do not block.
    """
    number = _next_number(connection)
    connection.execute(delete(leases).where(~_is_active))
    related = _related(connection, names)
    blocked_by = [lease for lease, _ in related if not are_related(lease.key, owner.key)]
    if blocked_by:
        transaction.rollback()
        return Grant(blocked_by=blocked_by)
    held = {lease.name: (lease, passed) for lease, passed in related if lease.key == owner.key}
    granted = [_grant(connection, held.get(name), owner, name, number, at) for name in names]
    _note_passed_on(connection, owner.key, (lease for lease, _ in related))
    failpoints.reached("store: leases before the commit")
    return Grant(leases=granted)


def release(connection: Connection, key: WorkerKey, names: Collection[str]) -> None:
    connection.execute(delete(leases).where(_held_by(key), leases.c.name.in_(names)))


def active(connection: Connection) -> Sequence[LockLease]:
    rows = connection.execute(select(*_shown).where(_is_active).order_by(leases.c.number))
    return [LockLease(**row._mapping) for row in rows]


def _next_number(connection: Connection) -> int:
    connection.execute(update(lease_numbers).values(last=lease_numbers.c.last + 1))
    number: int = connection.execute(select(lease_numbers.c.last)).scalar_one()
    return number


def _related(connection: Connection, names: Sequence[str]) -> list[tuple[LockLease, bool]]:
    """Return pairs with the leases on locks that overlap one of ``names``.

    The first value is the lease. The second value is True if another worker has acquired an
    overlapping lock since the lease was acquired. Only an ancestor or descendant of the holder can
    acquire such a lock.
    """
    statement = select(leases).where(_may_overlap(names))
    related = []
    for row in connection.execute(statement):
        values = dict(row._mapping)
        passed_on = bool(values.pop("passed_on"))
        # Compare again, because some databases ignore the case of letters in comparisons.
        if any(overlap(values["name"], name) for name in names):
            related.append((LockLease(**values), passed_on))
    return related


def _may_overlap(names: Sequence[str]) -> ColumnElement[bool]:
    if EVERYTHING in names:
        return leases.c.name.is_not(None)
    exact = {each for name in names for each in (name, *names_above(name))}
    below = [leases.c.name.startswith(f"{name}/", autoescape=True) for name in names]
    return or_(leases.c.name.in_(exact), *below)


def _grant(
    connection: Connection,
    held: tuple[LockLease, bool] | None,
    owner: Attempt,
    name: str,
    number: int,
    at: float,
) -> LockLease:
    """Return the lease of ``owner`` on one lock: its existing lease, or a new lease.

    ``held``: None if the owner has no lease; otherwise a pair. The first value is the existing
    lease. The second value is True if another worker has acquired an overlapping lock since then.
    If True, the existing lease gets the new ``number``; otherwise it stays unchanged. A new or
    changed lease is stored.
    """
    if held is not None and not held[1]:
        return held[0]
    if held is not None:
        condition = and_(_held_by(owner.key), leases.c.name == name)
        connection.execute(update(leases).where(condition).values(number=number, passed_on=0))
        return replace(held[0], number=number)
    lease = LockLease(
        name=name,
        number=number,
        root_id=owner.root_id,
        job_id=owner.job_id,
        worker_id=owner.worker_id,
        attempt=owner.number,
        taken_at=at,
    )
    values = {column.key: getattr(lease, column.key) for column in _shown}
    connection.execute(insert(leases).values(**values, passed_on=0))
    return lease


def _note_passed_on(connection: Connection, key: WorkerKey, related: Iterable[LockLease]) -> None:
    """Record that the worker ``key`` has acquired a lock that overlaps leases of other workers."""
    for lease in related:
        if lease.key != key:
            condition = and_(_held_by(lease.key), leases.c.name == lease.name)
            connection.execute(update(leases).where(condition).values(passed_on=1))


def _held_by(key: WorkerKey) -> ColumnElement[bool]:
    return and_(leases.c.root_id == key.root_id, leases.c.worker_id == key.worker_id)
