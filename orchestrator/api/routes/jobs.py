"""Calls that read a job, and its reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

import flask
from flask import Blueprint, Response, current_app

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.access.rate_limits import RateLimits
from orchestrator.api.http_messages import request
from orchestrator.api.http_messages.log_response import text_file
from orchestrator.api.http_messages.metrics import Metrics
from orchestrator.api.http_messages.poll_answer import ANSWER_SOURCE, PollAnswer
from orchestrator.api.http_messages.request import checked_job_id, checked_report_name
from orchestrator.api.routes.json_answers import (
    tagged_answer,
    tagged_bytes,
    tagged_with_remaining_quota,
)
from orchestrator.api.serializers.candidates import candidates_answer
from orchestrator.api.serializers.job import job_answer, tree_answer
from orchestrator.api.serializers.job_lists import LatestCards, jobs_bytes
from orchestrator.api.serializers.json_encoding import TaggedBody, end_of
from orchestrator.api.serializers.status import StatusParts, results
from orchestrator.api.serializers.status_cache import (
    JobRows,
    StatusRows,
    TaskSelection,
    quick_status_bytes,
    selection_of,
    status_bytes,
)
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.model.caller import Caller
from orchestrator.core.ports.read_models import JobFilter
from orchestrator.engine.service.service import Service
from orchestrator.schemas import answers
from orchestrator.schemas.requests.query_parameters import JobQuery, JobsQuery, NoQuery, StatusQuery

blueprint = Blueprint("jobs", __name__, url_prefix="/api/v1/jobs")
blueprint.before_request(check_request)

#: Function that returns the current answer, or None if the application must answer. The arguments
#: are the first two of an ``AnswerSource``.
_CurrentAnswer = Callable[[bool, int | None], PollAnswer | None]

#: Media types of reports, by the suffix of the file's name.
MEDIA_TYPES = {
    ".md": "text/markdown; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}


@blueprint.get("")
def list_jobs() -> Response:
    query = request.query(JobsQuery)
    job_filter = JobFilter(
        statuses=query.status,
        parent=query.parent and checked_job_id(query.parent),
        depth=query.depth,
        text=query.q,
        labels=[(name, value) for name, _, value in (each.partition(":") for each in query.label)],
        since=query.since.timestamp() if query.since else None,
    )
    this_caller, reads = caller(), service().job_lists
    cards: LatestCards = current_app.extensions["orchestrator.cards"]

    def answer() -> bytes:
        page = reads.jobs(
            this_caller, job_filter, query.needs, page=query.page, page_size=query.page_size
        )
        versions = {job: reads.version(job) for job in page.jobs}
        return jobs_bytes(
            cards.of(versions, reads.cards),
            total=page.total,
            page=query.page,
            page_size=query.page_size,
        )

    return tagged_bytes(answer)


@blueprint.get("/<job_id>")
def get_job(job_id: str) -> Response:
    query = request.query(JobQuery)
    checked_id, this_caller = checked_job_id(job_id), caller()
    return tagged_answer(lambda: job_answer(service(), this_caller, checked_id, query))


@blueprint.get("/<job_id>/status")
def get_status(job_id: str) -> Response:
    query = request.query(StatusQuery)
    checked_id, this_caller = checked_job_id(job_id), caller()
    rows: StatusRows = current_app.extensions["orchestrator.status_cache"]
    selection = selection_of(query.tasks, query.since_seq)

    def answer() -> tuple[TaggedBody, Mapping[str, object]]:
        parts = StatusParts(service(), this_caller, checked_id)
        # A worker sees only a part of the tree, so its rows are not shared with other callers.
        cached = rows.of(checked_id) if this_caller.attempt is None else JobRows()
        return status_bytes(cached, parts, selection), parts.detail.left

    response = tagged_with_remaining_quota(answer)
    if this_caller.attempt is None:
        _allow_repeats(_status_source(service(), rows, this_caller, checked_id, selection))
    return response


def _status_source(
    served: Service, rows: StatusRows, this_caller: Caller, job_id: str, selection: TaskSelection
) -> _CurrentAnswer:
    tasks = selection[0]
    # The latest answer: version of the tree, monotonic second, and the last part of the body. The
    # last part has the remaining quota. The quota changes with the version. It also changes each
    # second, because it includes time.
    latest = (0, 0, b"")

    def current(packed: bool, since: int | None) -> PollAnswer | None:
        nonlocal latest
        # Read the version first. If the quota then changes, the next call sees a new version, and
        # reads the quota again.
        version = served.job_lists.version(served.access.job(this_caller, job_id))
        second = int(time.monotonic())
        current_selection = selection if since is None else selection_of(tasks, since)
        cached = rows.cached(job_id)
        body = cached.at(version, current_selection)
        if body is None:
            status = quick_status_bytes(
                cached, lambda: StatusParts(served, this_caller, job_id), current_selection
            )
            if status is None:
                return None
            body, left = status
            latest = (version, second, end_of(left))
        elif latest[:2] != (version, second):
            left = served.job_details.detail(this_caller, job_id, with_tasks=False).left
            latest = (version, second, end_of(left))
        end = latest[2]
        pieces = body.packed_with_end(end) if packed else body.with_end(end)
        return PollAnswer(f'W/"{body.tag}"', pieces)

    return current


def _allow_repeats(current: _CurrentAnswer) -> None:
    """Let the server's event loop answer later requests that are equal to this request.

    The loop gets the body of each of these answers from the function ``current``. Any thread may
    call ``current``. Each of the answers counts toward the caller's rate limit, and in the metrics.
    """
    limits: RateLimits = current_app.extensions["orchestrator.limits"]
    metrics: Metrics = current_app.extensions["orchestrator.metrics"]
    name, route = (
        caller().full_name,
        flask.request.url_rule.rule if flask.request.url_rule else "none",
    )

    def repeat(packed: bool, since: int | None, unchanged: str) -> PollAnswer | None:
        began = time.perf_counter()
        repeated = current(packed, since)
        if repeated is None or unchanged not in ("", repeated.etag):
            return None
        if limits.reads.take(name):
            return None  # above the limit, the application answers with 429
        status = HTTPStatus.NOT_MODIFIED if unchanged else HTTPStatus.OK
        metrics.count("GET", route, status, began)
        return repeated

    flask.request.environ[ANSWER_SOURCE] = repeat


@blueprint.get("/<job_id>/results")
def get_results(job_id: str) -> Response:
    request.query(NoQuery)
    checked_id, this_caller = checked_job_id(job_id), caller()

    def answer() -> answers.status.Results:
        detail = service().job_details.detail(this_caller, checked_id, with_tasks=False)
        job_results = results(service(), this_caller, detail)
        if job_results is None:
            raise Conflict(
                f"no worker of job {checked_id} has ended yet; wait for the job: "
                f"GET /api/v1/jobs/{checked_id}/wait"
            )
        return job_results

    return tagged_answer(answer)


@blueprint.get("/<job_id>/tasks/<task_id>/candidates")
def get_candidates(job_id: str, task_id: str) -> Response:
    request.query(NoQuery)
    checked_id, this_caller = checked_job_id(job_id), caller()
    return tagged_answer(lambda: candidates_answer(service(), this_caller, checked_id, task_id))


@blueprint.get("/<job_id>/tree")
def get_tree(job_id: str) -> Response:
    request.query(NoQuery)
    checked_id, this_caller = checked_job_id(job_id), caller()
    return tagged_answer(lambda: tree_answer(service().job_details.tree(this_caller, checked_id)))


@blueprint.get("/<job_id>/reports/<path:name>")
def get_report(job_id: str, name: str) -> Response:
    request.query(NoQuery)
    job = service().access.job(caller(), checked_job_id(job_id))
    path = service().job_details.report_path(caller(), job_id, checked_report_name(name))
    media_type = MEDIA_TYPES.get(path.suffix.lower(), MEDIA_TYPES[".txt"])
    try:
        return text_file(path, media_type, within=service().job_details.workspace(job).parent)
    except FileNotFoundError:
        raise NotFound(
            f"report {path.name} does not exist yet; reports are written when a job ends"
        ) from None
