"""The nodes of the cluster."""

from dataclasses import asdict

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request
from orchestrator.api.routes.response import json_answer
from orchestrator.core.ports.read_models import NodeState
from orchestrator.schemas.answers.server import NodeAnswer, NodesAnswer
from orchestrator.schemas.requests.job import EmptyRequest
from orchestrator.schemas.requests.queries import NoQuery

blueprint = Blueprint("nodes", __name__)
blueprint.before_request(authenticate)


@blueprint.get("/api/v1/nodes")
def get_nodes() -> Response:
    request.query(NoQuery)
    found = service().nodes(caller())
    return json_answer(NodesAnswer(nodes=[_answer(each) for each in found]))


@blueprint.post("/api/v1/nodes/<name>/drain")
def drain_node(name: str) -> Response:
    return _drained(name, drained=True)


@blueprint.post("/api/v1/nodes/<name>/undrain")
def undrain_node(name: str) -> Response:
    return _drained(name, drained=False)


def _drained(name: str, *, drained: bool) -> Response:
    request.query(NoQuery)
    request.body(EmptyRequest, optional=True)
    return json_answer(_answer(service().drain_node(caller(), name, drained=drained)))


def _answer(node: NodeState) -> NodeAnswer:
    values = {**asdict(node), "agents": [*node.agents]}
    unusable = [
        {"name": each.name, "reason": each.reason, "fix": [*each.fix]}
        for each in values.pop("unusable")
    ]
    return NodeAnswer.model_validate({**values, "unusable_agents": unusable})
