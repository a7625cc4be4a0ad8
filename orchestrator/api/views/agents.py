"""Which agents there are, and whether they can work here."""

from flask import Blueprint, Response

from orchestrator.api import reading
from orchestrator.api.answering import json_answer
from orchestrator.api.auth import authenticate, service
from orchestrator.api.render import agents_answer
from orchestrator.schemas.queries import NoQuery

blueprint = Blueprint("agents", __name__)
blueprint.before_request(authenticate)


@blueprint.get("/api/v1/agents")
def get_agents() -> Response:
    reading.query(NoQuery)
    return json_answer(agents_answer(service().agents()))
