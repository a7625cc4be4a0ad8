"""The problems that calls may return, for the OpenAPI document."""

from http import HTTPStatus

from orchestrator.api.http.problems import MEDIA_TYPE
from orchestrator.api.openapi.operations import OPERATIONS, Operation
from orchestrator.api.openapi.schemas import Schema, reference

#: Error statuses that every call may return. The table of calls adds the errors of each call.
COMMON_ERRORS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
ERROR_HEADERS = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate", "Supported ways to send a key."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("Allow", "Allowed methods."),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After", "Seconds before the next retry."),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After", "Seconds before the next retry."),
}


def problems() -> Schema:
    """Return all problems in the table of calls, by name."""
    statuses = {status for operation in OPERATIONS for status in problems_of(operation)}
    return {problem_name(status): _problem(status) for status in sorted(statuses)}


def problems_of(operation: Operation) -> tuple[HTTPStatus, ...]:
    limited = (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
    key = limited if operation.needs_key else ()
    body = (HTTPStatus.UNSUPPORTED_MEDIA_TYPE,) if operation.body else ()
    return tuple(sorted({*COMMON_ERRORS, *key, *body, *operation.errors}))


def problem_name(status: HTTPStatus) -> str:
    return status.name.title().replace("_", "")


def _problem(status: HTTPStatus) -> Schema:
    found: Schema = {
        "description": status.phrase,
        "content": {MEDIA_TYPE: {"schema": reference("Problem")}},
    }
    if status in ERROR_HEADERS:
        name, text = ERROR_HEADERS[status]
        found["headers"] = {name: header(text)}
    return found


def header(description: str) -> Schema:
    return {"description": description, "schema": {"type": "string"}}
