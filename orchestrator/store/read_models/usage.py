"""Usage of workers over time, by agent, model, day, job, or label."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    func,
    literal,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from orchestrator.core.model.states import SUCCEEDED_WORKER, WorkerKind
from orchestrator.core.ports.read_models import UsageBy, UsageFilter, UsageRow
from orchestrator.store.read_models.job_list import submitted_by
from orchestrator.store.schema import tables
from orchestrator.store.schema.column_types import unescape
from orchestrator.store.schema.tables import ESTIMATED, INCOMPLETE

_jobs, _tasks, _workers = tables.jobs.c, tables.tasks.c, tables.workers.c


class RoundedDown(FunctionElement[int]):
    """SQL function: rounds a number down to an integer."""

    type = Integer()
    name = "whole"
    inherit_cache = True


@compiles(RoundedDown, "sqlite")
def _in_sqlite(element: RoundedDown, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS INTEGER)"


@compiles(RoundedDown, "postgresql")
def _in_postgresql(element: RoundedDown, compiler: Any, **options: Any) -> str:
    return f"CAST(floor({compiler.process(element.clauses, **options)}) AS BIGINT)"


#: Time at which a worker's usage counts: the worker's end, or its start while it runs.
_at = func.coalesce(_workers.ended_at, _workers.started_at)
_is_task = _workers.kind == WorkerKind.TASK
_ended = and_(_is_task, _workers.ended_at.is_not(None))
_succeeded = and_(_is_task, _workers.status.in_(SUCCEEDED_WORKER))


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _sum_of_known(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.sum(func.coalesce(column, 0))


def _is_any_marked(bit: int) -> ColumnElement[int]:
    return func.max(_workers.cost_marks.op("&")(bit))


_FIGURES = (
    func.count(_workers.job_id.distinct()),
    _count_where(_is_task),
    _count_where(_ended),
    _count_where(_succeeded),
    _sum_of_known(_workers.input_tokens) + _sum_of_known(_workers.cache_write_tokens),
    _sum_of_known(_workers.output_tokens),
    _sum_of_known(_workers.cache_read_tokens),
    func.sum(_workers.cost_usd),
    _is_any_marked(ESTIMATED),
    _count_where(_workers.cost_marks.op("&")(INCOMPLETE) != 0),
)


def usage(connection: Connection, usage_filter: UsageFilter) -> Sequence[UsageRow]:
    rows = [_usage_row(*row) for row in connection.execute(_statement(usage_filter))]
    if usage_filter.by is UsageBy.LABEL:
        rows = _by_label(connection, rows, usage_filter.label)
    return sorted(rows, key=lambda row: (row.at or 0, row.key))


def _statement(usage_filter: UsageFilter) -> Select[Any]:
    bucket: ColumnElement[Any] = literal(None)
    if usage_filter.bucket_seconds:
        bucket = RoundedDown(_at / usage_filter.bucket_seconds)
    key = _KEYS.get(usage_filter.by, literal(""))
    statement = select(
        key.label("key"), bucket.label("bucket"), literal(usage_filter.bucket_seconds)
    )
    has_started = _workers.started_at.is_not(None)
    statement = statement.add_columns(*_FIGURES)
    statement = statement.where(has_started, *_conditions(usage_filter))
    if usage_filter.by is UsageBy.MODEL:
        same_task = and_(_tasks.job_id == _workers.job_id, _tasks.id == _workers.task_id)
        statement = statement.select_from(tables.workers.outerjoin(tables.tasks, same_task))
    return statement.group_by("key", "bucket")


_KEYS: dict[UsageBy, ColumnElement[Any]] = {
    UsageBy.AGENT: _workers.agent,
    # A worker of an earlier version, or without an ended attempt, has no model. In this case, the
    # model that the worker's task names counts.
    UsageBy.MODEL: func.coalesce(_workers.model, _tasks.model, ""),
    UsageBy.JOB: _workers.root_id,
    UsageBy.LABEL: _workers.root_id,
}


def _conditions(usage_filter: UsageFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if usage_filter.since is not None:
        conditions.append(_at >= usage_filter.since)
    if usage_filter.until is not None:
        conditions.append(_at < usage_filter.until)
    if usage_filter.submitted_by is not None:
        submitted_jobs = select(_jobs.id).where(submitted_by(usage_filter.submitted_by))
        conditions.append(_workers.job_id.in_(submitted_jobs))
    return conditions


def _usage_row(key: str, bucket: int | None, seconds: int, *figures: Any) -> UsageRow:
    jobs, workers, ended, succeeded, tokens_in, tokens_out, cache_read, *costs = figures
    cost, estimated, incomplete = costs
    return UsageRow(
        key=key,
        at=None if bucket is None else float(bucket * seconds),
        jobs=jobs,
        workers=int(workers),
        ended=int(ended),
        succeeded=int(succeeded),
        tokens_in=int(tokens_in),
        tokens_out=int(tokens_out),
        cache_read=int(cache_read),
        cost_usd=cost,
        estimated=bool(estimated),
        incomplete=int(incomplete),
    )


def _by_label(connection: Connection, rows: Iterable[UsageRow], name: str) -> list[UsageRow]:
    """Return the usage by value of the label ``name``: one row for each value and time.

    ``rows``: one row for each root job and time. A root job without the label has the value "".
    """
    labels = select(_jobs.id, _jobs.labels).where(_jobs.depth == 0, _jobs.labels != "")
    values = {job_id: _label_value(text, name) for job_id, text in connection.execute(labels)}
    groups: dict[tuple[str, float | None], list[UsageRow]] = defaultdict(list)
    for row in rows:
        groups[values.get(row.key, ""), row.at].append(row)
    return [_summed_row(key, at, group) for (key, at), group in groups.items()]


def _label_value(text: str, name: str) -> str:
    for line in unescape(text).strip("\n").split("\n"):
        label, _, value = str(json.loads(line)).partition(":")
        if label == name:
            return value
    return ""


def _summed_row(key: str, at: float | None, rows: Sequence[UsageRow]) -> UsageRow:
    costs = [row.cost_usd for row in rows if row.cost_usd is not None]
    return UsageRow(
        key=key,
        at=at,
        jobs=sum(row.jobs for row in rows),
        workers=sum(row.workers for row in rows),
        ended=sum(row.ended for row in rows),
        succeeded=sum(row.succeeded for row in rows),
        tokens_in=sum(row.tokens_in for row in rows),
        tokens_out=sum(row.tokens_out for row in rows),
        cache_read=sum(row.cache_read for row in rows),
        cost_usd=sum(costs) if costs else None,
        estimated=any(row.estimated for row in rows),
        incomplete=sum(row.incomplete for row in rows),
    )
