"""Builds the OpenAPI document from the table of calls."""

import json
import re
from http import HTTPStatus

from pydantic import BaseModel

from orchestrator import __version__
from orchestrator.api.http.problems import MEDIA_TYPE
from orchestrator.api.openapi.operations import OPERATIONS, Operation
from orchestrator.api.openapi.problems import header, problem_name, problems, problems_of
from orchestrator.api.openapi.schemas import Schema, reference, shapes, without_nulls
from orchestrator.schemas.answers.common import AcceptedAnswer

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

#: The schema of each path parameter.
PATH_PARAMETERS = {
    "job_id": "Id of a job.",
    "task_id": "Id of a task of the job.",
    "worker_id": "Name of a worker, such as worker_1 or worker_2_1.",
    "lock": "Name of a lock: a path of the project, or another name.",
    "name": "Name of a report, such as FINAL_RESULT.md.",
}

#: Calls that can follow one whose answer has a job_id.
FOLLOWERS = ("getStatus", "getJob", "getResults", "getTree", "waitForJob", "cancelJob", "retryJob")


def document() -> bytes:
    """The OpenAPI 3.1 document as JSON."""
    schemas, names = shapes()
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
            "responses": problems(),
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
    return json.dumps(whole, indent=1).encode() + b"\n"


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
        body: Schema = {"schema": reference(names[operation.body])}
        if operation.examples:
            body["examples"] = {name: {"value": it} for name, it in operation.examples.items()}
        found["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": body},
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
        plain = without_nulls(given)
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
    for status in problems_of(operation):
        found.setdefault(
            str(int(status)), {"$ref": f"#/components/responses/{problem_name(status)}"}
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
        content = {"application/json": {"schema": reference(names[shape])}}
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
        return {"ETag": header("Changes when the answer does.")}
    if status is HTTPStatus.ACCEPTED and operation.answers[status]:
        return {"Location": header("Where the job's status is.")}
    return {}


def _link(operation_id: str) -> Schema:
    return {"operationId": operation_id, "parameters": {"job_id": "$response.body#/job_id"}}
