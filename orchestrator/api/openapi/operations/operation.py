"""One call in the table of calls."""

from collections.abc import Mapping
from dataclasses import field
from http import HTTPStatus

from pydantic import BaseModel

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.schemas.requests import query_parameters

TEXT = "text/plain"
PROBLEM = "application/problem+json"

OK, ACCEPTED = HTTPStatus.OK, HTTPStatus.ACCEPTED
CONFLICT = HTTPStatus.CONFLICT

JOB = "/api/v1/jobs/{job_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One call of the API. ``path`` has OpenAPI's syntax, with parameters in braces."""

    method: str
    path: str
    id: str
    tag: str
    summary: str
    description: str = ""
    query: type[query_parameters.Query] = query_parameters.NoQuery
    body: type[BaseModel] | None = None
    body_required: bool = False
    #: Examples of the body, by purpose. "Try it out" in /docs sends the first example, which must
    #: be valid. Without an example, the page fills in every field, and the server rejects the call.
    examples: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    #: Answers by status: the answer's shape, or the media types of an answer that is not a JSON
    #: object.
    answers: dict[HTTPStatus, type[BaseModel] | tuple[str, ...]]
    #: Statuses of the call's errors, in addition to the errors that every call may return.
    errors: tuple[HTTPStatus, ...] = ()
    #: Request headers with their meaning.
    headers: dict[str, str] = field(default_factory=dict)
    needs_key: bool = True
    #: True if the answer has an ETag, so that 304 is possible.
    tagged: bool = False
    #: True if the answer has a ``job_id`` for further calls. The document links these calls.
    leads_to_job: bool = False
