"""Calls for checkpoints of workers' worktrees."""

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request
from orchestrator.api.http.request import checked_job_id, checked_worker_id
from orchestrator.api.routes.response import json_answer
from orchestrator.api.serializers.checkpoints import (
    checkpoints_answer,
    recounted_answer,
    rolled_back_answer,
)
from orchestrator.schemas.requests.job import RollbackRequest
from orchestrator.schemas.requests.queries import NoQuery

blueprint = Blueprint("checkpoints", __name__, url_prefix="/api/v1/jobs")
blueprint.before_request(authenticate)


@blueprint.get("/<job_id>/checkpoints")
def get_checkpoints(job_id: str) -> Response:
    request.query(NoQuery)
    return json_answer(checkpoints_answer(service(), caller(), checked_job_id(job_id)))


@blueprint.post("/<job_id>/workers/<worker_id>/rollback")
def roll_back(job_id: str, worker_id: str) -> Response:
    request.query(NoQuery)
    name = request.body(RollbackRequest, optional=True).checkpoint
    job, worker = checked_job_id(job_id), checked_worker_id(worker_id)
    return json_answer(rolled_back_answer(service(), caller(), job, worker, name))


@blueprint.post("/<job_id>/workers/<worker_id>/recount")
def recount(job_id: str, worker_id: str) -> Response:
    request.query(NoQuery)
    job, worker = checked_job_id(job_id), checked_worker_id(worker_id)
    return json_answer(recounted_answer(service(), caller(), job, worker))
