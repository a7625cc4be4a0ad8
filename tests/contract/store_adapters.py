"""The databases that the contract of the store is tested on."""

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
LOCAL_POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432"


@contextmanager
def database(adapter: str, directory: Path) -> Iterator[str]:
    """The URL of an empty database, which is removed afterwards."""
    if adapter == "sqlite":
        yield sqlite_url(directory / "orchestrator.db")
        return
    server = make_url(os.environ.get("ORCHESTRATOR_TEST_POSTGRES", LOCAL_POSTGRES))
    name = f"orchestrator_test_{secrets.token_hex(6)}"
    administer(server.render_as_string(hide_password=False), f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        administer(
            server.render_as_string(hide_password=False), f"DROP DATABASE {name} WITH (FORCE)"
        )


def administer(url: str, statement: str) -> None:
    """Run a statement as administrator. Skip the test without a server or a driver."""
    pytest.importorskip("psycopg")
    options = {"connect_timeout": 3}
    engine = create_engine(
        url, isolation_level="AUTOCOMMIT", poolclass=NullPool, connect_args=options
    )
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    except SQLAlchemyError as error:
        pytest.skip(f"no PostgreSQL server answers: {error}")
