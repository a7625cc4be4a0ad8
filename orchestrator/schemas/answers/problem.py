"""The one shape of all errors."""

from typing import Any

from pydantic import Field

from orchestrator.schemas.answers.common import Answer


class FaultAnswer(Answer):
    """One thing that is wrong with a request."""

    pointer: str
    """JSON pointer to the value."""
    detail: str
    type: str


class Problem(Answer):
    """An error (RFC 9457)."""

    type: str = Field(json_schema_extra={"format": "uri-reference"})
    """Stable name of the kind of error: not-found, cycle, limit-depth, ..."""
    title: str
    status: int
    detail: str
    """What went wrong and what to do."""
    instance: str | None = None
    """The path that was called."""
    errors: list[FaultAnswer] | None = None
    left: dict[str, Any] | None = None
    """What may still be done, when a limit was hit."""
    limit: str | None = None
    """The limit that is used up, as config.yaml names it."""
    most: float | None = None
    """The limit's value."""
    used: float | None = None
    """How much of it is used."""
    free_at: str | None = None
    """When it is free again (ISO 8601, UTC); null: when one of the jobs that use it ends."""
    example: str | None = None
    """The same call with what it lacks."""
