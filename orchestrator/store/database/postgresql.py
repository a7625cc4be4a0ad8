"""PostgreSQL only: connection arguments, a lock for one writer, a fence for replaced servers."""

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Connection, Engine, event

from orchestrator.core.errors import StoreAway, StoreError
from orchestrator.store.database.database_lock import in_use

#: Settings with which the client library detects a lost database server. Times are in seconds, but
#: ``tcp_user_timeout`` is in milliseconds. ``keepalives_count`` is a number of probes. No probe is
#: sent while a statement waits for its answer. ``tcp_user_timeout`` ends this wait, which would
#: otherwise last about 15 minutes. The URL may set other values.
_TIMEOUTS: Mapping[str, int] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
#: The same timeouts for the database server, so that it releases the locks of a lost connection.
_SERVER_TIMEOUTS = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5"

#: The only encoding of PostgreSQL that has all characters.
_ENCODING = "UTF8"

#: Seconds for which a statement waits for a lock on a table or row; the URL may set another value.
LOCK_SECONDS = 3.0
#: PostgreSQL's error code for the timeout of a wait for a lock.
_LOCK_NOT_AVAILABLE = "55P03"

#: Maximum seconds to wait for the lock of a killed server. PostgreSQL releases this lock when the
#: killed server's last statement has ended.
PREDECESSOR_SECONDS = 10.0
_PAUSE_SECONDS = 0.1

#: Acquires the writer's lock, which the connection holds until it ends. Each schema of a database
#: is a separate store, and has a separate lock.
_ACQUIRE = "SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))"
#: Acquires a lock that several sessions can hold at the same time.
_SHARE = "SELECT pg_advisory_lock_shared(%s, hashtext(current_schema()))"
_KEY, _SECOND_KEY = 0x6F726368, 0x6F726369
#: Ends other sessions that hold the writer's lock or the shared lock. Returns a row for each
#: session.
_END = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid IN (%s, %s)
AND objid = hashtext(current_schema())::oid AND pid <> pg_backend_pid()
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def connection_arguments(url: URL, seconds: float = 0.0) -> dict[str, int | str]:
    """Return connection arguments: the encoding, and all timeouts except those that the URL sets.

    ``seconds``: time after which an unreachable database server is an error; 0: the default time.
    """
    query_options = url.query.get("options", "")
    url_options = query_options if isinstance(query_options, str) else " ".join(query_options)
    # If an option occurs twice, PostgreSQL uses the last value.
    options = f"-c lock_timeout={round(LOCK_SECONDS * 1000)} {url_options}".strip()
    timeouts = {name: value for name, value in _TIMEOUTS.items() if name not in url.query}
    if seconds:
        # The client library rounds a timeout of 1 s up to 2 s.
        timeouts |= {"connect_timeout": max(2, int(seconds))}
        timeouts |= {"tcp_user_timeout": round(seconds * 1000)}
    # A variable such as PGCLIENTENCODING may set an encoding that lacks characters.
    return {**timeouts, "options": options, "client_encoding": _ENCODING}


def check_encoding(connection: Connection, where: str) -> None:
    """Raise StoreError if the PostgreSQL database cannot store all characters.

    ``where``: name of the database for error messages.
    """
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != _ENCODING:
        raise StoreError(
            f"{where} has the encoding {encoding}; create a database with all characters: "
            f"createdb --encoding={_ENCODING} --template=template0 NAME"
        )


def is_locked(error: Exception) -> bool:
    """True if ``error`` means that a statement waited too long for a lock.

    After such an error, the connection is still usable.
    """
    return getattr(error, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def _still_held(where: str) -> StoreAway:
    return StoreAway(
        f"{where} has not closed this server's former connection; if this takes longer than a "
        "minute, stop other servers that use this database"
    )


class Fence:
    """Prevents writes by the sessions of a replaced server.

    The *epoch* is a number in the database. Each new server increments the epoch while it holds the
    writer's lock. Each new session for writing acquires a lock, and then checks the epoch.

    A server that replaces a lost server increments the epoch, and then ends all other sessions with
    such a lock (``end_writers``). A new session of the lost server fails its check. Therefore no
    session of a former epoch can commit, and a commit needs no check.
    """

    def __init__(self) -> None:
        #: The epoch that this server has claimed; None before the claim.
        self.epoch: int | None = None

    def check(self, connection: Any) -> None:
        """Raise StoreError if another server has claimed the database after this server."""
        if self.epoch is None:
            return
        row = connection.execute("SELECT epoch FROM server_lease").fetchone()
        if row is None or row[0] != self.epoch:
            raise StoreError(
                "another server has replaced this server, and uses the database now; stop that "
                "server before you start this server again"
            )


def lock_for_one_writer(engine: Engine, fence: Fence) -> None:
    """Make each new connection of the engine lock the database.

    A connection raises StoreError if another server holds the lock or has replaced this server.

    PostgreSQL grants the lock only when the connection of the former holder is closed. Therefore no
    change of the former holder can still arrive: its last changes are stored or lost. The lock also
    excludes a second server, which would run the same jobs again.
    """
    #: The first connection waits for the lock of a killed server. Later connections do not wait,
    #: because the caller repeats a failed write.
    seconds = [PREDECESSOR_SECONDS]

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        deadline = time.monotonic() + seconds[0]
        try:
            connection.execute(_SERVER_TIMEOUTS)
            while not connection.execute(_ACQUIRE, (_KEY,)).fetchone()[0]:
                if time.monotonic() >= deadline:
                    where = engine.url.render_as_string(hide_password=True)
                    raise in_use(where) if seconds[0] else _still_held(where)
                connection.rollback()
                time.sleep(_PAUSE_SECONDS)
            fence.check(connection)
            connection.commit()
        except BaseException:
            connection.close()
            raise
        seconds[0] = 0.0


def share_with_writer(engine: Engine, fence: Fence) -> None:
    """Allow the connections of the engine to write at the same time as the writer.

    Each connection acquires a shared lock and checks the fence. Another server may end these
    connections (``end_writers``).
    """

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        try:
            connection.execute(_SHARE, (_SECOND_KEY,))
            fence.check(connection)
            connection.commit()
        except BaseException:
            connection.close()
            raise


def end_writers(connection: Connection) -> None:
    """End the sessions with which a lost server could still write, and wait briefly for their end.

    Sessions of the same database user can be ended without further privileges. Raise
    SQLAlchemyError if the database rejects the call.
    """
    deadline = time.monotonic() + PREDECESSOR_SECONDS
    while connection.exec_driver_sql(_END, (_KEY, _SECOND_KEY)).fetchall():
        connection.rollback()
        if time.monotonic() >= deadline:
            return
        time.sleep(_PAUSE_SECONDS)
