"""Calls that read a job."""

from collections.abc import Mapping

from flask import Blueprint, Response, current_app

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request
from orchestrator.api.http.path_ids import checked_job_id
from orchestrator.api.routes.response import json_answer, tagged_answer, tagged_with_left
from orchestrator.api.serializers.candidates import candidates_answer
from orchestrator.api.serializers.common import TaggedBody
from orchestrator.api.serializers.job import job_answer, tree_answer
from orchestrator.api.serializers.job_cards import job_card
from orchestrator.api.serializers.results import StatusParts, results
from orchestrator.api.serializers.status_rows import JobRows, StatusRows, status_bytes
from orchestrator.core.errors import Conflict
from orchestrator.core.ports.listings import JobFilter
from orchestrator.schemas.answers.common import JobsAnswer, Results
from orchestrator.schemas.requests.queries import JobQuery, JobsQuery, NoQuery, StatusQuery

blueprint = Blueprint("jobs", __name__, url_prefix="/api/v1/jobs")
blueprint.before_request(authenticate)


@blueprint.get("")
def list_jobs() -> Response:
    query = request.query(JobsQuery)
    wanted = JobFilter(
        statuses=query.status,
        parent=query.parent and checked_job_id(query.parent),
        depth=query.depth,
        text=query.q,
        labels=[(name, value) for name, _, value in (each.partition(":") for each in query.label)],
        since=query.since.timestamp() if query.since else None,
    )
    found = service().reads.jobs(
        caller(), wanted, query.needs, page=query.page, page_size=query.page_size
    )
    return json_answer(
        JobsAnswer(
            jobs=[job_card(card) for card in found.cards],
            total=found.total,
            page=query.page,
            page_size=query.page_size,
        )
    )


@blueprint.get("/<job_id>")
def get_job(job_id: str) -> Response:
    query = request.query(JobQuery)
    asked, who = checked_job_id(job_id), caller()
    return tagged_answer(lambda: job_answer(service(), who, asked, query))


@blueprint.get("/<job_id>/status")
def get_status(job_id: str) -> Response:
    query = request.query(StatusQuery)
    asked, who = checked_job_id(job_id), caller()
    rows: StatusRows = current_app.extensions["orchestrator.status_rows"]

    def answer() -> tuple[TaggedBody, Mapping[str, object]]:
        parts = StatusParts(service(), who, asked)
        # A worker does not see all of a tree: its answers are not shared.
        known = rows.of(asked) if who.attempt is None else JobRows()
        return status_bytes(known, parts, query.tasks, query.since_seq), parts.detail.left

    return tagged_with_left(answer)


@blueprint.get("/<job_id>/results")
def get_results(job_id: str) -> Response:
    request.query(NoQuery)
    asked, who = checked_job_id(job_id), caller()

    def answer() -> Results:
        found = results(service(), who, service().detail(who, asked, with_tasks=False))
        if found is None:
            raise Conflict(
                f"no worker of job {asked} has ended yet; wait for the job: "
                f"GET /api/v1/jobs/{asked}/wait"
            )
        return found

    return tagged_answer(answer)


@blueprint.get("/<job_id>/tasks/<task_id>/candidates")
def get_candidates(job_id: str, task_id: str) -> Response:
    request.query(NoQuery)
    asked, who = checked_job_id(job_id), caller()
    return tagged_answer(lambda: candidates_answer(service(), who, asked, task_id))


@blueprint.get("/<job_id>/tree")
def get_tree(job_id: str) -> Response:
    request.query(NoQuery)
    asked, who = checked_job_id(job_id), caller()
    return tagged_answer(lambda: tree_answer(service().tree(who, asked)))
