"""Lists of jobs: their conditions, and the fields of each job, such as progress and usage."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import WorkerKind, WorkerStatus
from orchestrator.core.ports import Page
from orchestrator.core.ports.read_models import (
    FirstFailure,
    JobFilter,
    ListedJob,
    ListedPage,
    StatusCount,
)
from orchestrator.store.database.job_queries import bounded, plain, tokens, values
from orchestrator.store.schema import tables
from orchestrator.store.schema.tables import INCOMPLETE, label_line, line_in

_jobs = tables.jobs.c


class PositionIn(FunctionElement[int]):
    """SQL function: the position (from 1) of a text in another text; 0 if the text is not found.

    The function distinguishes upper and lower case, unlike LIKE.
    """

    type = Integer()
    name = "place_in"
    inherit_cache = True


@compiles(PositionIn, "sqlite")
def _in_sqlite(element: PositionIn, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(PositionIn, "postgresql")
def _in_postgresql(element: PositionIn, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


def job_conditions(job_filter: JobFilter) -> list[ColumnElement[bool]]:
    """Return the SQL conditions of a filter. A job must match all conditions."""
    equal = (
        (_jobs.parent_job_id, job_filter.parent),
        (_jobs.root_id, job_filter.root),
        (_jobs.depth, job_filter.depth),
    )
    conditions: list[ColumnElement[bool]] = [
        column == value for column, value in equal if value is not None
    ]
    return [*conditions, *_other_conditions(job_filter)]


def _other_conditions(job_filter: JobFilter) -> Iterator[ColumnElement[bool]]:
    if job_filter.statuses:
        yield _jobs.status.in_(list(job_filter.statuses))
    if job_filter.submitted_by is not None:
        yield submitted_by(job_filter.submitted_by)
    if job_filter.since is not None:
        yield _jobs.created_at >= job_filter.since
    if job_filter.ids is not None:
        yield _jobs.id.in_(list(job_filter.ids))
    for name, value in job_filter.labels:
        yield has_text(_jobs.labels, line_in(label_line(name, value)))
    if job_filter.text:
        columns = (_jobs.request, _jobs.id)
        yield or_(*(has_text(lowered(each), lowered(job_filter.text)) for each in columns))


def submitted_by(name: str) -> ColumnElement[bool]:
    """Return the SQL condition for jobs whose root job was submitted by the caller ``name``."""
    return _jobs.root_id.in_(select(_jobs.id).where(_jobs.submitted_by == name))


def has_text(column: ColumnElement[Any], text: ColumnElement[Any] | str) -> ColumnElement[bool]:
    expression = _as_literal(text) if isinstance(text, str) else text
    return PositionIn(column, expression).op(">", return_type=Boolean())(0)


def lowered(text: ColumnElement[Any] | str) -> ColumnElement[Any]:
    """Return the SQL expression for a text in lower case, by the rules of the database."""
    expression = _as_literal(text) if isinstance(text, str) else text
    return func.lower(expression, type_=_jobs.request.type)


def _as_literal(text: str) -> ColumnElement[Any]:
    return literal(text, _jobs.request.type)


_workers = tables.workers.c
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
#: Maximum characters of the reason of a failure in a list.
_MOST_REASON = 200
_job_ids: Any = bindparam("job_ids", expanding=True)
_failed = and_(
    _workers.job_id.in_(_job_ids),
    _workers.kind == WorkerKind.TASK,
    _workers.status.in_([WorkerStatus.FAILED, WorkerStatus.TIMEOUT]),
)
_first = (
    select(_workers.job_id, func.min(_workers["index"]).label("index"))
    .where(_failed)
    .group_by(_workers.job_id)
    .subquery()
)
_first_failures = (
    select(
        _workers.job_id,
        _workers.id,
        func.substr(_workers.reason, 1, _MOST_REASON, type_=_workers.reason.type),
    )
    .join(_first, and_(_first.c.job_id == _workers.job_id, _first.c["index"] == _workers["index"]))
    .where(_failed)
)
_needy_workers = select(_workers.job_id).where(_workers.need.is_not(None))


def job_page(connection: Connection, job_filter: JobFilter, offset: int, limit: int) -> Page:
    columns = tables.value_columns(tables.jobs)
    jobs = values(connection, Job, _newest(columns, job_filter, offset, limit))
    return Page(jobs=jobs, total=_total(connection, job_filter))


def listed_page(
    connection: Connection, job_filter: JobFilter, offset: int, limit: int
) -> ListedPage:
    statement = _newest((_jobs.id, _jobs.root_id), job_filter, offset, limit)
    rows = connection.execute(statement)
    return ListedPage(
        jobs=[ListedJob._make(row) for row in rows], total=_total(connection, job_filter)
    )


def _newest(
    columns: Sequence[Column[Any]], job_filter: JobFilter, offset: int, limit: int
) -> Select[Any]:
    return (
        select(*columns)
        .where(*job_conditions(job_filter))
        .order_by(_jobs.created_at.desc(), _jobs.id.desc())
        .offset(bounded(offset))
        .limit(bounded(limit))
    )


def _total(connection: Connection, job_filter: JobFilter) -> int:
    counting = select(func.count()).select_from(tables.jobs).where(*job_conditions(job_filter))
    return connection.execute(counting).scalar_one()


def status_counts(
    connection: Connection, root_ids: Collection[str]
) -> dict[str, Sequence[StatusCount]]:
    """Return counts of workers by root job: one count for each job of the tree and each status.

    A count has the number of the job's workers with this status, and their usage. A root job
    without workers has an empty list.
    """
    counts: dict[str, list[StatusCount]] = {root_id: [] for root_id in root_ids}
    for row in connection.execute(_counts, {"root_ids": list(root_ids)}):
        root_id, job_id, status, number, cost, used, lacks_cost = row
        total = None if used is None else int(used)
        count = StatusCount(root_id, job_id, status, int(number), cost, total, bool(lacks_cost))
        counts[root_id].append(count)
    return dict(counts)


def first_failures(connection: Connection, job_ids: Collection[str]) -> dict[str, FirstFailure]:
    rows = connection.execute(_first_failures, {"job_ids": list(job_ids)})
    return {
        job_id: FirstFailure(worker_id, reason.partition("\n")[0])
        for job_id, worker_id, reason in rows
    }


def jobs_with_needs(
    connection: Connection, root_ids: Collection[str] | None, by: str | None
) -> list[tuple[Job, Sequence[Worker]]]:
    marked = or_(_jobs.needs != "", _jobs.id.in_(_needy_workers))
    statement = select(*tables.value_columns(tables.jobs)).where(marked)
    if root_ids is not None:
        statement = statement.where(_jobs.root_id.in_(list(root_ids)))
    if by is not None:
        statement = statement.where(submitted_by(by))
    jobs = values(connection, Job, statement)
    candidates: dict[str, list[Worker]] = defaultdict(list)
    for worker in (
        values(connection, Worker, _other_candidates([job.id for job in jobs])) if jobs else ()
    ):
        candidates[worker.job_id].append(worker)
    return [(job, candidates[job.id]) for job in jobs]


def _other_candidates(job_ids: Sequence[str]) -> Select[Any]:
    other = tables.workers.alias()
    same_task = and_(other.c.job_id == _workers.job_id, other.c.task_id == _workers.task_id)
    has_need = select(other.c.id).where(same_task, other.c.need.is_not(None)).exists()
    return (
        select(*tables.value_columns(tables.workers))
        .where(_workers.job_id.in_(job_ids), has_need)
        .order_by(_workers.job_id, _workers["index"])
    )
