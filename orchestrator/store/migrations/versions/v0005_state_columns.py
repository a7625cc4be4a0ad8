"""Adds columns for states that earlier releases stored only in the wording of a reason."""

import json
import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from orchestrator.store.schema.column_types import unescape

revision = "0005"
down_revision = "0004"

# Reasons that releases before this migration have stored. Never change these texts.
_NOT_MERGED = "what its workers changed could not be merged when it ended"
_NOT_MERGED_END = re.compile(r"; orchestrator retry \S+ tries that again$")
_LEFT_OUT = "not in the result: "
_MANUAL = re.compile(r"^(?P<names>\S+(?:, \S+)*) \(merge_strategy: manual\)$")
_LACKS = re.compile(
    r"^(?P<part>in part )?(?P<name>\w+)(?:, for conflicts in (?P<paths>.+)|: (?P<why>.+))?$", re.S
)
_BUDGET_LIMITS = ("max_steps", "max_tokens", "max_cost_usd")

_jobs = sa.table(
    "jobs",
    *map(sa.column, ("id", "status", "reason", "plan_source", "cancelled_by", "parent_worker_id")),
    *map(sa.column, ("stop_cause", "merge_state", "facts")),
    sa.column("awaits_approval", sa.Boolean()),
)
_workers = sa.table("workers", *map(sa.column, ("index", "kind")))


def upgrade() -> None:
    _add_columns()
    index = _workers.c["index"]
    op.execute(sa.update(_workers).where(index == -1).values(kind="planner"))
    op.execute(sa.update(_workers).where(index < -1).values(kind="reviewer"))
    connection = op.get_bind()
    change = (
        sa.update(_jobs)
        .where(_jobs.c.id == sa.bindparam("job"))
        .values({name: sa.bindparam(f"new_{name}") for name in _NEW})
    )
    rows = list(_new_values(connection))
    if rows:
        connection.execute(change, rows)


_NEW = ("stop_cause", "merge_state", "awaits_approval", "facts")


def _add_columns() -> None:
    op.add_column("jobs", sa.Column("stop_cause", sa.Text(), nullable=True))
    for name, default in (("merge_state", "none"), ("facts", "{}")):
        column = sa.Column(name, sa.Text(), nullable=False, server_default=default)
        op.add_column("jobs", column)
    approval: sa.Column[bool] = sa.Column(
        "awaits_approval", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("jobs", approval)
    kind = sa.Column("kind", sa.Text(), nullable=False, server_default="task")
    op.add_column("workers", kind)
    op.add_column("workers", sa.Column("waiting_for", sa.Text(), nullable=True))
    op.drop_index("ix_workers_summary", "workers")
    op.create_index("ix_workers_summary", "workers", ["status", "cost_marks", "kind", "cost_usd"])
    op.drop_index("ix_workers_ended", "workers")
    ended = sa.text("ended_at IS NOT NULL")
    columns = ["agent", "ended_at", "status", "kind"]
    op.create_index(
        "ix_workers_ended", "workers", columns, sqlite_where=ended, postgresql_where=ended
    )


def _new_values(connection: sa.Connection) -> Iterator[dict[str, object]]:
    columns = _jobs.c
    query = sa.select(*(columns[name] for name in _READ)).where(
        sa.or_(columns.reason != "", columns.cancelled_by.is_not(None))
    )
    for row in connection.execute(query):
        values = {
            "stop_cause": _stop_cause(row.cancelled_by, row.parent_worker_id),
            "awaits_approval": row.status == "planning" and row.reason == "waits for approval",
        }
        reason = unescape(row.reason)
        values["merge_state"], facts = _merging(row.id, reason)
        if row.plan_source == "none":
            facts["plan_error"] = reason
        # The JSON is ASCII: ``dumps`` escapes all characters that a database cannot store.
        values["facts"] = json.dumps(facts)
        yield {"job": row.id, **{f"new_{name}": values[name] for name in _NEW}}


_READ = ("id", "status", "reason", "plan_source", "cancelled_by", "parent_worker_id")


def _stop_cause(by: str | None, parent_worker_id: str | None) -> str | None:
    if by is None:
        return None
    if by.startswith("max_wall_seconds"):
        return "wall_time"
    if by.startswith(_BUDGET_LIMITS):
        return "limit"
    if by == parent_worker_id:
        return "withdrawn"
    return "user" if by.startswith("the caller (key ") or parent_worker_id is None else "parent"


def _merging(job_id: str, reason: str) -> tuple[str, dict[str, Any]]:
    if reason.startswith(_NOT_MERGED):
        error = _NOT_MERGED_END.sub("", reason.removeprefix(_NOT_MERGED)).removeprefix(": ")
        return "failed", {"merge_error": error}
    if reason.startswith(_LEFT_OUT):
        return "in_part", {"missing": list(_missing(job_id, reason.removeprefix(_LEFT_OUT)))}
    return "none", {}


def _missing(job_id: str, text: str) -> Iterator[dict[str, object]]:
    """Yield each unmerged worker that ``text`` names, with the reason.

    If a part of the text cannot be parsed, yield this part as the name of a worker.
    """
    manual = _MANUAL.match(text)
    names = manual["names"].split(", ") if manual else ()
    for name in names:
        yield {"worker_id": name, "job_id": job_id, "why": "merge_strategy: manual"}
    for each in () if manual else text.split("; "):
        match = _LACKS.match(each)
        why = f"conflict in {match['paths']}" if match and match["paths"] else ""
        yield {
            "worker_id": match["name"] if match else each,
            "job_id": job_id,
            "why": why or (match["why"] if match and match["why"] else ""),
            "in_part": bool(match and match["part"]),
        }
