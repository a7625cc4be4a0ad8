"""The stored statements that create the tables match the tables' declarations."""

from orchestrator.store.schema.sqlite_statements import FILE, sqlite_statements


def test_the_file_has_the_statements_of_the_tables() -> None:
    assert FILE.read_text("utf-8") == sqlite_statements(), (
        "run .venv/bin/python -m orchestrator.store.schema.sqlite_statements"
    )
