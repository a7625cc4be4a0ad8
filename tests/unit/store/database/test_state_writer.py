"""The statements that write a change."""

import sqlite3

from sqlalchemy.dialects.sqlite import dialect

from orchestrator.store.database.state_writer import update_writer
from orchestrator.store.schema import tables
from orchestrator.store.schema.tables import metadata


def test_the_end_of_an_attempt_changes_no_index() -> None:
    """For each attempt, each changed index costs a page of the database's log."""
    indexed = {column.name for index in tables.attempts.indexes for column in index.columns}
    indexed |= {column.name for column in tables.attempts.primary_key}
    written = _written_columns("attempts")

    assert "token_hash" in indexed
    assert "exit" in written
    assert not indexed & written


def _written_columns(table: str) -> set[str]:
    """Return the columns that SQLite sets in an update of a row."""
    statement = str(update_writer(metadata.tables[table], dialect())._text)
    assignments = statement.partition(" SET ")[2].partition(" WHERE ")[0]
    assert sqlite3.complete_statement(f"{statement};")
    return {each.partition("=")[0].strip(' "') for each in assignments.split(",")}
