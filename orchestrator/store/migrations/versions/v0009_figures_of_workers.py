"""Adds figures of workers and tasks as columns, for lists of many workers or tasks."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from orchestrator.store.schema.column_types import escape, unescape

revision = "0009"
down_revision = "0008"

_HEADING_CHARACTERS = 80
#: First version of SQLite that can drop a column.
_DROPS_COLUMNS = (3, 35)

_USAGE = ("steps", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_COUNTS = ("gates_passed", "gates_failed", "gates_not_run", "files")
_FIGURES = (*_USAGE, *_COUNTS, "chosen")
_LABELS = ("id", "title", "model", "role", "depends_on")

_workers = sa.table(
    "workers",
    *map(sa.column, ("root_id", "id", "result", *_USAGE, *_COUNTS)),
    sa.column("chosen", sa.Boolean()),
)
_tasks = sa.table("tasks", *map(sa.column, ("job_id", "position", "task", *_LABELS)))


def upgrade() -> None:
    _add_columns()
    connection = op.get_bind()
    _fill(connection, _workers, ("root_id", "id"), "result", _FIGURES, _figures)
    _fill(connection, _tasks, ("job_id", "position"), "task", _LABELS, _labels)
    if connection.dialect.name == "sqlite" and sqlite3.sqlite_version_info >= _DROPS_COLUMNS:
        _move_results_to_the_end()


def _add_columns() -> None:
    for name in _USAGE:
        kind: Any = sa.Integer() if name == "steps" else sa.BigInteger()
        op.add_column("workers", sa.Column(name, kind, nullable=True))
    for name in _COUNTS:
        count = sa.Column(name, sa.Integer(), nullable=False, server_default="0")
        op.add_column("workers", count)
    op.add_column("workers", sa.Column("chosen", sa.Boolean(), nullable=True))
    for name in ("id", "title"):
        empty = sa.text("''")
        text: sa.Column[str] = sa.Column(name, sa.Text(), nullable=False, server_default=empty)
        op.add_column("tasks", text)
    for name in ("model", "role"):
        op.add_column("tasks", sa.Column(name, sa.Text(), nullable=True))
    names: sa.Column[str] = sa.Column("depends_on", sa.Text(), nullable=False, server_default="[]")
    op.add_column("tasks", names)


def _move_results_to_the_end() -> None:
    """Make ``result`` the last column of its table.

    Results are long, and SQLite reads a row from the beginning to the last column that it needs.
    """
    op.execute("ALTER TABLE workers RENAME COLUMN result TO result_before")
    op.execute("ALTER TABLE workers ADD COLUMN result TEXT")
    op.execute("UPDATE workers SET result = result_before")
    op.execute("ALTER TABLE workers DROP COLUMN result_before")


def _fill(
    connection: sa.Connection,
    table: sa.TableClause,
    keys: tuple[str, str],
    document: str,
    names: tuple[str, ...],
    figures: Callable[[dict[str, Any]], dict[str, object]],
) -> None:
    change = (
        sa.update(table)
        .where(*(table.c[key] == sa.bindparam(f"key_{key}") for key in keys))
        .values({name: sa.bindparam(f"new_{name}") for name in names})
    )
    rows = [
        {
            **_prefixed("key", dict(zip(keys, row, strict=False))),
            **_prefixed("new", figures(values)),
        }
        for row, values in _documents(connection, table, keys, document)
    ]
    if rows:
        connection.execute(change, rows)


def _prefixed(prefix: str, values: dict[str, object]) -> dict[str, object]:
    return {f"{prefix}_{name}": value for name, value in values.items()}


def _documents(
    connection: sa.Connection, table: sa.TableClause, keys: tuple[str, str], document: str
) -> Iterator[tuple[Any, dict[str, Any]]]:
    columns = [table.c[name] for name in (*keys, document)]
    for row in connection.execute(sa.select(*columns).where(table.c[document].is_not(None))):
        try:
            values = json.loads(unescape(row[2]))
        except ValueError:
            continue
        if isinstance(values, dict):
            yield row, values


def _figures(result: dict[str, Any]) -> dict[str, object]:
    usage, standing = result.get("usage") or {}, result.get("standing")
    outcomes = [_outcome(gate) for gate in result.get("gates") or ()]
    return {
        **{name: usage.get(name) for name in _USAGE},
        "gates_passed": outcomes.count("passed"),
        "gates_failed": outcomes.count("failed"),
        "gates_not_run": outcomes.count("did_not_run"),
        "files": len(result.get("files_created") or ()),
        "chosen": standing.get("place") == 1 if standing else None,
    }


def _outcome(gate: dict[str, Any]) -> str:
    if gate.get("status") == "failed":
        return "failed"
    unrun = gate.get("cause") or gate.get("status") in ("skipped", "broken")
    return "did_not_run" if unrun else "passed"


def _labels(task: dict[str, Any]) -> dict[str, object]:
    command = task.get("command") or ""
    words = " ".join(command) if isinstance(command, list) else command
    text = str(task.get("title") or task.get("prompt") or words)
    line = " ".join(text[: 4 * _HEADING_CHARACTERS].split())
    if len(line) > _HEADING_CHARACTERS:
        line = f"{line[: _HEADING_CHARACTERS - 3].rstrip()}..."
    return {
        "id": escape(str(task.get("id", ""))),
        "title": escape(line),
        **{name: escape(task[name]) if task.get(name) else None for name in ("model", "role")},
        "depends_on": escape(json.dumps(task.get("depends_on") or [], separators=(",", ":"))),
    }
