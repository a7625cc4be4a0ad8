"""Reads and checks a request: its JSON body, query, and Idempotency-Key."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar

from flask import request
from pydantic import ValidationError

from orchestrator.api.http_messages.headers import JSON
from orchestrator.api.http_messages.problems import ProblemError, invalid
from orchestrator.core.errors import NoSuchJob, NotFound, TooLarge
from orchestrator.core.text.json_values import strict_json
from orchestrator.core.text.unknown_names import unknown_name
from orchestrator.schemas.fields.bounded_types import StrictModel
from orchestrator.schemas.fields.validation_errors import TOO_LONG, Fault, faults
from orchestrator.schemas.requests.query_parameters import Query

BodyModel = TypeVar("BodyModel", bound=StrictModel)
QueryModel = TypeVar("QueryModel", bound=Query)

LONGEST_IDEMPOTENCY_KEY = 200
DEEPEST_JSON = 32


def body(model: type[BodyModel], *, optional: bool = False) -> BodyModel:
    """Return the request's body. With ``optional``, the body may be missing.

    Raise a 400 for malformed JSON, and a 413 for a body that is too large. Raise a 415 for another
    media type, and a 422 for invalid fields.
    """
    raw = request.get_data()
    if not raw and optional:
        return model.model_validate({})
    check_json()
    value = parse_json(raw)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(faults(error, model)) from None


def text_body(model: type[BodyModel], *, optional: bool = False) -> BodyModel:
    """Return the request's body, which contains a text that a person wrote.

    Raise the same errors as ``body``, with one exception: if all faults are texts that are too
    long, raise a 413.
    """
    try:
        return body(model, optional=optional)
    except ProblemError as problem:
        errors = problem.more.get("errors", ())
        if not errors or any(each["type"] not in TOO_LONG for each in errors):
            raise
        raise replace(
            problem,
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            type=TooLarge.kind,
            detail=f"{problem.detail}; send less, or put the text into a file of the project",
        ) from None


def check_json() -> None:
    if request.mimetype != JSON:
        raise ProblemError(
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            type="unsupported-media-type",
            detail="the body must be JSON, sent with the header Content-Type: application/json",
        )
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise ProblemError(
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            type="unsupported-media-type",
            detail=f"charset {charset[:40]!r} is not supported; send JSON as UTF-8",
        )


def parse_json(raw: bytes) -> Any:
    """Parse strict JSON in UTF-8. Raise a 400 with the position of the error."""
    if not raw:
        raise _malformed("the body is empty")
    try:
        return strict_json(raw, DEEPEST_JSON, _object_with_unique_names)
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at line {error.lineno} column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise _malformed(f"not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise _malformed(
            f"nested too deeply: the maximum is {DEEPEST_JSON + 1} levels of objects and lists"
        ) from None
    except ValueError as error:
        raise _malformed(str(error)) from None


def _object_with_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {repeated[:100]!r} occurs twice in one object")
    return value


def _malformed(reason: str) -> ProblemError:
    return ProblemError(
        status=HTTPStatus.BAD_REQUEST,
        type="malformed-json",
        detail=f"the body is not valid JSON: {reason}",
    )


def query(model: type[QueryModel]) -> QueryModel:
    """Return the request's query. Raise a 422 for an invalid query.

    A parameter without a value counts as absent.
    """
    results = [_query_fault(name, values, model) for name, values in request.args.lists()]
    if query_faults := [fault for fault in results if fault]:
        raise invalid(query_faults)
    raw = {name: _parameter_value(name, values, model) for name, values in request.args.lists()}
    raw = {name: value for name, value in raw.items() if value}
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise invalid([_with_hint(fault, raw) for fault in faults(error, model)]) from None


def _with_hint(fault: Fault, raw: Mapping[str, str | list[str]]) -> Fault:
    """Return the error of a query parameter, with a hint if the caller joined values by commas.

    The location of the error is only the parameter's name, without a position in its values.
    """
    location = fault.location[:1]
    name = str(location[0]) if location else ""
    values = raw.get(name)
    if not isinstance(values, list) or len(values) != 1 or "," not in values[0]:
        return replace(fault, location=location)
    form = "&".join(f"{name}={value.strip()}" for value in values[0].split(",", 2)[:2])
    hint = f"for several values, repeat the parameter: {form[:200]}"
    return replace(fault, location=location, detail=f"{fault.detail}; {hint}")


def _parameter_value(name: str, values: list[str], model: type[Query]) -> str | list[str]:
    if model.is_repeatable(name):
        return [] if values == [""] else values
    return values[0]


def _query_fault(name: str, values: list[str], model: type[Query]) -> Fault | None:
    if name not in model.parameters():
        detail = unknown_name("query parameter", name, list(model.parameters()))
        return Fault(location=(name,), detail=detail, type="extra_forbidden")
    if len(values) > 1 and not model.is_repeatable(name):
        return Fault(location=(name,), detail="is given more than once", type="repeated")
    return None


def idempotency_key() -> str | None:
    """Return the Idempotency-Key; None if the header is missing.

    Raise a 422 for a key that is empty, too long, or not printable ASCII.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not (1 <= len(key) <= LONGEST_IDEMPOTENCY_KEY and key.isascii() and key.isprintable()):
        detail = f"must be 1 to {LONGEST_IDEMPOTENCY_KEY} printable ASCII characters"
        raise invalid([Fault(location=("Idempotency-Key",), detail=detail, type="header")])
    return key


def last_event_id(from_query: int) -> int:
    """Return the header ``Last-Event-ID``; ``from_query`` if the header is missing.

    Raise a 422 if the header is invalid.
    """
    header = request.headers.get("Last-Event-ID", "").strip()
    if not header:
        return from_query
    if not (header.isascii() and header.isdigit() and len(header) <= 15):
        detail = "must be the id of an event, a whole number"
        raise invalid([Fault(location=("Last-Event-ID",), detail=detail, type="header")])
    return int(header)


JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
WORKER_ID = re.compile(r"worker(_[0-9]{1,9}){1,1000}")
REPORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+")
LONGEST_REPORT_NAME = 128


def checked_job_id(name: str) -> str:
    if not JOB_ID.fullmatch(name):
        raise NoSuchJob("with this id", "; list the jobs: GET /api/v1/jobs")
    return name


def checked_worker_id(name: str) -> str:
    if not WORKER_ID.fullmatch(name):
        raise NotFound(
            f"no worker {name[:100]!r}; ids of workers are worker_1, worker_2_1, and so on; the "
            "status of the job has the worker of each task"
        )
    return name


def checked_report_name(name: str) -> str:
    """Return the file name of a report; ``name`` may begin with ``reports/``.

    Raise NotFound for a name that no report can have.
    """
    plain = name.removeprefix("reports/")
    if len(plain) > LONGEST_REPORT_NAME or not REPORT_NAME.fullmatch(plain):
        raise NotFound(
            f"no report {name[:100]!r}; reports are FINAL_RESULT.md, LEVEL_0_REPORT.md, and the "
            "files in reports/, such as tree.txt and analytics.json"
        )
    return plain
