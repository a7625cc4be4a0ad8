"""Calls that show the workers of a job."""

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request
from orchestrator.api.http.path_ids import checked_job_id
from orchestrator.api.routes.response import tagged_bytes
from orchestrator.api.serializers.columns import columns_answer
from orchestrator.schemas.requests.queries import NoQuery

blueprint = Blueprint("workers", __name__, url_prefix="/api/v1/jobs/<job_id>")
blueprint.before_request(authenticate)


@blueprint.get("/columns")
def get_columns(job_id: str) -> Response:
    request.query(NoQuery)
    asked, who = checked_job_id(job_id), caller()
    return tagged_bytes(lambda: columns_answer(service().reads.snapshot(who, asked)))
