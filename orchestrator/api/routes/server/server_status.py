"""Calls about the server itself: project, other servers, names of API keys, agents, and doctor.

Two more calls return counts of jobs and workers: one as JSON, the other as text for Prometheus.
"""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response, current_app

from orchestrator import __version__
from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import request
from orchestrator.api.http_messages.headers import NO_STORE
from orchestrator.api.http_messages.metrics import Metrics
from orchestrator.api.routes.json_answers import json_answer
from orchestrator.api.serializers.agent_list import agents_answer
from orchestrator.api.server_options import ApiOptions
from orchestrator.core.errors import Forbidden
from orchestrator.core.model.caller import Scope
from orchestrator.schemas import answers
from orchestrator.schemas.requests.query_parameters import NoQuery

blueprint = Blueprint("server", __name__)
blueprint.before_request(check_request)


@blueprint.get("/api/v1/server")
def get_server() -> Response:
    request.query(NoQuery)
    service().access.check_person(caller())
    options: ApiOptions = current_app.extensions["orchestrator.options"]
    records = options.other_servers()
    servers = [
        answers.server.OtherServerAnswer(url=each.url, project=each.project) for each in records
    ]
    return json_answer(
        answers.server.ServerAnswer(version=__version__, project=options.project, servers=servers)
    )


@blueprint.get("/api/v1/keys")
def list_keys() -> Response:
    request.query(NoQuery)
    holders = service().access.keys(caller())
    keys = [
        answers.server.KeyAnswer(name=each.name, scopes=sorted(each.scopes)) for each in holders
    ]
    return json_answer(answers.server.KeysAnswer(keys=keys))


@blueprint.get("/api/v1/doctor")
def get_doctor() -> Response:
    request.query(NoQuery)
    service().access.check_person(caller())
    if Scope.ADMIN not in caller().scopes:
        raise Forbidden(
            f"key {caller().name!r} may not read the checks of the installation; use a key with "
            "the scope admin"
        )
    options: ApiOptions = current_app.extensions["orchestrator.options"]
    results = options.doctor()
    checks = [answers.server.DoctorCheckAnswer(**asdict(each)) for each in results]
    return json_answer(
        answers.server.DoctorAnswer(ok=all(each.ok is not False for each in results), checks=checks)
    )


@blueprint.get("/api/v1/agents")
def get_agents() -> Response:
    request.query(NoQuery)
    return json_answer(agents_answer(service().server_status.agents()))


@blueprint.get("/api/v1/stats")
def get_stats() -> Response:
    request.query(NoQuery)
    return json_answer(
        answers.server.StatsAnswer.model_validate(dict(service().server_status.stats(caller())))
    )


@blueprint.get("/metrics")
def get_metrics() -> Response:
    request.query(NoQuery)
    metrics: Metrics = current_app.extensions["orchestrator.metrics"]
    text = metrics.text(
        service().server_status.stats(caller()), service().server_status.nodes(caller())
    )
    return Response(text, content_type=metrics.CONTENT_TYPE, headers=NO_STORE)
