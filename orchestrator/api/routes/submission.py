"""The call that submits a job: ``POST /api/v1/orchestrate``."""

from http import HTTPStatus

from flask import Blueprint, Response

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import request as reading
from orchestrator.api.routes.json_answers import json_answer
from orchestrator.api.serializers.answer_parts import (
    accepted_answer,
    job_path,
)
from orchestrator.core.model.submission import Accepted
from orchestrator.schemas import requests
from orchestrator.schemas.requests.query_parameters import NoQuery

blueprint = Blueprint("submission", __name__, url_prefix="/api/v1")
blueprint.before_request(check_request)


@blueprint.post("/orchestrate")
def orchestrate() -> Response:
    reading.query(NoQuery)
    request = reading.body(requests.job.OrchestrateRequest)
    submission = request.to_submission(reading.idempotency_key())
    return accepted_response(service().submissions.submit(caller(), submission))


def accepted_response(accepted: Accepted) -> Response:
    location = f"{job_path(accepted.job.id)}/status"
    return json_answer(accepted_answer(accepted), HTTPStatus.ACCEPTED, location)
