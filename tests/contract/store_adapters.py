"""The databases with which the contract of the store is tested."""

import atexit
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.store import sqlite_url

ADAPTERS = ("sqlite", "postgresql")
#: Empty databases to reuse, because creating a database takes longer than most tests.
UNUSED: list[str] = []
LOCAL_POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432"


@contextmanager
def database(adapter: str, directory: Path) -> Iterator[str]:
    """Return the URL of an empty database, which only this block uses."""
    if adapter == "sqlite":
        yield sqlite_url(directory / "orchestrator.db")
        return
    server = make_url(os.environ.get("ORCHESTRATOR_TEST_POSTGRES", LOCAL_POSTGRES))
    admin = server.render_as_string(hide_password=False)
    name = UNUSED.pop() if UNUSED else create_database(admin)
    url = server.set(database=name).render_as_string(hide_password=False)
    yield url
    administer(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    administer(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    UNUSED.append(name)


def create_database(admin: str) -> str:
    """Create a database, and return its name. The end of the process removes the database."""
    name = f"orchestrator_test_{secrets.token_hex(6)}"
    administer(admin, f"CREATE DATABASE {name}")
    atexit.register(administer, admin, f"DROP DATABASE {name} WITH (FORCE)")
    return name


def administer(url: str, statement: str) -> None:
    """Run a statement as administrator. Skip the test if the server or the driver is missing."""
    pytest.importorskip("psycopg")
    options = {"connect_timeout": 3}
    engine = create_engine(
        url, isolation_level="AUTOCOMMIT", poolclass=NullPool, connect_args=options
    )
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    except SQLAlchemyError as error:
        pytest.skip(f"cannot use the PostgreSQL server: {error}")
