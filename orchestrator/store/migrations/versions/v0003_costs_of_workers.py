"""Adds columns for the costs of workers, and an index for sums over all workers."""

import json
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

#: Beginning of the usage in a result's JSON. No string in the JSON contains this text, because
#: quotation marks in strings are escaped by a backslash.
_MARK = '"usage":{'
#: Maximum characters of a usage. Only these characters of a result are read.
_CHARACTERS = 600
_ESTIMATED, _INCOMPLETE = 1, 2

_workers = sa.table(
    "workers",
    *map(sa.column, ("root_id", "id", "cost_usd", "cost_marks")),
    sa.column("result", sa.Text()),
)


def upgrade() -> None:
    op.add_column("workers", sa.Column("cost_usd", sa.Double(), nullable=True))
    marks = sa.Column("cost_marks", sa.Integer(), nullable=False, server_default="0")
    op.add_column("workers", marks)
    connection = op.get_bind()
    change = (
        sa.update(_workers)
        .where(_workers.c.root_id == sa.bindparam("root"), _workers.c.id == sa.bindparam("name"))
        .values(cost_usd=sa.bindparam("usd"), cost_marks=sa.bindparam("marks"))
    )
    costs = list(_costs(connection))
    if costs:
        connection.execute(change, costs)
    summary = ["status", "cost_marks", "index", "cost_usd"]
    op.create_index("ix_workers_summary", "workers", summary)


def _costs(connection: sa.Connection) -> Iterator[dict[str, object]]:
    find = sa.func.instr if connection.dialect.name == "sqlite" else sa.func.strpos
    position = find(_workers.c.result, _MARK)
    usage = sa.func.substr(_workers.c.result, position + len(_MARK) - 1, _CHARACTERS)
    rows = connection.execute(
        sa.select(_workers.c.root_id, _workers.c.id, usage).where(position > 0)
    )
    for root, name, text in rows:
        usd, marks = _cost(text)
        if usd is not None or marks:
            yield {"root": root, "name": name, "usd": usd, "marks": marks}


def _cost(text: str) -> tuple[float | None, int]:
    try:
        usage, _ = json.JSONDecoder().raw_decode(text)
        usd = usage.pop("cost_usd", None)
    except (ValueError, AttributeError):
        return None, _INCOMPLETE
    estimated, partial = usage.pop("cost_estimated", False), usage.pop("partial", False)
    has_usage = any(value is not None for value in usage.values())
    is_incomplete = partial or (usd is None and has_usage)
    return usd, _ESTIMATED * bool(usd is not None and estimated) + _INCOMPLETE * bool(is_incomplete)
