"""From the table of calls to the document."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from orchestrator import __version__
from orchestrator.api.openapi.operations import OPERATIONS, Operation
from orchestrator.api.problems import MEDIA_TYPE
from orchestrator.schemas.answers import AcceptedAnswer, EventAnswer
from orchestrator.schemas.planned import Plan
from orchestrator.schemas.problem import Problem
from orchestrator.schemas.wire import Wire

Schema = dict[str, Any]

REF = "#/components/schemas/{model}"

DESCRIPTION = """\
Jobs, their workers, and what they came back with.

Every call but those of the pages and of health needs a key: `X-API-Key`, or
`Authorization: Bearer`. Errors are `application/problem+json` (RFC 9457): `type` is a stable name
such as `not-found` or `cycle`, `detail` says what to do.

A key has scopes. `admin` may do everything; `read` sees every job; `submit` submits jobs, and sees,
cancels and retries those; a worker's own key does the same with the child jobs below the worker.
401: the key opens nothing. 404: there is no such thing, or the key does not see it. 403
`forbidden`: the key sees it and may not change it, or may change nothing at all, or sees no
statistics. 403 `forbidden-host` and `forbidden-origin`: the call came under another name, or from a
page of another site. 429: too many calls of this kind; `Retry-After` says when to go on.
"""

TAGS = {
    "jobs": "Submit, read, cancel and retry jobs.",
    "watching": "Follow a job while it runs.",
    "reports": "Read what was written about a job.",
    "locks": "Keep workers off what another one works on.",
    "server": "The server itself.",
    "pages": "For people.",
}

#: What each path parameter looks like.
PATH_PARAMETERS = {
    "job_id": "Id of a job.",
    "task_id": "Id of a task of the job.",
    "worker_id": "Name of a worker, such as worker_1 or worker_2_1.",
    "lock": "Name of a lock: a path of the project, or another name.",
    "name": "Name of a report, such as FINAL_RESULT.md.",
}

#: Every call may be refused so; further ones are in the table.
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
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate", "How to send a key."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("Allow", "The methods that are possible."),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After", "Seconds until to try again."),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After", "Seconds until to try again."),
}

#: Calls that can follow one whose answer has a job_id.
FOLLOWERS = ("getStatus", "getJob", "getResults", "getTree", "waitForJob", "cancelJob", "retryJob")


def document() -> bytes:
    """The OpenAPI 3.1 document as JSON."""
    schemas, names = _schemas()
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
        "paths": _paths(names),
        "components": {
            "schemas": schemas,
            "responses": {_problem_name(status): _problem(status) for status in _all_errors()},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
    return json.dumps(whole, indent=1).encode() + b"\n"


def _schemas() -> tuple[Schema, dict[type[BaseModel], str]]:
    """All shapes by name, and the name of each."""
    inputs: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (operation.body, "validation") for operation in OPERATIONS if operation.body
    ]
    outputs: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "serialization")
        for operation in OPERATIONS
        for model in operation.answers.values()
        if isinstance(model, type)
    ]
    extra: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (Problem, "serialization"),
        (EventAnswer, "serialization"),
        # What an agent that plans answers with; no call takes it.
        (Plan, "validation"),
    ]
    references, definitions = models_json_schema(
        list(dict.fromkeys([*inputs, *outputs, *extra])), ref_template=REF
    )
    names: dict[Any, str] = {
        model: ref["$ref"].rsplit("/", 1)[1] for (model, _), ref in references.items()
    }
    received = {kind.__name__ for kind in _kinds_of(Wire)}
    schemas = {
        name: one if name in received else _without_nulls(one)
        for name, one in definitions["$defs"].items()
    }
    return _answers_as_sent(schemas), names


def _kinds_of(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds_of(each)


def _answers_as_sent(schemas: Schema) -> Schema:
    """In serialization mode every field with a default is "required"; ours may be left out."""
    for schema in schemas.values():
        fields = schema.get("properties", {})
        required = [name for name in schema.get("required", ()) if not fields[name].get("optional")]
        for field in fields.values():
            field.pop("optional", None)
        if required:
            schema["required"] = required
        else:
            schema.pop("required", None)
    return schemas


def _without_nulls(schema: Any) -> Any:
    """What has no value is left out of answers, never null; in requests null is allowed."""
    if isinstance(schema, list):
        return [_without_nulls(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _without_nulls(value) for key, value in schema.items()}
    if plain.get("default", ...) is None:
        del plain["default"]
        if plain.get("anyOf", [])[-1:] == [{"type": "null"}] and len(plain["anyOf"]) == 2:
            first = plain.pop("anyOf")[0]
            plain = {**first, **plain, "optional": True}
    return plain


def _paths(names: dict[type[BaseModel], str]) -> Schema:
    paths: Schema = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, names)
    return paths


def _operation(operation: Operation, names: dict[type[BaseModel], str]) -> Schema:
    found: Schema = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation, names),
    }
    if operation.description:
        found["description"] = operation.description
    if operation.body:
        found["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": _ref(names[operation.body])}},
        }
    if not operation.needs_key:
        found["security"] = []
    return found


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
    found = []
    for name, given in schema.get("properties", {}).items():
        plain = _without_nulls(given)
        plain.pop("optional", None)
        text = plain.pop("description", "")
        if reference := plain.pop("$ref", None):
            plain |= definitions[reference.rsplit("/", 1)[1]]
            plain.pop("description", None)
        found.append(_parameter(name, "query", plain, text))
    return found


def _parameter(
    name: str, place: str, schema: Schema, description: str, *, required: bool = False
) -> Schema:
    values = {"name": name, "in": place, "required": required, "schema": schema}
    return {**values, "description": description} if description else values


def _responses(operation: Operation, names: dict[type[BaseModel], str]) -> Schema:
    found = {
        str(int(status)): _answer(operation, status, shape, names)
        for status, shape in operation.answers.items()
    }
    if operation.tagged:
        found["304"] = {"description": "Not changed since the ETag in If-None-Match."}
    for status in _errors(operation):
        found.setdefault(
            str(int(status)), {"$ref": f"#/components/responses/{_problem_name(status)}"}
        )
    return found


def _answer(
    operation: Operation,
    status: HTTPStatus,
    shape: type[BaseModel] | tuple[str, ...],
    names: dict[type[BaseModel], str],
) -> Schema:
    if isinstance(shape, tuple):
        content: Schema = {media: {"schema": _free(media)} for media in shape}
    else:
        content = {"application/json": {"schema": _ref(names[shape])}}
    found: Schema = {"description": status.phrase, **({"content": content} if content else {})}
    headers = _answer_headers(operation, status)
    if headers:
        found["headers"] = headers
    if operation.leads_to_job and shape is AcceptedAnswer:
        found["links"] = {name: _link(name) for name in FOLLOWERS}
    return found


def _free(media: str) -> Schema:
    """The shape of an answer that has no model. A stream is read event by event, or as a text."""
    shapes: dict[str, Schema] = {
        "application/json": {"type": "object"},
        MEDIA_TYPE: {"type": "object"},
        "text/event-stream": {},
    }
    return shapes.get(media, {"type": "string"})


def _answer_headers(operation: Operation, status: HTTPStatus) -> Schema:
    if operation.tagged:
        return {"ETag": _header("Changes when the answer does.")}
    if status is HTTPStatus.ACCEPTED and operation.answers[status]:
        return {"Location": _header("Where the job's status is.")}
    return {}


def _link(operation_id: str) -> Schema:
    return {"operationId": operation_id, "parameters": {"job_id": "$response.body#/job_id"}}


def _errors(operation: Operation) -> tuple[HTTPStatus, ...]:
    limited = (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
    key = limited if operation.needs_key else ()
    body = (HTTPStatus.UNSUPPORTED_MEDIA_TYPE,) if operation.body else ()
    return tuple(sorted({*COMMON_ERRORS, *key, *body, *operation.errors}))


def _all_errors() -> list[HTTPStatus]:
    return sorted({status for operation in OPERATIONS for status in _errors(operation)})


def _problem_name(status: HTTPStatus) -> str:
    return status.name.title().replace("_", "")


def _problem(status: HTTPStatus) -> Schema:
    found: Schema = {
        "description": status.phrase,
        "content": {MEDIA_TYPE: {"schema": _ref("Problem")}},
    }
    if status in ERROR_HEADERS:
        name, text = ERROR_HEADERS[status]
        found["headers"] = {name: _header(text)}
    return found


def _header(description: str) -> Schema:
    return {"description": description, "schema": {"type": "string"}}


def _ref(name: str) -> Schema:
    return {"$ref": REF.format(model=name)}
