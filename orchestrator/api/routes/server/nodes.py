"""The nodes of the cluster."""

from dataclasses import asdict

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request
from orchestrator.api.routes.response import json_answer
from orchestrator.schemas.answers.nodes import NodeAnswer, NodesAnswer
from orchestrator.schemas.requests.queries import NoQuery

blueprint = Blueprint("nodes", __name__)
blueprint.before_request(authenticate)


@blueprint.get("/api/v1/nodes")
def get_nodes() -> Response:
    request.query(NoQuery)
    found = service().nodes(caller())
    nodes = [
        NodeAnswer.model_validate({**asdict(each), "agents": [*each.agents]}) for each in found
    ]
    return json_answer(NodesAnswer(nodes=nodes))
