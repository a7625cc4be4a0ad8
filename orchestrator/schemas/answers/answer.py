"""The base of all answers, and the answers that report an event or an error.

A new version may add fields, but may not change or remove the existing fields.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.core.events import EventKind
from orchestrator.core.text.field_descriptions import DescribedFields

#: Key that marks a field in its JSON schema: if the field has no value, the answer has null. Other
#: fields without a value are omitted.
AS_NULL = "as_null"


def no_items() -> list[Any]:
    # Faster than ``list``: for each field, pydantic would parse the signature of ``list``.
    return []


class Answer(DescribedFields, BaseModel):
    """Base of all answers. Fields without a value are omitted."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


#: An amount of US dollars, rounded, because further digits of a sum are rounding errors.
Usd = Annotated[float, AfterValidator(lambda amount: round(amount, 9))]

Links = dict[str, str]


class EventAnswer(Answer):
    """The data of one Server-Sent Event. The event has ``seq`` as id, and ``kind`` as name."""

    seq: int
    kind: EventKind
    at: datetime
    job_id: str
    worker_id: str | None = None
    data: dict[str, Any]


class FaultAnswer(Answer):
    """One error in a request."""

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
    """What failed, and what to do."""
    instance: str | None = None
    """The path that was called."""
    errors: list[FaultAnswer] | None = None
    remaining: dict[str, Any] | None = None
    """Remaining quota, if a limit was reached."""
    left: dict[str, Any] | None = None
    """Alias of remaining."""
    limit: str | None = None
    """Setting of the limit that was reached, as in config.yaml."""
    most: float | None = Field(default=None, json_schema_extra={AS_NULL: True})
    """Value of the limit."""
    used: float | None = Field(default=None, json_schema_extra={AS_NULL: True})
    """Usage that counts toward the limit."""
    free_at: str | None = Field(default=None, json_schema_extra={AS_NULL: True})
    """Time at which the limit resets (ISO 8601, UTC). null: the limit resets only when a job that
    counts toward the limit ends."""
    commit: str | None = None
    """The current commit of the worker's branch; only with the error `outdated`."""
    version: int | None = None
    """The plan's current version; only with the error `outdated`."""
    subject: str | None = None
    """`job` if the job itself does not exist; otherwise omitted."""
    files: list[str] | None = None
    """Files that prevent a landing or its undo."""
    job_status: str | None = None
    """Status of the incomplete job; only with the error `partial`."""
    links: dict[str, str] | None = None
    """Address of each part of a diff that is too large for one answer, by path."""
    example: str | None = None
    """The rejected call as a curl command, with a placeholder for the API key."""
