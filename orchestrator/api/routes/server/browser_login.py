"""Login and logout of browsers."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from math import ceil

from flask import Blueprint, Response, current_app, g, request

from orchestrator.api.access.audit import CALLER
from orchestrator.api.access.authentication import (
    api_key_of,
    authenticate,
    browser_sessions,
    caller,
    cookie_name,
    service,
    session_cookie,
)
from orchestrator.api.access.browser_sessions import BrowserSession
from orchestrator.api.access.rate_limits import RateLimits
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.problems import ProblemError
from orchestrator.api.routes.json_answers import json_answer
from orchestrator.core.errors import Forbidden, Unauthorized
from orchestrator.schemas import requests_with_answers
from orchestrator.schemas.requests.query_parameters import NoQuery
from orchestrator.security.secrets.api_keys import hash_key

blueprint = Blueprint("session", __name__)


@blueprint.post("/api/v1/session")
def log_in() -> Response:
    reading.query(NoQuery)
    body = reading.body(requests_with_answers.browser_login.LoginRequest, optional=True)
    login = browser_sessions().start(_proven_key(body.ticket))
    response = json_answer(_session_answer(login.session, login.token), HTTPStatus.CREATED)
    response.set_cookie(
        cookie_name(request),
        login.cookie,
        secure=request.is_secure,
        httponly=True,
        samesite="Strict",
        path="/",
    )
    return response


@blueprint.get("/api/v1/session")
def show_session() -> Response:
    reading.query(NoQuery)
    cookie = session_cookie(request)
    if cookie is None:
        raise Unauthorized("no browser session; log in")
    return json_answer(_session_answer(browser_sessions().find(cookie)))


@blueprint.delete("/api/v1/session")
def log_out() -> Response:
    # A logout needs no token, because a logout that another page causes does no harm.
    reading.query(NoQuery)
    cookie = session_cookie(request)
    if cookie is None:
        raise Unauthorized("no browser session; nothing to end")
    browser_sessions().end(cookie)
    response = Response(status=HTTPStatus.NO_CONTENT)
    response.delete_cookie(cookie_name(request), path="/", secure=request.is_secure)
    return response


@blueprint.post("/api/v1/session/tickets")
def issue_ticket() -> Response:
    reading.query(NoQuery)
    authenticate()
    key = api_key_of(request)
    service().access.check_person(caller())
    if key is None:
        raise Forbidden(
            "a ticket needs an API key, not a browser session; send the header X-API-Key"
        )
    ticket, expires_at = browser_sessions().issue_ticket(hash_key(key))
    answer = requests_with_answers.browser_login.TicketAnswer(
        ticket=ticket, expires_at=datetime.fromtimestamp(expires_at, UTC)
    )
    return json_answer(answer, HTTPStatus.CREATED)


def _proven_key(ticket: str | None) -> str:
    """Return the hash of the API key with which a browser logs in.

    Raise a 401 for an invalid key or ticket, a 403 for a worker's key, and a 429 after too many
    failures.
    """
    limits: RateLimits = current_app.extensions["orchestrator.limits"]
    remote = request.remote_addr or ""
    _check_logins(limits.failed_logins.seconds_to_wait(remote))
    try:
        if ticket is not None:
            return browser_sessions().redeem(ticket)
        if api_key_of(request) is None:
            raise Unauthorized("no API key and no ticket; send the header X-API-Key")
        authenticate()
    except (Unauthorized, ProblemError):
        limits.failed_logins.take(remote)
        raise
    service().access.check_person(caller())
    return hash_key(api_key_of(request) or "")


def _check_logins(seconds: float) -> None:
    if seconds > 0:
        raise ProblemError(
            status=HTTPStatus.TOO_MANY_REQUESTS,
            type="rate-limit",
            detail=f"too many failed logins; retry in {ceil(seconds)} s",
            headers={"Retry-After": str(ceil(seconds))},
        )


def _session_answer(
    session: BrowserSession, token: str | None = None
) -> requests_with_answers.browser_login.BrowserSessionAnswer:
    g.caller = service().callers.of_key_hash(session.key_hash)
    request.environ[CALLER] = g.caller.full_name
    return requests_with_answers.browser_login.BrowserSessionAnswer(
        name=g.caller.name,
        scopes=sorted(g.caller.scopes),
        expires_at=datetime.fromtimestamp(session.expires_at, UTC),
        token=token,
    )
