"""Answers about browser sessions."""

from datetime import datetime
from typing import Literal

from orchestrator.schemas.answers.common import Answer


class BrowserSessionAnswer(Answer):
    """The browser session of the caller, or a new one."""

    name: str
    """Name of the API key that logged in."""
    scopes: list[Literal["admin", "submit", "read"]]
    """Scopes of the key."""
    expires_at: datetime
    """Time at which the session ends if there is no further call."""
    token: str | None = None
    """Token of a new session, for the header X-Session-Token of every change."""


class TicketAnswer(Answer):
    """A ticket for one login."""

    ticket: str
    """Ticket for the body of POST /api/v1/session; it is valid once."""
    expires_at: datetime
    """Time at which the ticket expires."""
