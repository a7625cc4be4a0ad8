"""Database connections: one for writing, which stays open, and a pool for reading.

A read sees one snapshot of the database, and never waits for the writer. If commits need not be
durable at once, a background thread flushes several commits together.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError, TimeoutError

from orchestrator.core import failpoints
from orchestrator.core.errors import StoreAway, StoreError
from orchestrator.core.ports import StateChange
from orchestrator.store.database import database_lock, job_queries, postgresql
from orchestrator.store.database.state_writer import StateWriter

logger = logging.getLogger(__name__)

#: Seconds that a flush waits after the first commit, so that the flush includes further commits.
LATE_SECONDS = 0.02
#: Suffix of the name of SQLite's write-ahead log.
_LOG_SUFFIX = "-wal"


class DeferredSync:
    """Flushes SQLite's write-ahead log to the disk after commits that did not wait for the disk.

    Any thread may call. The background thread starts with the first ``request_flush``.
    """

    def __init__(self, database: str) -> None:
        # Follow links, because SQLite names its log after the target file of the links.
        self._path = os.path.realpath(database) + _LOG_SUFFIX
        self._due = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        #: Error number of the latest flush; None if the flush succeeded.
        self._logged_errno: int | None = None

    def request_flush(self) -> None:
        """Request that a new commit is flushed. Does not wait for the flush."""
        # If the event is set, the next flush has not begun yet, and will include this commit.
        if not self._due.is_set():
            self._due.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="late-sync", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Flush the remaining commits, and end the thread. Idempotent."""
        self._closed.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._due.wait()
            self._closed.wait(LATE_SECONDS)
            self._due.clear()
            self._sync()

    def _sync(self) -> None:
        try:
            # Open the log for each flush, because SQLite may have replaced the file.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            # Log an error only once, because every further flush fails until the disk works again.
            if self._logged_errno != error.errno:
                logger.warning("cannot write %s to the disk: %s", self._path, error.strerror)
            self._logged_errno = error.errno
        else:
            self._logged_errno = None


#: Seconds for which a writer waits for another program's lock.
LOCK_TIMEOUT = 10.0
#: Number of readers that stay connected, and maximum number of additional readers.
POOLED_READERS = 8
EXTRA_READERS = 56

#: When the write-ahead log has this number of pages (of 4 KiB), SQLite writes the pages to the
#: database file, and the supervisor waits. The number is large, so that a page that changes often
#: is written only once.
CHECKPOINT_PAGES = 4000

_WRITER_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    f"wal_autocheckpoint={CHECKPOINT_PAGES}",
)
_READER_PRAGMAS = ("query_only=ON",)
_SECOND_PRAGMAS = ("synchronous=NORMAL", f"wal_autocheckpoint={CHECKPOINT_PAGES}")

