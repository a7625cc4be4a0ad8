"""Calls that list the nodes of a cluster, and drain a node."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import request
from orchestrator.api.routes.json_answers import json_answer
from orchestrator.core.ports.read_models import NodeState
from orchestrator.schemas import answers, requests
from orchestrator.schemas.requests.query_parameters import NoQuery

blueprint = Blueprint("nodes", __name__)
blueprint.before_request(check_request)


@blueprint.get("/api/v1/nodes")
def get_nodes() -> Response:
    request.query(NoQuery)
    states = service().server_status.nodes(caller())
    nodes = answers.server.NodesAnswer(nodes=[_node_answer(each) for each in states])
    return json_answer(nodes, has_nulls=True)


@blueprint.post("/api/v1/nodes/<name>/drain")
def drain_node(name: str) -> Response:
    return _drain(name, drained=True)


@blueprint.post("/api/v1/nodes/<name>/undrain")
def undrain_node(name: str) -> Response:
    return _drain(name, drained=False)


def _drain(name: str, *, drained: bool) -> Response:
    request.query(NoQuery)
    request.body(requests.job.EmptyRequest, optional=True)
    node = _node_answer(service().nodes.drain_node(caller(), name, drained=drained))
    return json_answer(node, has_nulls=True)


def _node_answer(node: NodeState) -> answers.server.NodeAnswer:
    values = {**asdict(node), "agents": [*node.agents]}
    unusable = [
        {"name": each.name, "reason": each.reason, "fix": [*each.fix]}
        for each in values.pop("unusable")
    ]
    return answers.server.NodeAnswer.model_validate({**values, "unusable_agents": unusable})
