"""Calls that show conflicts, repeat a merge, choose a candidate, and land or undo a result."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.request import checked_job_id
from orchestrator.api.routes.json_answers import json_answer
from orchestrator.api.serializers.answer_parts import job_path
from orchestrator.api.serializers.landing import land_answer, landing_plan_answer, undo_answer
from orchestrator.api.serializers.status import (
    changes_outside_result,
    missing_changes,
    workers_by_job,
)
from orchestrator.schemas import requests, requests_with_answers
from orchestrator.schemas.requests.query_parameters import NoQuery

blueprint = Blueprint("merge", __name__, url_prefix="/api/v1/jobs/<job_id>")
blueprint.before_request(check_request)


@blueprint.get("/conflicts")
def get_conflicts(job_id: str) -> Response:
    reading.query(NoQuery)
    return json_answer(_answer(checked_job_id(job_id)))


@blueprint.post("/merge")
def merge_job(job_id: str) -> Response:
    reading.query(NoQuery)
    request = reading.body(requests_with_answers.merge_and_landing.MergeRequest, optional=True)
    choice = request.to_choice()
    if service().merges.merge(caller(), checked_job_id(job_id), choice):
        return json_answer(_answer(job_id))
    if choice.resolve:
        # The merge is still running, and its record does not exist before its end.
        strategy = service().access.job(caller(), job_id).config.merge_strategy
        answer = requests_with_answers.merge_and_landing.ConflictsAnswer(
            job_id=job_id, strategy=strategy, merging=True
        )
        return json_answer(answer, HTTPStatus.ACCEPTED, f"{job_path(job_id)}/status")
    return json_answer(_answer(job_id), HTTPStatus.ACCEPTED, f"{job_path(job_id)}/conflicts")


@blueprint.post("/tasks/<task_id>/choice")
@blueprint.post("/tasks/<task_id>/choose")
def choose_candidate(job_id: str, task_id: str) -> Response:
    reading.query(NoQuery)
    # Check the access before the body: a caller that may not see the job gets a 404, and no errors
    # about the body.
    service().access.job(caller(), checked_job_id(job_id))
    request = reading.body(requests_with_answers.merge_and_landing.ChoiceRequest)
    if service().merges.choose(caller(), job_id, task_id, request.worker_id, request.reason):
        return json_answer(_answer(job_id))
    return json_answer(_answer(job_id), HTTPStatus.ACCEPTED, f"{job_path(job_id)}/conflicts")


@blueprint.post("/land")
def land_job(job_id: str) -> Response:
    reading.query(NoQuery)
    # Check the access before the body: a caller that may not see the job gets a 404, and no errors
    # about the body.
    service().access.job(caller(), checked_job_id(job_id))
    body = reading.body(requests_with_answers.merge_and_landing.LandBody, optional=True)
    answer = landing_plan_answer if body.check else land_answer
    return json_answer(answer(service(), caller(), job_id, body.to_request()))


@blueprint.post("/undo")
def undo_landing(job_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(requests.job.EmptyRequest, optional=True)
    return json_answer(undo_answer(service(), caller(), checked_job_id(job_id)))


def _answer(job_id: str) -> requests_with_answers.merge_and_landing.ConflictsAnswer:
    detail = service().job_details.detail(caller(), job_id, with_tasks=False)
    job = detail.job
    workers = workers_by_job(service(), caller(), detail)
    record = service().job_details.merge_record(caller(), job_id)
    fields = {
        "job_id": job_id,
        "status": job.status,
        "strategy": job.config.merge_strategy,
        **record,
        "unmerged": record.get("left_out") or {},
        "unapplied": record.get("handed"),
        "unresolved_reasons": record.get("hindrances") or {},
        "checkout_changes": record.get("leaks") or [],
        "repository_repairs": record.get("put_back") or [],
        "gates": [
            {**gate, "baseline_findings": gate.get("known", 0)} for gate in record.get("gates", ())
        ],
        "missing": missing_changes(service(), caller(), job),
        "made_not_in_result": changes_outside_result(service(), caller(), job, workers),
        "merging": service().merges.is_merging(job_id),
    }
    return requests_with_answers.merge_and_landing.ConflictsAnswer(**fields)
