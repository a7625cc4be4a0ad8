"""The list of agents, and their availability here."""

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, service
from orchestrator.api.http import request
from orchestrator.api.routes.response import json_answer
from orchestrator.api.serializers.common import agents_answer
from orchestrator.schemas.requests.queries import NoQuery

blueprint = Blueprint("agents", __name__)
blueprint.before_request(authenticate)


@blueprint.get("/api/v1/agents")
def get_agents() -> Response:
    request.query(NoQuery)
    return json_answer(agents_answer(service().agents()))
