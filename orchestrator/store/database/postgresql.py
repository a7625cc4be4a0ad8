"""What only a database on a server needs: an end to waiting for it, and one writer at a time."""

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Engine, event

from orchestrator.store.database.errors import in_use

#: Of the client library, in seconds: after these a server that says nothing more is given up.
#: The URL may say otherwise.
_PATIENCE: Mapping[str, int] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
#: The same on the other side: what a lost connection holds there is free again after these.
_PATIENCE_OF_SERVER = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5"

#: So long a statement waits for somebody's lock on a table or row; the URL may say otherwise.
LOCK_SECONDS = 3.0
#: PostgreSQL's word for that.
_LOCK_NOT_AVAILABLE = "55P03"

#: Seconds in which what an earlier server had sent comes to its end.
PREDECESSOR_SECONDS = 10.0
_PAUSE_SECONDS = 0.1

#: For as long as the connection lasts; each schema of a database is a store of its own.
_TAKE = "SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))"
_KEY = 0x6F726368


def patience(url: URL) -> dict[str, int | str]:
    """Arguments of a connection."""
    given = url.query.get("options", "")
    of_url = given if isinstance(given, str) else " ".join(given)
    # The last word counts.
    options = f"-c lock_timeout={round(LOCK_SECONDS * 1000)} {of_url}".strip()
    limits = {name: value for name, value in _PATIENCE.items() if name not in url.query}
    return {**limits, "options": options}


def is_locked(error: Exception) -> bool:
    """Whether a statement had to wait for a lock too long; the connection is as good as before."""
    return getattr(error, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def take_for_one_writer(engine: Engine) -> None:
    """Have each connection take the database before it is used. Raises StoreError.

    It gets it when the one before is gone on the server too: what that had sent is stored by then,
    or never will be. And a second server, which would run the same jobs once more, gets it never.
    """
    #: The first connection waits for a server that was killed; later ones are tried again.
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
