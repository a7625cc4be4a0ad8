"""Calls that show changes: differences between commits, and files in conflict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlencode

from flask import Blueprint, Response
from flask import request as flask_request
from pydantic_core import to_json

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import request
from orchestrator.api.http_messages.headers import JSON
from orchestrator.api.http_messages.problems import ProblemError
from orchestrator.api.http_messages.request import checked_job_id, checked_worker_id
from orchestrator.api.routes.json_answers import tagged_answer, tagged_bytes
from orchestrator.core.errors import TooLarge
from orchestrator.core.repository.change_reader import DiffRequest
from orchestrator.schemas import answers
from orchestrator.schemas.requests.query_parameters import DiffQuery, VersionsQuery

blueprint = Blueprint("changes", __name__, url_prefix="/api/v1/jobs/<job_id>")
blueprint.before_request(check_request)

PATCH = "text/x-diff"
#: Maximum number of links in a problem, so that the problem itself does not become too large.
MOST_LINKS = 2000

Value = TypeVar("Value")


@blueprint.get("/diff")
def get_diff(job_id: str) -> Response:
    query = request.query(DiffQuery)
    diff_request = DiffRequest(
        worker_id=query.worker,
        against=query.against,
        path=query.path,
        context=query.context,
        stat=query.stat,
    )
    job, this_caller, reads = checked_job_id(job_id), caller(), service().job_lists.changes
    if flask_request.accept_mimetypes.best_match([JSON, PATCH]) == PATCH:
        return tagged_bytes(
            lambda: _changes_or_links(lambda: reads.patch(this_caller, job, diff_request)), PATCH
        )
    return tagged_bytes(
        lambda: to_json(
            asdict(_changes_or_links(lambda: reads.difference(this_caller, job, diff_request)))
        )
    )


@blueprint.get("/conflicts/<worker_id>")
def get_versions(job_id: str, worker_id: str) -> Response:
    query = request.query(VersionsQuery)
    job, name, this_caller = checked_job_id(job_id), checked_worker_id(worker_id), caller()

    def answer() -> answers.changes.VersionsAnswer:
        reads = service().job_lists.changes
        versions = _changes_or_links(lambda: reads.versions(this_caller, job, name, query.path))
        return answers.changes.VersionsAnswer(**asdict(versions))

    return tagged_answer(answer)


def _changes_or_links(read: Callable[[], Value]) -> Value:
    """Return the result of ``read``.

    Raise a 413 if the changes are too large. If the changes can be read file by file, the 413 has a
    link to the changes of each file.
    """
    try:
        return read()
    except TooLarge as error:
        parameters = flask_request.args.to_dict()
        links = {
            path: f"{flask_request.path}?{urlencode({**parameters, 'path': path})}"
            for path in error.parts[:MOST_LINKS]
        }
        raise ProblemError(
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            type=error.kind,
            detail=error.message + ("; get each file by its URL in links" if links else ""),
            more={"links": links},
        ) from None
