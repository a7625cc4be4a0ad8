"""Calls about the health of the server, without a key: readiness, and probes of liveness."""

from http import HTTPStatus

from flask import Blueprint, Response

from orchestrator.api.access.authentication import service
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.headers import NO_STORE, PLAIN_TEXT
from orchestrator.api.routes.json_answers import json_answer
from orchestrator.schemas import answers
from orchestrator.schemas.requests.query_parameters import NoQuery

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
def get_health() -> Response:
    reading.query(NoQuery)
    health = service().server_status.health()
    answer = answers.server.HealthAnswer(
        status="ok" if health.ready else "unavailable",
        ready=health.ready,
        checks=dict(health.checks),
        paused=health.paused,
        usable_agents=health.usable_agents,
        known_agents=health.known_agents,
        containment=health.containment,
        version=health.version,
    )
    status = HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE
    response = json_answer(answer, status)
    if not health.ready:
        response.headers["Retry-After"] = "2"
    return response


@blueprint.get("/healthz")
def get_liveness() -> Response:
    # A monitor restarts a server that does not answer. A slow store must not cause a restart.
    return _plain_text("ok", HTTPStatus.OK)


@blueprint.get("/readyz")
def get_readiness() -> Response:
    health = service().server_status.health()
    if health.ready:
        return _plain_text("ok", HTTPStatus.OK)
    failures = (f"{part}: {word}" for part, word in health.checks.items() if word != "ok")
    return _plain_text("\n".join(failures), HTTPStatus.SERVICE_UNAVAILABLE)


def _plain_text(text: str, status: HTTPStatus) -> Response:
    return Response(f"{text}\n", status=int(status), content_type=PLAIN_TEXT, headers=NO_STORE)
