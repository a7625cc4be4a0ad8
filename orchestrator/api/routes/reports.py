"""Rendered reports."""

from flask import Blueprint, Response

from orchestrator.api.access.callers import authenticate, caller, service
from orchestrator.api.http import request
from orchestrator.api.http.log_response import text_file
from orchestrator.api.http.request import checked_job_id, checked_report_name
from orchestrator.core.errors import NotFound
from orchestrator.schemas.requests.query_parameters import NoQuery

blueprint = Blueprint("reports", __name__, url_prefix="/api/v1/jobs/<job_id>/reports")
blueprint.before_request(authenticate)

MEDIA_TYPES = {
    ".md": "text/markdown; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}


@blueprint.get("/<path:name>")
def get_report(job_id: str, name: str) -> Response:
    request.query(NoQuery)
    job = service().access.job(caller(), checked_job_id(job_id))
    path = service().queries.report_path(caller(), job_id, checked_report_name(name))
    media_type = MEDIA_TYPES.get(path.suffix.lower(), MEDIA_TYPES[".txt"])
    try:
        return text_file(path, media_type, within=service().queries.workspace(job).parent)
    except FileNotFoundError:
        raise NotFound(
            f"report {path.name} does not exist yet; reports are written when a job ends"
        ) from None
