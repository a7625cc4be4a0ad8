"""Converts database errors to StoreError, with a message on how to fix them."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, TimeoutError

from orchestrator.core.errors import StoreAway, StoreError

_NOT_A_DATABASE = (
    "{where} is not a database; restore a copy, or move it away to start with an empty one"
)
_DAMAGED = "{where} is damaged ({why}); restore a copy, or move it away to start with an empty one"

#: By SQLite's primary result code.
_SQLITE_ADVICE: Mapping[int, str] = {
    sqlite3.SQLITE_BUSY: "{where} is locked by another program; stop that program",
    sqlite3.SQLITE_LOCKED: "{where} is locked by another program; stop that program",
    sqlite3.SQLITE_NOTADB: _NOT_A_DATABASE,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_FULL: "the disk of {where} is full; free disk space",
    sqlite3.SQLITE_READONLY: "cannot write to {where} ({why}); check its permissions",
    sqlite3.SQLITE_CANTOPEN: "cannot open {where} ({why}); check its directory",
}

_SQLITE_MAY_PASS = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}
)
_LOST = frozenset({"OperationalError", "InterfaceError"})


@contextmanager
def as_store_errors(where: str) -> Iterator[None]:
    """Convert exceptions of the database or its driver to StoreError."""
    try:
        yield
    except SQLAlchemyError as error:
        kind = StoreAway if _may_pass(error) else StoreError
        raise kind(_sentence(where, error)) from error
    except ImportError as error:
        raise StoreError(
            f"cannot load the driver for {where} ({error}); supported: "
            "sqlite:////path/to/file and postgresql+psycopg://user@host/database"
        ) from error


@contextmanager
def as_unreadable(where: str) -> Iterator[None]:
    """Convert exceptions from invalid rows to StoreError."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        # Rows contain only validated values, so the database is damaged.
        raise StoreError(f"{where} contains an unreadable value: {error}") from error


def in_use(where: str) -> StoreError:
    """Return the error for a database that another server uses. Two servers would run the same
    jobs twice.
    """
    return StoreError(
        f"another server uses {where}; stop it, or use another database (setting store.url)"
    )


def _may_pass(error: SQLAlchemyError) -> bool:
    """True if a retry may succeed."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, TimeoutError):
        return True
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _SQLITE_MAY_PASS
    # By the error's class name, which all drivers share.
    return not _LOST.isdisjoint(kind.__name__ for kind in type(cause).__mro__)


def _sentence(where: str, error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    # Only the first line: further lines of PostgreSQL quote the statement, and `/health` is
    # public.
    why = str(cause).strip().partition("\n")[0] or type(cause).__name__
    code = getattr(cause, "sqlite_errorcode", None)
    advice = _SQLITE_ADVICE.get(code & 0xFF) if isinstance(code, int) else None
    return (advice or "{where}: {why}").format(where=where, why=why)
