"""The body of a login to the dashboard."""

from orchestrator.schemas.fields.text import Wire, Word


class LoginRequest(Wire):
    """A login with a ticket; without one, the key in ``X-API-Key`` logs in."""

    ticket: Word | None = None
    """Ticket of POST /api/v1/session/tickets."""
