"""Calls by which a browser logs in to the dashboard."""

from datetime import datetime

from orchestrator.core.model.caller import Scope
from orchestrator.schemas.answers.answer import Answer
from orchestrator.schemas.fields.bounded_types import StrictModel, Word


class LoginRequest(StrictModel):
    """A login to the dashboard with a ticket. Without a ticket, ``X-API-Key`` must have the key."""

    ticket: Word | None = None
    """Ticket of POST /api/v1/session/tickets."""


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


class TicketAnswer(Answer):
    """A ticket for one login."""

    ticket: str
    """Ticket for the body of POST /api/v1/session; valid for one login."""
    expires_at: datetime
    """Time at which the ticket expires."""
