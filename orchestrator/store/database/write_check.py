"""Checks that a server could read and write a database, without changing the database."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import URL, Connection, NullPool, create_engine, event, text

from orchestrator.core.errors import StoreError
from orchestrator.store.database import job_queries, postgresql
from orchestrator.store.database.migrate import check_known, create, revisions_of

#: Maximum seconds to wait for another program's lock, and for PostgreSQL.
LOCK_SECONDS = 2.0
#: Changes a row to the same value.
_WRITE = text("UPDATE alembic_version SET version_num = version_num")


def check_writable(url: URL, where: str) -> None:
    """Write to the database in a transaction that is rolled back.

    ``where``: name of the database for error messages. Raise StoreError if a newer release created
    the database, or if a PostgreSQL database is read-only or cannot store all characters. Raise
    SQLAlchemyError if the database cannot be written for another reason.
    """
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, **_options(url))
    if engine.dialect.name == "sqlite":
        _begin_explicitly(engine)
    with engine.connect() as connection:
        transaction = connection.begin()
        try:
            _write(connection, where)
        finally:
            transaction.rollback()


def _write(connection: Connection, where: str) -> None:
    if job_queries.is_read_only(connection):
        raise StoreError(f"{where} is read-only; make the database writable")
    if connection.dialect.name == "postgresql":
        postgresql.check_encoding(connection, where)
    revisions = revisions_of(connection)
    if revisions:
        check_known(connection, where, revisions)
        connection.execute(_WRITE)
    else:
        create(connection)


def _options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": LOCK_SECONDS}}
    return {"connect_args": postgresql.connection_arguments(url, LOCK_SECONDS)}


def _begin_explicitly(engine: Any) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Sequence[object]) -> None:
        # The driver itself would begin no transaction before the first write.
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
