"""Callers of the API: who calls, by API key or browser session, and how often a caller may call.

Keys, failed logins, and triggers have rate limits.
"""

import hmac
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from http import HTTPStatus
from math import ceil

from flask import Request, current_app, g, request

from orchestrator.api.access.audit import CALLER, READING
from orchestrator.api.access.browser_sessions import BrowserSession, BrowserSessions
from orchestrator.api.http.problems import ProblemError, limit_fields
from orchestrator.api.options import ApiOptions
from orchestrator.core.dataclass import dataclass
from orchestrator.core.errors import Unauthorized
from orchestrator.core.model.submission import Caller
from orchestrator.engine.service.service import Service
from orchestrator.security.secrets.keys import hash_key

KEY_HEADER = "X-API-Key"
#: Proves that a change comes from the page that logged in, and not from another port's page.
TOKEN_HEADER = "X-Session-Token"
LONGEST_SHOWN_BODY = 1000
#: Calls that create work.
SUBMISSIONS = frozenset({"job_control.orchestrate", "job_control.retry_job", "tasks.create_task"})
CHALLENGE = 'ApiKey realm="orchestrator", header="X-API-Key", Bearer realm="orchestrator"'


def service() -> Service:
    found: Service = current_app.extensions["orchestrator.service"]
    return found


def caller() -> Caller:
    """Return the caller of the current request. Call ``authenticate`` first."""
    known: Caller = g.caller
    return known


def authenticate() -> None:
    """Identify the caller, before any other part of the request is read.

    Raises a 401 for an unknown caller, a 403 for a change by a read-only key or without a session's
    token, and a 429 at a rate limit.
    """
    if request.method == "OPTIONS":
        return  # the answer contains only the allowed methods
    identify()
    reads = request.method in READING
    if not reads:
        service().access.check_change(g.caller)
    check_rate(caller().full_name, reads=reads, submits=request.endpoint in SUBMISSIONS)


def identify() -> None:
    """Identify the caller, and check nothing else.

    Raise a 401 for an unknown caller, and a 403 for a session's change without its token.
    """
    if request.method == "OPTIONS":
        return
    key = given_key(request)
    try:
        g.caller = _session_caller() if key is None else None
        g.caller = g.caller or service().access.authenticate(key)
    except Unauthorized as error:
        raise _unauthorized(error, key) from None
    request.environ[CALLER] = g.caller.full_name


def _session_caller() -> Caller | None:
    """Return the caller of the request's browser session; None without a session cookie.

    Raise Unauthorized for an ended session, and a 403 for a change without the session's token.
    """
    cookie = given_cookie(request)
    if cookie is None:
        return None
    session = browser_sessions().find(cookie)
    found = service().access.holder_of_key(session.key_hash)
    if request.method not in READING and not _has_token(session):
        raise ProblemError(
            status=HTTPStatus.FORBIDDEN,
            type="session-token",
            detail=f"missing or wrong header {TOKEN_HEADER} in a browser session; log in again",
        )
    return found


def _has_token(session: BrowserSession) -> bool:
    given = hash_key(request.headers.get(TOKEN_HEADER, ""))
    return hmac.compare_digest(given, session.token_hash)


def browser_sessions() -> BrowserSessions:
    found: BrowserSessions = current_app.extensions["orchestrator.sessions"]
    return found


def given_cookie(given: Request) -> str | None:
    return given.cookies.get(cookie_name(given)) or None


def cookie_name(given: Request) -> str:
    """Return the name of the session's cookie.

    The name contains the port, because a browser sends cookies of ``localhost`` to every port.
    """
    port = given.host.rpartition(":")[2]
    suffix = f"_{port}" if port.isdigit() else ""
    return f"{'__Host-orchestrator' if given.is_secure else 'orchestrator_session'}{suffix}"


def given_key(given: Request) -> str | None:
    key = given.headers.get(KEY_HEADER)
    if key is not None:
        return key.strip() or None
    scheme, _, token = given.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _unauthorized(error: Unauthorized, key: str | None) -> ProblemError:
    what = "invalid API key" if key else f"missing header {KEY_HEADER}"
    return ProblemError(
        status=HTTPStatus.UNAUTHORIZED,
        type=error.kind,
        detail=f"{what}; use api.api_key from config.yaml, or $ORCHESTRATOR_API_KEY in a worker",
        headers={"WWW-Authenticate": CHALLENGE},
        more={"example": same_call_with_key(request)},
    )


