"""Authenticates each request that needs a key, and checks the key's scope and rate limits.

An API key or a browser session identifies the caller. A request without a valid key or session is
rejected with status 401. The use cases check which jobs a caller may see and change
(``engine/service/access/authorization.py``).
"""

import hmac
import shlex
from http import HTTPStatus

from flask import Request, current_app, g, request

from orchestrator.api.access.audit import CALLER, READING
from orchestrator.api.access.browser_sessions import BrowserSession, BrowserSessions
from orchestrator.api.access.rate_limits import check_rate
from orchestrator.api.http_messages.problems import ProblemError
from orchestrator.core.errors import Unauthorized
from orchestrator.core.model.caller import Caller
from orchestrator.engine.service.service import Service
from orchestrator.security.secrets.api_keys import hash_key

KEY_HEADER = "X-API-Key"
#: Header with the session's token. A change needs the token, because a page of another port may
#: have the session's cookie, but never has the token.
TOKEN_HEADER = "X-Session-Token"
LONGEST_SHOWN_BODY = 1000
CHALLENGE = 'ApiKey realm="orchestrator", header="X-API-Key", Bearer realm="orchestrator"'
#: Flask's endpoint names of the calls that count toward the rate limit for submissions.
SUBMISSIONS = frozenset(
    {
        "submission.orchestrate",
        "job_control.retry_job",
        "worker_control.retry_worker",
        "tasks.create_task",
    }
)


def check_request() -> None:
    """Check the caller of the request, before any other part of the request is read.

    Raise a 401 for an unknown caller, and a 429 at a rate limit. Raise a 403 for a change by a
    read-only key, or by a browser session without the session's token.
    """
    if request.method == "OPTIONS":
        return  # the answer contains only the allowed methods
    authenticate()
    reads = request.method in READING
    if not reads:
        service().access.check_change(g.caller)
    check_rate(caller().full_name, reads=reads, submits=request.endpoint in SUBMISSIONS)


def service() -> Service:
    current: Service = current_app.extensions["orchestrator.service"]
    return current


def caller() -> Caller:
    """Return the caller of the current request. Call ``authenticate`` first."""
    current: Caller = g.caller
    return current


def authenticate() -> None:
    """Identify the caller of the request by key or browser session, for ``caller()``.

    Raise a 401 for an unknown caller. Raise a 403 if a browser session requests a change without
    the session's token.
    """
    if request.method == "OPTIONS":
        return
    key = api_key_of(request)
    try:
        g.caller = _session_caller() if key is None else None
        g.caller = g.caller or service().callers.of_key(key)
    except Unauthorized as error:
        raise _unauthorized(error, key) from None
    request.environ[CALLER] = g.caller.full_name


def _session_caller() -> Caller | None:
    """Return the caller of the request's browser session; None without a session cookie.

    Raise Unauthorized for an ended session, and a 403 for a change without the session's token.
    """
    cookie = session_cookie(request)
    if cookie is None:
        return None
    session = browser_sessions().find(cookie)
    session_caller = service().callers.of_key_hash(session.key_hash)
    if request.method not in READING and not _has_token(session):
        raise ProblemError(
            status=HTTPStatus.FORBIDDEN,
            type="session-token",
            detail=f"missing or wrong header {TOKEN_HEADER} in a browser session; log in again",
        )
    return session_caller


def _has_token(session: BrowserSession) -> bool:
    token_hash = hash_key(request.headers.get(TOKEN_HEADER, ""))
    return hmac.compare_digest(token_hash, session.token_hash)


def browser_sessions() -> BrowserSessions:
    current: BrowserSessions = current_app.extensions["orchestrator.sessions"]
    return current


def session_cookie(http_request: Request) -> str | None:
    return http_request.cookies.get(cookie_name(http_request)) or None


def cookie_name(http_request: Request) -> str:
    """Return the name of the session's cookie.

    The name contains the port, because a browser sends cookies of ``localhost`` to every port.
    """
    port = http_request.host.rpartition(":")[2]
    suffix = f"_{port}" if port.isdigit() else ""
    return f"{'__Host-orchestrator' if http_request.is_secure else 'orchestrator_session'}{suffix}"


def api_key_of(http_request: Request) -> str | None:
    key = http_request.headers.get(KEY_HEADER)
    if key is not None:
        return key.strip() or None
    scheme, _, token = http_request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _unauthorized(error: Unauthorized, key: str | None) -> ProblemError:
    if key is None and session_cookie(request):
        detail = str(error)
    else:
        problem = "invalid API key" if key else f"missing header {KEY_HEADER}"
        detail = (
            f"{problem}; use api.api_key from config.yaml, or $ORCHESTRATOR_API_KEY in a worker"
        )
    return ProblemError(
        status=HTTPStatus.UNAUTHORIZED,
        type=error.kind,
        detail=detail,
        headers={"WWW-Authenticate": CHALLENGE},
        more={"example": same_call_with_key(request)},
    )


def same_call_with_key(http_request: Request) -> str:
    """Return a request as a curl command, with a placeholder for the API key."""
    words = ["curl"]
    if http_request.method not in ("GET", "HEAD"):
        words += ["-X", http_request.method]
    words += ["-H", f"{KEY_HEADER}: YOUR_KEY"]
    if body := _shown_body(http_request):
        words += ["-H", "Content-Type: application/json", "--data", body]
    return shlex.join([*words, http_request.url])


def _shown_body(http_request: Request) -> str:
    if http_request.method not in ("POST", "PUT", "PATCH") or not http_request.content_length:
        return ""
    if http_request.content_length > LONGEST_SHOWN_BODY:
        return "@request.json"
    return http_request.get_data(as_text=True)