Result = TypeVar("Result")


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite file. The path may contain any characters."""
    return URL.create("sqlite", database=str(path)).render_as_string()


class Connections:
    """The connections to one database.

    Methods raise SQLAlchemyError or StoreError if the database cannot be used.
    """

    def __init__(self, url: URL, *, alone: bool) -> None:
        if url.get_backend_name() == "sqlite":
            _prepare_file(url)
            options, reader_options = _sqlite_options(), _sqlite_options()
        else:
            # Use positional parameters, as in SQLite, so that rows have the same form for both
            # databases.
            options = {"paramstyle": "format", "connect_args": postgresql.connection_arguments(url)}
            reader_options = {**options, "isolation_level": "REPEATABLE READ"}
        self.fence = postgresql.Fence()
        shared = {"hide_parameters": True}
        self._write_engine = create_engine(url, poolclass=NullPool, **shared, **options)
        # This engine connects only when the outbox uses it (``write_separately``).
        self._second_engine = create_engine(url, poolclass=NullPool, **shared, **options)
        self._second: Connection | None = None
        self._readers = create_engine(
            url,
            pool_size=POOLED_READERS,
            max_overflow=EXTRA_READERS,
            **shared,
            **reader_options,
        )
        if self._write_engine.dialect.name == "sqlite":
            _set_up_sqlite(self._write_engine, _WRITER_PRAGMAS, "BEGIN IMMEDIATE")
            _set_up_sqlite(self._readers, _READER_PRAGMAS, "BEGIN")
            _set_up_sqlite(self._second_engine, _SECOND_PRAGMAS, "BEGIN IMMEDIATE")
        elif alone:
            postgresql.lock_for_one_writer(self._write_engine, self.fence)
            postgresql.share_with_writer(self._second_engine, self.fence)
        self.writer = self._write_engine.connect()
        self._writings = StateWriter(self.writer.dialect)
        driver: Any = self.writer.dialect.loaded_dbapi
        self._driver_error = driver.Error
        self._lost_error = (driver.OperationalError, driver.InterfaceError)
        #: True if the latest commit may have succeeded, although its answer was lost.
        self._in_doubt = False
        #: True if a commit waits for the disk; None for PostgreSQL, whose configuration decides.
        self._waits: bool | None = None
        self._deferred_sync: DeferredSync | None = None
        if self.writer.dialect.name == "sqlite":
            self._waits, self._deferred_sync = True, DeferredSync(str(url.database))
        #: Handles of the locks on SQLite's file; empty before ``lock_file``.
        self._locks: list[int] = []

    def lock_file(self) -> None:
        """Lock SQLite's file for this server.

        Does nothing for PostgreSQL: the writer's connection locks the database.
        """
        if self._write_engine.dialect.name == "sqlite":
            self._locks = database_lock.acquire(str(self._write_engine.url.database))

    def write_separately(self, action: Callable[[Connection], object]) -> None:
        """Run an action in a transaction of a second connection, without waiting for the disk.

        One thread at a time may call. After an error, the next call opens a new connection.
        """
        if self._second is None:
            self._second = self._second_engine.connect()
        try:
            with self._second.begin():
                action(self._second)
        except BaseException:
            second, self._second = self._second, None
            second.close()
            raise

    def close(self) -> None:
        if self._deferred_sync is not None:
            self._deferred_sync.close()
        if self._second is not None:
            self._second.close()
        self._readers.dispose()
        # Close the writer last, because closing it moves the write-ahead log into the database.
        self.writer.close()
        self._write_engine.dispose()
        database_lock.release(self._locks)

    def write(self, change: StateChange) -> None:
        """Write a change completely or not at all.

        Idempotent: after a lost connection, the caller may repeat the call with the same change.
        """
        try:
            # Write through the driver, because SQLAlchemy is slower, and the supervisor waits for
            # this write in every turn.
            driver = self._driver()
            if not (self._in_doubt and self._is_stored(change)):
                self._wait_for_disk(driver, change.durable)
                self._write(driver, change)
        except self._driver_error as error:
            if postgresql.is_locked(error):
                raise DBAPIError(None, None, error) from error
            # The connection's state is unknown, so the next change uses a new connection.
            self.writer.invalidate()
            self._in_doubt |= isinstance(error, self._lost_error)
            self._waits = None if self._waits is None else True
            raise DBAPIError(None, None, error) from error
        self._in_doubt = False

    def _driver(self) -> Any:
        return self.writer.connection.driver_connection

    def _is_stored(self, change: StateChange) -> bool:
        """True if the change was stored before.

        Only the first event of the change is searched, because a change is always stored
        completely.
        """
        if not change.events:
            return False
        first_event = change.events[0]
        stored_events = self.read(
            lambda reader: job_queries.events(reader, first_event.root_id, first_event.seq - 1, 1)
        )
        return [(each.seq, each.kind, each.at) for each in stored_events] == [
            (first_event.seq, first_event.kind, first_event.at)
        ]

    def _write(self, driver: Any, change: StateChange) -> None:
        with closing(driver.cursor()) as cursor:
            if self._waits is not None:
                cursor.execute("BEGIN IMMEDIATE")
            try:
                self._writings.write(cursor, change)
            except BaseException:
                driver.rollback()
                raise
        failpoints.reached("store: before the commit")
        driver.commit()
        failpoints.reached("store: after the commit")
        if self._deferred_sync is not None and not change.durable:
            self._deferred_sync.request_flush()

    def durable_writer(self) -> Connection:
        """Return the writer's connection to the database, for one durable transaction.

        The commit of the next transaction waits until the transaction's data is on the disk.
        """
        try:
            self._wait_for_disk(self._driver(), True)
        except self._driver_error as error:
            raise DBAPIError(None, None, error) from error
        return self.writer

    def _wait_for_disk(self, driver: Any, durable: bool) -> None:
        """Set whether SQLite's next commits wait for the disk. ``durable``: True to wait.

        Does nothing for PostgreSQL.
        """
        if self._waits is None or self._waits is durable:
            return
        driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        self._waits = durable

    def read(self, query: Callable[[Connection], Result]) -> Result:
        """Return the result of ``query``. If the connection was lost, repeat the query once."""
        try:
            return self._read_once(query)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._read_once(query)

    def _read_once(self, query: Callable[[Connection], Result]) -> Result:
        with self._readers.connect() as connection:
            return query(connection)


def _sqlite_options() -> dict[str, Any]:
    # Several threads may use a connection, but only one at a time.
    return {"connect_args": {"timeout": LOCK_TIMEOUT, "check_same_thread": False}}


def _set_up_sqlite(engine: Engine, pragmas: Sequence[str], begin: str) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        # Begin each transaction explicitly. The driver would begin it only before the first write,
        # so that earlier reads would not be in the transaction.
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def _prepare_file(url: URL) -> None:
    """Create SQLite's file if necessary, accessible only for its owner.

    SQLite gives the same mode to the other files that it creates.
    """
    if not url.database or url.database == ":memory:":
        raise StoreError("an SQLite store needs a file: sqlite:////path/to/orchestrator.db")
    try:
        os.close(os.open(url.database, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(
            f"cannot open {url.database}: {error.strerror}; check the path and its permissions"
        ) from error


_NOT_A_DATABASE = (
    "{where} is not a database; restore a copy, or move the file away to start with an empty "
    "database"
)
_DAMAGED = (
    "{where} is damaged ({why}); restore a copy, or move the file away to start with an empty "
    "database"
)

#: Error texts by SQLite's primary result code.
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
SUPPORTED_URLS = "sqlite:////path/to/file and postgresql+psycopg://user@host/database"
_LOST = frozenset({"OperationalError", "InterfaceError"})


@contextmanager
def as_store_errors(where: str) -> Iterator[None]:
    """Raise StoreError instead of the exceptions of the database and its driver.

    ``where``: name of the database for error messages.
    """
    try:
        yield
    except (ImportError, NoSuchModuleError) as error:
        raise StoreError(
            f"cannot load the driver for {where} ({error}); supported: {SUPPORTED_URLS}"
        ) from error
    except SQLAlchemyError as error:
        kind = StoreAway if _is_temporary(error) else StoreError
        raise kind(_error_message(where, error)) from error


@contextmanager
def as_unreadable(where: str) -> Iterator[None]:
    """Raise StoreError instead of the exceptions that an invalid row causes.

    ``where``: name of the database for error messages.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        # The message does not blame this release, which can read every value that it writes.
        raise StoreError(
            f"{where} contains an unreadable value: {error}; the data is damaged, or a newer "
            "release wrote it"
        ) from error


def _is_temporary(error: SQLAlchemyError) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, TimeoutError):
        return True
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _SQLITE_MAY_PASS
    # Compare the names of the error's classes, because all drivers use the same names.
    return not _LOST.isdisjoint(kind.__name__ for kind in type(cause).__mro__)


def _error_message(where: str, error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    # Use only the first line: further lines of PostgreSQL contain the statement, and `/health` is
    # public.
    why = str(cause).strip().partition("\n")[0] or type(cause).__name__
    code = getattr(cause, "sqlite_errorcode", None)
    advice = _SQLITE_ADVICE.get(code & 0xFF) if isinstance(code, int) else None
    return (advice or "{where}: {why}").format(where=where, why=why)
