"""Requests to the server itself: a test of notifications, and the login to the dashboard."""

from typing import Annotated

from pydantic import Field

from orchestrator.schemas.fields.bounded_types import Text, Wire, Word


class NotifyTestRequest(Wire):
    """A request for test notifications."""

    name: Annotated[Text, Field(max_length=100)] = ""
    """Name of a target (default: all targets)."""


class LoginRequest(Wire):
    """A login to the dashboard with a ticket. Without a ticket, ``X-API-Key`` must have the key."""

    ticket: Word | None = None
    """Ticket of POST /api/v1/session/tickets."""
