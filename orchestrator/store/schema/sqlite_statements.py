"""Writes ``sqlite.sql``, the file with the statements that create all tables in SQLite.

Run it with ``python -m orchestrator.store.schema.sqlite_statements``.
"""

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from sqlalchemy import ExecutableDDLElement
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from orchestrator.store.schema.tables import metadata

FILE = Path(__file__).with_name("sqlite.sql")


def sqlite_statements() -> str:
    return "\n".join(map(_text, _elements()))


def _elements() -> Iterator[ExecutableDDLElement]:
    for table in metadata.sorted_tables:
        yield CreateTable(table)
        yield from map(CreateIndex, sorted(table.indexes, key=attrgetter("name")))


def _text(element: ExecutableDDLElement) -> str:
    text = str(element.compile(dialect=sqlite.dialect())).strip().expandtabs(2)
    return "\n".join(map(str.rstrip, text.splitlines())) + ";\n"


if __name__ == "__main__":
    FILE.write_text(sqlite_statements(), "utf-8")
