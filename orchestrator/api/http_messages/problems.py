"""Converts errors to answers in the format ``application/problem+json`` (RFC 9457).

Only this module assigns HTTP statuses to classes of errors. A problem's ``type`` is the error's
slug (``not-found``, ``cycle``, ``limit-depth``, ...), a stable relative URI reference.
"""

import errno
import json
import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from math import ceil
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from orchestrator.api.socket_loop.response_writers import Reply
from orchestrator.core.errors import (
    BlockingFiles,
    ConfigError,
    Conflict,
    Forbidden,
    Incomplete,
    InvalidRequest,
    LaunchError,
    LimitReached,
    NoSuchJob,
    NotFound,
    OrchestratorError,
    Outdated,
    OutdatedPlan,
    Refused,
    RepositoryError,
    StoreAway,
    StoreError,
    TooLarge,
    Unauthorized,
    Unavailable,
    WorkspaceBusy,
    summary_of,
)
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND
from orchestrator.schemas.fields.validation_errors import Fault, summary
from orchestrator.security.files.product_files import FOLDER

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
#: ``Retry-After`` if a key has too many running jobs: seconds after which a job may have ended.
RUNNING_SECONDS = 30

#: Maximum number of paths in a problem.
MOST_FILES = 1000

#: Status by class of error; the first matching class decides.
STATUS_OF: tuple[tuple[type[OrchestratorError], HTTPStatus], ...] = (
    (InvalidRequest, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (LimitReached, HTTPStatus.TOO_MANY_REQUESTS),
    (Unauthorized, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (WorkspaceBusy, HTTPStatus.SERVICE_UNAVAILABLE),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (LaunchError, HTTPStatus.SERVICE_UNAVAILABLE),
    (RepositoryError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ConfigError, HTTPStatus.INTERNAL_SERVER_ERROR),
)

#: Errors of exhausted resources: descriptors of this process or of the machine; threads and
#: processes; memory; disk space.
_EXHAUSTED = (
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.ENOSPC,
)

#: Errors whose messages may name internal files or SQL statements. The caller gets another message.
_GUARDED = (StoreError, LaunchError, RepositoryError, ConfigError)


@dataclass(kw_only=True)
class ProblemError(Exception):
    """An error as a problem object. Raised for errors that the HTTP server itself detects."""

    status: HTTPStatus
    type: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def reply(self, instance: str | None = None) -> Reply:
        values = {
            "type": self.type,
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            **({"instance": instance} if instance else {}),
            **self.more,
        }
        body = json.dumps(values, default=str).encode()
        headers = (("Content-Type", MEDIA_TYPE), *self.headers.items())
        return Reply(status=int(self.status), headers=headers, body=body + b"\n")


def limit_fields(
    limit: str, most: float | None, used: float | None, free_at: float | None
) -> Mapping[str, Any]:
    """Return a problem's fields for a limit that was reached.

    ``limit``: the name of the limit in ``config.yaml``. ``most``: the value of the limit. ``used``:
    the used amount. ``free_at``: the Unix time at which quota becomes available. A value of None is
    unknown.
    """
    free_time = None if free_at is None else datetime.fromtimestamp(ceil(free_at), UTC)
    return {
        "limit": limit,
        "most": most,
        "used": used,
        "free_at": None if free_time is None else free_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def unavailable(detail: str) -> ProblemError:
    return ProblemError(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        type="unavailable",
        detail=detail,
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def invalid(faults: list[Fault]) -> ProblemError:
    errors = [
        {"pointer": fault.pointer, "detail": fault.detail, "type": fault.type} for fault in faults
    ]
    return ProblemError(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        type=InvalidRequest.kind,
        detail=summary(faults),
        more={"errors": errors},
    )


def problem_of(error: BaseException) -> ProblemError:
    """Return the problem for any exception.

    An unexpected exception is logged, and its problem has no details.
    """
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, OrchestratorError):
        return _problem_of_own_error(error)
    if isinstance(error, HTTPException):
        return _problem_of_http_error(error)
    if is_exhausted(error):
        logger.warning("request rejected: %s", error)
        return unavailable("the server has no free descriptors, threads, or memory; retry later")
    logger.error("a request failed", exc_info=error)
    detail = "internal server error; read the cause in logs/orchestrator.log"
    if isinstance(error, ImportError) or not FOLDER.is_dir():
        # The server imports some modules late. If an upgrade has replaced the files since the
        # server's start, a new module does not fit the old code in memory. If a person has moved
        # the folder, the server does not find the module.
        detail = (
            "the code of the running server was replaced or moved; restart the server: kill "
            f"{os.getpid()}; then: {COMMAND} serve (the cause is in logs/orchestrator.log)"
        )
    return ProblemError(status=HTTPStatus.INTERNAL_SERVER_ERROR, type="internal", detail=detail)


def is_exhausted(error: BaseException) -> bool:
    """True if the machine ran out of a resource that becomes available again later."""
    if isinstance(error, OSError):
        return error.errno in _EXHAUSTED
    return isinstance(error, MemoryError) or "can't start new thread" in str(error)


def _problem_of_own_error(error: OrchestratorError) -> ProblemError:
    status = next(
        (status for kind, status in STATUS_OF if isinstance(error, kind)),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    detail = error.message
    if isinstance(error, _GUARDED) or status is HTTPStatus.INTERNAL_SERVER_ERROR:
        # An unreachable database is no bug, so its line needs no traceback.
        trace = None if isinstance(error, StoreAway) else error
        logger.error("a request failed: %s", error.message, exc_info=trace)
        detail = f"{summary_of(type(error))} Read the cause in logs/orchestrator.log."
    problem = ProblemError(status=status, type=error.kind, detail=detail)
    if isinstance(error, InvalidRequest) and error.field:
        fault = Fault(location=(error.field,), detail=error.message, type=error.kind)
        return replace(invalid([fault]), type=error.kind)
    if isinstance(error, NoSuchJob):
        return replace(problem, more={"subject": "job"})
    if isinstance(error, Outdated):
        return replace(problem, more={"commit": error.commit})
    if isinstance(error, OutdatedPlan):
        return replace(problem, more={"version": error.version})
    if isinstance(error, BlockingFiles):
        return replace(problem, more={"files": list(error.files[:MOST_FILES])})
    if isinstance(error, Incomplete):
        return replace(problem, more={"job_status": error.status})
    if isinstance(error, Refused):
        remaining = dict(error.left)
        return replace(problem, more={"remaining": remaining, "left": remaining})
    if isinstance(error, LimitReached):
        seconds = RUNNING_SECONDS
        if error.free_at is not None:
            seconds = max(1, ceil(error.free_at - time.time()))
        more = limit_fields(error.limit, error.most, error.used, error.free_at)
        return replace(problem, headers={"Retry-After": str(seconds)}, more=more)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        return replace(problem, headers={"Retry-After": str(RETRY_SECONDS)})
    return problem


def _problem_of_http_error(error: HTTPException) -> ProblemError:
    status = HTTPStatus(error.code or 500)
    slug = status.phrase.lower().replace(" ", "-")
    problem = ProblemError(status=status, type=slug, detail=error.description or status.phrase)
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return replace(
            problem,
            detail=f"method {request.method} is not allowed here; use {allowed}",
            headers={"Allow": allowed},
        )
    if isinstance(error, RequestEntityTooLarge):
        return too_large(request.max_content_length)
    if status is HTTPStatus.NOT_FOUND:
        return replace(problem, detail="no call at this path; all calls are listed at /docs")
    return problem


def too_large(limit: int | None = None) -> ProblemError:
    size = f": at most {limit} bytes" if limit else ""
    return ProblemError(
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        type="too-large",
        detail=f"request body too large{size} (setting limits.max_request_bytes)",
    )


def response_of(error: BaseException) -> Response:
    return to_response(problem_of(error).reply(request.path))


def to_response(reply: Reply) -> Response:
    return Response(reply.body, status=reply.status, headers=list(reply.headers))


def refuse(
    problem: ProblemError, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    return to_response(problem.reply(environ.get("PATH_INFO")))(environ, start_response)


def register(app: Flask) -> None:
    for kind in (HTTPException, OrchestratorError, ProblemError, Exception):
        app.register_error_handler(kind, response_of)
