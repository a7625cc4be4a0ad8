"""The fields of each job in lists: progress, usage, and marks of needs."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, case, func, or_, select

from orchestrator.core.model.attempt.attempt_result import INCOMPLETE
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import WorkerKind
from orchestrator.core.ports import Page
from orchestrator.core.ports.listings import JobFilter, StatusCount
from orchestrator.store.queries import bounded, values
from orchestrator.store.read_models.job_filter import job_conditions, submitted_by
from orchestrator.store.read_models.snapshot import plain, tokens
from orchestrator.store.schema import tables

_jobs, _workers = tables.jobs.c, tables.workers.c
_named: Any = bindparam("root_ids", expanding=True)
_lacks_cost = func.max(_workers.cost_marks.op("&")(INCOMPLETE))
_does_a_task = case((_workers.kind == WorkerKind.TASK, 1), else_=0)
_counts = (
    select(
        plain(_workers.root_id),
        plain(_workers.job_id),
        plain(_workers.status),
        func.sum(_does_a_task),
        func.sum(_workers.cost_usd),
        func.sum(tokens()),
        _lacks_cost,
    )
    .where(_workers.root_id.in_(_named))
    .group_by(_workers.root_id, _workers.job_id, _workers.status)
)
_needy_workers = select(_workers.job_id).where(_workers.need.is_not(None))


def job_page(connection: Connection, wanted: JobFilter, offset: int, limit: int) -> Page:
    conditions = job_conditions(wanted)
    statement = (
        select(*tables.told(tables.jobs))
        .where(*conditions)
        .order_by(_jobs.created_at.desc(), _jobs.id.desc())
        .offset(bounded(offset))
        .limit(bounded(limit))
    )
    counting = select(func.count()).select_from(tables.jobs).where(*conditions)
    return Page(
        jobs=values(connection, Job, statement), total=connection.execute(counting).scalar_one()
    )


def status_counts(
    connection: Connection, root_ids: Collection[str]
) -> dict[str, Sequence[StatusCount]]:
    """Return the counts of every named root job, by root job; also of one without workers."""
    found: dict[str, list[StatusCount]] = {root_id: [] for root_id in root_ids}
    for row in connection.execute(_counts, {"root_ids": list(root_ids)}):
        root_id, job_id, status, number, cost, used, lacks = row
        total = None if used is None else int(used)
        counted = StatusCount(root_id, job_id, status, int(number), cost, total, bool(lacks))
        found[root_id].append(counted)
    return dict(found)


def needy(
    connection: Connection, root_ids: Collection[str] | None, by: str | None
) -> list[tuple[Job, Sequence[Worker]]]:
    """Return jobs that may have needs, with the workers of the tasks that have some.

    ``root_ids``: only these trees; None: all. ``by``: only jobs that this caller submitted.
    """
    marked = or_(_jobs.needs != "", _jobs.id.in_(_needy_workers))
    statement = select(*tables.told(tables.jobs)).where(marked)
    if root_ids is not None:
        statement = statement.where(_jobs.root_id.in_(list(root_ids)))
    if by is not None:
        statement = statement.where(submitted_by(by))
    jobs = values(connection, Job, statement)
    own: dict[str, list[Worker]] = defaultdict(list)
    for worker in values(connection, Worker, _rivals([job.id for job in jobs])) if jobs else ():
        own[worker.job_id].append(worker)
    return [(job, own[job.id]) for job in jobs]


def _rivals(job_ids: Sequence[str]) -> Select[Any]:
    """Return the workers of tasks that have a worker with a need."""
    other = tables.workers.alias()
    same = and_(other.c.job_id == _workers.job_id, other.c.task_id == _workers.task_id)
    needed = select(other.c.id).where(same, other.c.need.is_not(None)).exists()
    return (
        select(*tables.told(tables.workers))
        .where(_workers.job_id.in_(job_ids), needed)
        .order_by(_workers.job_id, _workers["index"])
    )
