"""Answers about browser sessions."""

from datetime import datetime

from orchestrator.core.model.submission import Scope
from orchestrator.schemas.answers.answer import Answer


class BrowserSessionAnswer(Answer):
    """The caller's browser session, which the call may have started."""

    name: str
    """Name of the API key that logged in."""
    scopes: list[Scope]
    """Scopes of the key."""
    expires_at: datetime
    """Time at which the session ends if there is no further call."""
    token: str | None = None
    """Token of a new session, for the header X-Session-Token of every change."""


class KeyAnswer(Answer):
    """Name and scopes of an API key, without the key itself."""

    name: str
    scopes: list[Scope]


class KeysAnswer(Answer):
    """All API keys, by name."""

    keys: list[KeyAnswer]


class DoctorCheckAnswer(Answer):
    """One check of the installation."""

    name: str
    ok: bool | None = None
    """True: the check passed; false: the check failed; absent: the check is a note."""
    message: str
    fix: str = ""
    """How to fix a problem: a command or a setting."""


class DoctorAnswer(Answer):
    """The checks of ``orchestrator doctor``."""

    ok: bool
    """True if no check failed."""
    checks: list[DoctorCheckAnswer]
    """The checks, in the order in which to fix problems."""


class OtherServerAnswer(Answer):
    """Another server of the same user on this machine."""

    url: str
    project: str
    """Path of the server's project."""


class ServerAnswer(Answer):
    """The server: its version, its project, and other servers of the same user."""

    version: str
    project: str
    """Path of the project."""
    servers: list[OtherServerAnswer]
    """The other servers of this user on this machine."""


class TicketAnswer(Answer):
    """A ticket for one login."""

    ticket: str
    """Ticket for the body of POST /api/v1/session; it is valid once."""
    expires_at: datetime
    """Time at which the ticket expires."""
