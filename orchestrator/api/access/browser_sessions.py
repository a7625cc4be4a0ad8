"""Browser sessions: a cookie replaces the API key on the pages of this server.

A session belongs to one API key. A session ends at the logout, at the removal of its key, 12 hours
after the latest call, or 7 days after the login. The sessions are stored in a file of the
workspace, so they survive a restart. The file contains only hashes, so that a reader of the file
cannot use the sessions.

A browser sends a cookie to every port of a host name. A page of another port could therefore use
the cookie for a change. To prevent this, a change also needs the session's token. The page keeps
the token in a storage that the browser separates by port.
"""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from orchestrator.core.errors import Unauthorized
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.untrusted_files import read_regular
from orchestrator.security.secrets.api_keys import hash_key

logger = logging.getLogger(__name__)

FILE_NAME = "sessions.json"
FILE_BYTES = 1024 * 1024
IDLE_SECONDS = 12 * 3600.0
LONGEST_SECONDS = 7 * 86400.0
TICKET_SECONDS = 60.0
#: Minimum seconds between two updates of a session's ``seen_at``, because each update writes the
#: file.
SEEN_SECONDS = 300.0
#: Maximum number of sessions. A further session ends the least recently used session.
MOST_SESSIONS = 1000
#: Maximum number of tickets. A further ticket ends the oldest ticket.
MOST_TICKETS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowserSession:
    """One login of one browser. Times are Unix times."""

    cookie_hash: str
    token_hash: str
    #: SHA-256 of the API key that the browser logged in with.
    key_hash: str
    created_at: float
    seen_at: float

    @property
    def expires_at(self) -> float:
        return min(self.seen_at + IDLE_SECONDS, self.created_at + LONGEST_SECONDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """A new session with its two secrets: cookie and token. The server stores only their hashes."""

    session: BrowserSession
    cookie: str
    token: str


class BrowserSessions:
    """All sessions and tickets of one server. Any thread may call each method."""

    def __init__(self, directory: Path | None, clock: Callable[[], float] = time.time) -> None:
        """``directory``: directory of the file with the sessions; None: no file is written.

        Without a file, all sessions end with the server.
        """
        self._path = directory / FILE_NAME if directory else None
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions = {each.cookie_hash: each for each in self._stored()}
        #: The hash of the API key and the time of expiry, by the hash of the ticket.
        self._tickets: dict[str, tuple[str, float]] = {}

    def start(self, key_hash: str) -> Login:
        """Start a session for the holder of an API key, and return it with its secrets."""
        now, cookie, token = self._clock(), secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        session = BrowserSession(
            cookie_hash=hash_key(cookie),
            token_hash=hash_key(token),
            key_hash=key_hash,
            created_at=now,
            seen_at=now,
        )
        with self._lock:
            self._sessions[session.cookie_hash] = session
            self._save(now)
        return Login(session=session, cookie=cookie, token=token)

    def find(self, cookie: str) -> BrowserSession:
        """Return the session of a cookie.

        Raise Unauthorized if the session has ended or never existed.
        """
        now = self._clock()
        with self._lock:
            session = self._sessions.get(hash_key(cookie))
            if session is None or session.expires_at <= now:
                raise Unauthorized("the browser session has ended; log in again")
            if now - session.seen_at >= SEEN_SECONDS:
                session = replace(session, seen_at=now)
                self._sessions[session.cookie_hash] = session
                self._save(now)
        return session

    def end(self, cookie: str) -> None:
        """End a session. Idempotent."""
        with self._lock:
            if self._sessions.pop(hash_key(cookie), None):
                self._save(self._clock())

    def issue_ticket(self, key_hash: str) -> tuple[str, float]:
        """Return a ticket for one login within 60 s, and its expiry as a Unix time."""
        ticket, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            valid = [item for item in self._tickets.items() if item[1][1] > now]
            self._tickets = dict(valid[-MOST_TICKETS + 1 :])
            self._tickets[hash_key(ticket)] = (key_hash, now + TICKET_SECONDS)
        return ticket, now + TICKET_SECONDS

    def redeem(self, ticket: str) -> str:
        """Invalidate a ticket, and return the hash of its API key.

        Raise Unauthorized if the ticket has expired or was used.
        """
        with self._lock:
            key_hash, expires_at = self._tickets.pop(hash_key(ticket), ("", 0.0))
        if expires_at <= self._clock():
            raise Unauthorized(
                f"the login ticket has expired or was used already; get another: {COMMAND} open"
            )
        return key_hash

    def _save(self, now: float) -> None:
        valid = sorted(
            (each for each in self._sessions.values() if each.expires_at > now),
            key=lambda each: each.seen_at,
        )[-MOST_SESSIONS:]
        self._sessions = {each.cookie_hash: each for each in valid}
        if self._path is None:
            return
        try:
            replace_file(self._path, json.dumps([asdict(each) for each in valid]).encode())
        except OSError as error:
            logger.warning(
                "cannot save browser sessions; browsers must log in again after a restart: %s",
                error,
            )

    def _stored(self) -> list[BrowserSession]:
        content = read_regular(self._path, FILE_BYTES) if self._path else None
        try:
            return [BrowserSession(**each) for each in json.loads(content or b"[]")]
        except (ValueError, TypeError, RecursionError) as error:
            logger.warning("cannot read browser sessions; browsers must log in again: %s", error)
            return []
