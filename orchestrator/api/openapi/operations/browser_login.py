"""Calls for the login of a browser, and for the dashboard's facts about the server."""

from http import HTTPStatus

from orchestrator.api.openapi.operations.operation import OK, Operation
from orchestrator.schemas.answers import server
from orchestrator.schemas.requests_with_answers import browser_login

SESSION = "/api/v1/session"

SESSIONS = (
    Operation(
        method="post",
        path=SESSION,
        id="logIn",
        tag="sessions",
        summary="Start a browser session, with an API key or a ticket",
        description=(
            "The answer sets a cookie that replaces the key. A call that changes something also "
            "needs the `token` of this answer, in the header `X-Session-Token`. The session ends "
            "12 hours after its last call, 7 days after the login, or when its key is removed. "
            "429: more than 10 failed logins in a minute."
        ),
        body=browser_login.LoginRequest,
        examples={"key": {}, "ticket": {"ticket": "..."}},
        answers={HTTPStatus.CREATED: browser_login.BrowserSessionAnswer},
    ),
    Operation(
        method="get",
        path=SESSION,
        id="getSession",
        tag="sessions",
        summary="Get the browser session to which the cookie belongs",
        answers={OK: browser_login.BrowserSessionAnswer},
    ),
    Operation(
        method="delete",
        path=SESSION,
        id="logOut",
        tag="sessions",
        summary="End the browser session to which the cookie belongs",
        answers={HTTPStatus.NO_CONTENT: ()},
    ),
    Operation(
        method="post",
        path=f"{SESSION}/tickets",
        id="issueTicket",
        tag="sessions",
        summary="Create a ticket for one login within 60 seconds",
        description="The command `open` adds the ticket to the address that it opens.",
        answers={HTTPStatus.CREATED: browser_login.TicketAnswer},
    ),
    Operation(
        method="get",
        path="/api/v1/server",
        id="getServer",
        tag="server",
        summary="Get the server's project, and the other servers of the same user",
        answers={OK: server.ServerAnswer},
    ),
    Operation(
        method="get",
        path="/api/v1/keys",
        id="listKeys",
        tag="server",
        summary="List API keys by name, with their scopes",
        description="403: the key lacks the scope admin.",
        answers={OK: server.KeysAnswer},
    ),
    Operation(
        method="get",
        path="/api/v1/doctor",
        id="getDoctor",
        tag="server",
        summary="Check the installation",
        description=(
            "The checks of the command `doctor`; `fix` is how to fix a problem. Needs a key "
            "with the scope admin. Takes about 1 second, at most 20 seconds. Calls within 5 "
            "seconds get the same result."
        ),
        answers={OK: server.DoctorAnswer},
    ),
)