def same_call_with_key(given: Request) -> str:
    """Return the current request as a curl command, with a placeholder for the API key."""
    words = ["curl"]
    if given.method not in ("GET", "HEAD"):
        words += ["-X", given.method]
    words += ["-H", f"{KEY_HEADER}: YOUR_KEY"]
    if body := _shown_body(given):
        words += ["-H", "Content-Type: application/json", "--data", body]
    return shlex.join([*words, given.url])


def _shown_body(given: Request) -> str:
    if given.method not in ("POST", "PUT", "PATCH") or not given.content_length:
        return ""
    if given.content_length > LONGEST_SHOWN_BODY:
        return "@request.json"
    return given.get_data(as_text=True)


FAILED_LOGINS_PER_MINUTE = 10
#: Length of the burst in seconds: an unused key may make the calls of this time at once.
WINDOW_SECONDS = 60.0
#: Maximum number of remembered names. Above it, names with a full bucket are forgotten.
MOST_REMEMBERED = 10_000


class RateLimit:
    """A rate limit with one token bucket for each name.

    A full bucket allows the calls of one minute at once. After this burst, calls are allowed at an
    even rate.
    """

    def __init__(
        self,
        per_minute: int | None,
        clock: Callable[[], float] = time.monotonic,
        window: float = WINDOW_SECONDS,
    ) -> None:
        """``per_minute``: calls in ``window`` seconds (default: a minute); None: no limit."""
        self.per_minute = per_minute
        self._window = window
        self._interval = window / per_minute if per_minute else 0.0
        self._clock = clock
        #: By name: the time when the name's bucket is full again.
        self._full_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, name: str) -> float:
        """Return the seconds until the next call is allowed. Counts no call."""
        with self._lock:
            now = self._clock()
            full_at = max(now, self._full_at.get(name, now)) + self._interval
            return max(0.0, full_at - now - self._window)

    def take(self, name: str) -> float:
        """Count a call and return 0 if it is allowed; otherwise return the seconds to wait."""
        if not self._interval:
            return 0.0
        with self._lock:
            now = self._clock()
            full_at = max(now, self._full_at.get(name, now)) + self._interval
            over = full_at - now - self._window
            if over > 1e-9:  # tolerance, because sums of floats are not exact
                return over
            if len(self._full_at) >= MOST_REMEMBERED:
                self._full_at = {known: at for known, at in self._full_at.items() if at > now}
            self._full_at[name] = full_at
            return 0.0


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Rate limits per minute: submissions and reads of each key, failed logins of each address."""

    submissions: RateLimit
    reads: RateLimit
    #: Limits of keys that have their own limit, by name.
    submissions_of: Mapping[str, RateLimit]
    #: Limit of logins with a wrong key, by address of the browser.
    failed_logins: RateLimit = field(default_factory=lambda: RateLimit(FAILED_LOGINS_PER_MINUTE))

    @classmethod
    def of(cls, options: ApiOptions) -> "RateLimits":
        own = {name: RateLimit(most) for name, most in options.submissions_of_keys.items()}
        return cls(
            RateLimit(options.submissions_per_minute), RateLimit(options.reads_per_minute), own
        )


def check_rate(name: str, *, reads: bool, submits: bool) -> None:
    """Raise a 429 if the named key has reached its rate limit for submissions or reads.

    Other calls, such as a cancel, have no limit.
    """
    limits: RateLimits = current_app.extensions["orchestrator.limits"]
    if submits:
        own, setting = limits.submissions_of.get(name), "limits.submissions_per_minute"
        if own is not None:
            setting = f"api.keys[{name}].{setting}"
        _take(own or limits.submissions, name, setting)
    elif reads:
        _take(limits.reads, name, "limits.reads_per_minute")


def _take(limit: RateLimit, name: str, setting: str) -> None:
    if seconds := ceil(limit.take(name)):
        raise ProblemError(
            status=HTTPStatus.TOO_MANY_REQUESTS,
            type="rate-limit",
            detail=(
                f"rate limit reached for key {name!r} ({setting}: {limit.per_minute}); "
                f"retry in {seconds} s"
            ),
            headers={"Retry-After": str(seconds)},
            more=limit_fields(setting, limit.per_minute, limit.per_minute, time.time() + seconds),
        )
