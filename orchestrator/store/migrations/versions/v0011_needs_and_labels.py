"""Adds the needs and labels of jobs as columns, so that lists can filter by them."""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from orchestrator.store.schema.column_types import escape, unescape

revision = "0011"
down_revision = "0010"

_ENDED = ("completed", "partial", "failed", "cancelled")
_DROPPED = ("user", "withdrawn", "parent")

_jobs = sa.table(
    "jobs",
    *map(sa.column, ("id", "root_id", "status", "stop_cause", "facts", "config")),
    *map(sa.column, ("needs", "labels")),
    sa.column("awaits_approval", sa.Boolean()),
)
_workers = sa.table(
    "workers",
    *map(sa.column, ("root_id", "id", "job_id", "status", "attempt", "depth", "result", "need")),
)


def upgrade() -> None:
    for name in ("needs", "labels"):
        empty = sa.text("''")
        text: sa.Column[str] = sa.Column(name, sa.Text(), nullable=False, server_default=empty)
        op.add_column("jobs", text)
    op.add_column("workers", sa.Column("need", sa.Text(), nullable=True))
    connection = op.get_bind()
    _set(connection, _jobs, ("id",), ("needs", "labels"), list(_job_rows(connection)))
    _set(connection, _workers, ("root_id", "id"), ("need",), list(_worker_rows(connection)))
    _index("ix_jobs_needs", "jobs", ["root_id"], "needs != ''")
    op.create_index("ix_tasks_labels", "tasks", ["job_id", "id", "title"])
    _index("ix_workers_need", "workers", ["job_id", "need"], "need IS NOT NULL")


def _index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def _set(
    connection: sa.Connection,
    table: sa.TableClause,
    keys: tuple[str, ...],
    names: tuple[str, ...],
    rows: list[tuple[str, ...]],
) -> None:
    change = (
        sa.update(table)
        .where(*(table.c[key] == sa.bindparam(f"key_{key}") for key in keys))
        .values({name: sa.bindparam(f"new_{name}") for name in names})
    )
    parameters = [*(f"key_{key}" for key in keys), *(f"new_{name}" for name in names)]
    if rows:
        connection.execute(change, [dict(zip(parameters, row, strict=True)) for row in rows])


def _job_rows(connection: sa.Connection) -> Iterator[tuple[str, ...]]:
    for row in connection.execute(sa.select(_jobs)):
        facts, config = _read(row.facts), _read(row.config)
        labels = [json.dumps(f"{name}:{value}") for name, value in _labels(config)]
        needs = list(_needs(row, facts))
        if labels or needs:
            yield row.id, _lines(needs), escape(_lines(labels))


def _labels(config: dict[str, Any]) -> list[tuple[str, str]]:
    labels = config.get("labels")
    return list(labels.items()) if isinstance(labels, dict) else []


def _needs(row: Any, facts: dict[str, Any]) -> Iterator[str]:
    ended = row.status in _ENDED
    if row.awaits_approval and not ended:
        yield "approval"
    missing = facts.get("missing") or ()
    unresolved = [each for each in missing if each.get("resolvable") and not each.get("chosen")]
    if ended and unresolved and not facts.get("discarded") and row.stop_cause not in _DROPPED:
        yield "conflict"


def _worker_rows(connection: sa.Connection) -> Iterator[tuple[str, ...]]:
    columns = _workers.c
    query = sa.select(columns.root_id, columns.id, columns.attempt, columns.result).where(
        columns.status == "failed", columns.depth == 0, columns.result.is_not(None)
    )
    for row in connection.execute(query):
        failures = _read(row.result).get("failures") or ()
        latest = failures[-1] if failures else {}
        if latest.get("cause") == "asked" and latest.get("attempt") == row.attempt:
            yield row.root_id, row.id, "asked"


def _read(text: str) -> dict[str, Any]:
    try:
        values = json.loads(unescape(text))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _lines(texts: list[str]) -> str:
    joined = "\n".join(texts)
    return f"\n{joined}\n" if joined else ""
