"""Builds the OpenAPI document from the table of calls."""

import json
import re
from http import HTTPStatus

from pydantic import BaseModel

from orchestrator import __version__
from orchestrator.api.http_messages.problems import MEDIA_TYPE
from orchestrator.api.openapi.operations import OPERATIONS, Operation
from orchestrator.api.openapi.schemas import Schema, model_schemas, reference, without_nulls
from orchestrator.schemas.answers.submission import AcceptedAnswer

DESCRIPTION = """\
Submit jobs, follow their workers, and get their results.

Every call needs a key: `X-API-Key`, or `Authorization: Bearer`. Exceptions are pages, health, and
triggers. A browser has a session instead, after `POST /api/v1/session`. Errors are
`application/problem+json` (RFC 9457): `type` is a stable name such as `not-found` or `cycle`, and
`detail` says what failed and what to do.

Scopes of keys:

- `read`: see all jobs.
- `submit`: submit jobs; see, cancel, and retry the key's own jobs.
- `admin`: everything.
- A worker's key: like `submit`, for the worker's child jobs and their descendants.

Errors of every call:

- 401: missing or invalid key.
- 403 `forbidden`: the key may not make this change, or may not read statistics.
- 403 `forbidden-host`: unknown host name. 403 `forbidden-origin`: call from a page of another site.
- 404: not found, or not visible to this key.
- 429: rate limit reached; retry after `Retry-After` seconds.
"""

TAGS = {
    "jobs": "Submit, read, cancel, and retry jobs.",
    "watching": "Follow a job while it runs.",
    "reports": "Read the reports of a job.",
    "tasks": "Submit one description to several command-line tools.",
    "locks": "Acquire and release exclusive locks for workers.",
    "server": "The server itself.",
    "sessions": "Start and end sessions of browsers.",
    "triggers": "Receive events of other services.",
    "pages": "Pages for people.",
}

#: Description of each path parameter.
PATH_PARAMETERS = {
    "job_id": "Id of a job.",
    "delivery_id": "Id of a delivery, such as msg_abc123_7_ci.",
    "endpoint": "Name of an endpoint in webhooks.endpoints.",
    "task_id": "Id of a task of the job.",
    "worker_id": "Id of a worker, such as worker_1 or worker_2_1.",
    "task": "Id of a task of /api/v1/tasks: its UUID, or the id of its job.",
    "lock": "Name of a lock: a path of the project, or another name.",
    "name": "Name of a report, such as FINAL_RESULT.md, or name of a node.",
    "trigger_name": "Name of a trigger in config.yaml.",
}

#: Calls that can follow a call whose answer has a job_id.
FOLLOW_UP_CALLS = (
    "getStatus",
    "getJob",
    "getResults",
    "getTree",
    "waitForJob",
    "cancelJob",
    "retryJob",
)


def document() -> bytes:
    schemas, names = model_schemas()
    paths: Schema = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, names)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "Orchestrator",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"bearer": []}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": problems(),
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
    return json.dumps(whole, indent=1).encode() + b"\n"


def _operation(operation: Operation, names: dict[type[BaseModel], str]) -> Schema:
    fields: Schema = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation, names),
    }
    if operation.description:
        fields["description"] = operation.description
    if operation.body:
        body: Schema = {"schema": reference(names[operation.body])}
        if operation.examples:
            body["examples"] = {
                name: {"value": example} for name, example in operation.examples.items()
            }
        fields["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": body},
        }
    if not operation.needs_key:
        fields["security"] = []
    return fields


def _parameters(operation: Operation) -> list[Schema]:
    path = [
        _parameter(name, "path", {"type": "string"}, PATH_PARAMETERS[name], required=True)
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    headers = [
        _parameter(name, "header", {"type": "string"}, text)
        for name, text in operation.headers.items()
    ]
    return path + _query_parameters(operation) + headers


def _query_parameters(operation: Operation) -> list[Schema]:
    schema = operation.query.model_json_schema()
    definitions = schema.get("$defs", {})
    parameters = []
    for name, property_schema in schema.get("properties", {}).items():
        plain = _inlined(without_nulls(property_schema), definitions)
        plain.pop("optional", None)
        text = plain.pop("description", "")
        parameters.append(_parameter(name, "query", plain, text))
    return parameters


def _inlined(schema: Schema, definitions: Schema) -> Schema:
    """Return the schema of a parameter, with references replaced by the schemas that they name."""
    plain = {**schema}
    if name := plain.pop("$ref", None):
        target = {**definitions[name.rsplit("/", 1)[1]]}
        target.pop("description", None)
        plain |= target
    if "items" in plain:
        plain["items"] = _inlined(plain["items"], definitions)
    return plain


def _parameter(
    name: str, place: str, schema: Schema, description: str, *, required: bool = False
) -> Schema:
    values = {"name": name, "in": place, "required": required, "schema": schema}
    return {**values, "description": description} if description else values


def _responses(operation: Operation, names: dict[type[BaseModel], str]) -> Schema:
    responses = {
        str(int(status)): _answer(operation, status, shape, names)
        for status, shape in operation.answers.items()
    }
    if operation.tagged:
        responses["304"] = {"description": "Not changed since the ETag in If-None-Match."}
    for status in problems_of(operation):
        responses.setdefault(
            str(int(status)), {"$ref": f"#/components/responses/{problem_name(status)}"}
        )
    return responses


def _answer(
    operation: Operation,
    status: HTTPStatus,
    shape: type[BaseModel] | tuple[str, ...],
    names: dict[type[BaseModel], str],
) -> Schema:
    if isinstance(shape, tuple):
        content: Schema = {media: {"schema": _schema_of_media_type(media)} for media in shape}
    else:
        content = {"application/json": {"schema": reference(names[shape])}}
    response: Schema = {"description": status.phrase, **({"content": content} if content else {})}
    headers = _answer_headers(operation, status)
    if headers:
        response["headers"] = headers
    if operation.leads_to_job and shape is AcceptedAnswer:
        response["links"] = {
            name: {"operationId": name, "parameters": {"job_id": "$response.body#/job_id"}}
            for name in FOLLOW_UP_CALLS
        }
    return response


def _schema_of_media_type(media: str) -> Schema:
    shapes: dict[str, Schema] = {
        "application/json": {"type": "object"},
        MEDIA_TYPE: {"type": "object"},
        "text/event-stream": {},
    }
    return shapes.get(media, {"type": "string"})


def _answer_headers(operation: Operation, status: HTTPStatus) -> Schema:
    if operation.tagged:
        return {"ETag": header("Version of the answer; changes with the answer.")}
    if status is HTTPStatus.ACCEPTED and operation.answers[status]:
        return {"Location": header("URL of the job's status.")}
    return {}


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
    """Return {name: OpenAPI response} for all error answers in the table of calls."""
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
    response: Schema = {
        "description": status.phrase,
        "content": {MEDIA_TYPE: {"schema": reference("Problem")}},
    }
    if status in ERROR_HEADERS:
        name, text = ERROR_HEADERS[status]
        response["headers"] = {name: header(text)}
    return response


def header(description: str) -> Schema:
    return {"description": description, "schema": {"type": "string"}}
