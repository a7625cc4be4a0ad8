"""PostgreSQL only: statement timeouts, and one writer at a time."""

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Engine, event

from orchestrator.store.database.file_lock import in_use

#: Timeouts of the client library, after which a silent database server counts as lost. All are
#: seconds, except the number of probes in ``keepalives_count``. The URL may set other values.
_PATIENCE: Mapping[str, int] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
#: The same timeouts on the server, so that it releases the locks of a lost connection.
_PATIENCE_OF_SERVER = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5"

#: Seconds for which a statement waits for a lock on a table or row; the URL may set another value.
LOCK_SECONDS = 3.0
#: PostgreSQL's error code for this timeout.
_LOCK_NOT_AVAILABLE = "55P03"

#: Maximum seconds to wait for the lock of a server that was killed: PostgreSQL releases the lock
#: when that server's last statement has ended.
PREDECESSOR_SECONDS = 10.0
_PAUSE_SECONDS = 0.1

#: Acquires the lock, which is held for as long as the connection exists. Each schema of a database
#: has its own lock, because it is a separate store.
_TAKE = "SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))"
_KEY = 0x6F726368


def patience(url: URL) -> dict[str, int | str]:
    """Return arguments for the connection that set all timeouts except those that the URL sets."""
    given = url.query.get("options", "")
    of_url = given if isinstance(given, str) else " ".join(given)
    # The last option takes precedence.
    options = f"-c lock_timeout={round(LOCK_SECONDS * 1000)} {of_url}".strip()
    limits = {name: value for name, value in _PATIENCE.items() if name not in url.query}
    return {**limits, "options": options}


def is_locked(error: Exception) -> bool:
    """True if a statement waited too long for a lock. The connection is still usable."""
    return getattr(error, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def take_for_one_writer(engine: Engine) -> None:
    """Make each connection of the engine lock the database when it is opened. Raises StoreError.

    PostgreSQL grants the lock only after it has closed the previous connection. By then, that
    connection's last changes are stored or lost. The lock also keeps out a second server, which
    would run the same jobs again.
    """
    #: The first connection waits for the lock of a server that was killed. Later connections do not
    #: wait, because the caller repeats a failed write.
    seconds = [PREDECESSOR_SECONDS]

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        deadline = time.monotonic() + seconds[0]
        try:
            connection.execute(_PATIENCE_OF_SERVER)
            while not connection.execute(_TAKE, (_KEY,)).fetchone()[0]:
                if time.monotonic() >= deadline:
                    raise in_use(engine.url.render_as_string(hide_password=True))
                connection.rollback()
                time.sleep(_PAUSE_SECONDS)
            connection.commit()
        except BaseException:
            connection.close()
            raise
        seconds[0] = 0.0
