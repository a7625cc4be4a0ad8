"""Deletes root jobs that have ended, with everything that belongs to them."""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, delete, select

from orchestrator.core.model.states import ENDED_JOB
from orchestrator.store.schema.tables import (
    attempts,
    deliveries,
    events,
    jobs,
    leases,
    tasks,
    workers,
)

_in_tree = select(jobs.c.id).where(jobs.c.root_id == bindparam("root"))
#: Referring rows come before the rows that they refer to.
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


def forget(connection: Connection, root_ids: Collection[str]) -> None:
    for root_id in root_ids:
        if connection.execute(_ended, {"root": root_id}).first() is not None:
            _forget(connection, root_id)


def _forget(connection: Connection, root_id: str) -> None:
    depths = sorted(connection.scalars(_depths, {"root": root_id}), reverse=True)
    *belongings, of_jobs = _DELETIONS
    for deletion in belongings:
        connection.execute(deletion, {"root": root_id})
    for depth in depths:
        connection.execute(of_jobs, {"root": root_id, "at_depth": depth})
