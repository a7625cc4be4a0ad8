"""Counts: for programs as JSON, for Prometheus as text."""

from flask import Blueprint, Response, current_app

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request
from orchestrator.api.http.metrics import Metrics
from orchestrator.api.routes.response import json_answer
from orchestrator.schemas.answers.common import StatsAnswer
from orchestrator.schemas.requests.queries import NoQuery

blueprint = Blueprint("stats", __name__)
blueprint.before_request(authenticate)


@blueprint.get("/api/v1/stats")
def get_stats() -> Response:
    request.query(NoQuery)
    return json_answer(StatsAnswer.model_validate(dict(service().stats(caller()))))


@blueprint.get("/metrics")
def get_metrics() -> Response:
    request.query(NoQuery)
    metrics: Metrics = current_app.extensions["orchestrator.metrics"]
    text = metrics.text(service().stats(caller()))
    return Response(text, content_type=metrics.CONTENT_TYPE, headers={"Cache-Control": "no-store"})
