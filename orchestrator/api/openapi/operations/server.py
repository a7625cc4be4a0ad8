"""Calls about the server itself, and pages for people."""

from http import HTTPStatus

from orchestrator.api.http_messages.headers import JSON
from orchestrator.api.openapi.operations.operation import (
    ACCEPTED,
    OK,
    PROBLEM,
    TEXT,
    Operation,
)
from orchestrator.schemas.answers import server
from orchestrator.schemas.requests import mcp_message
from orchestrator.schemas.requests.job import EmptyRequest

_OF_NODE = "404: no such node; the detail names the nodes. 403: the key lacks the scope admin."

SERVER = (
    Operation(
        method="get",
        path="/api/v1/stats",
        id="getStats",
        tag="server",
        summary="Get counts, rates, and cost of all jobs",
        answers={OK: server.StatsAnswer},
    ),
    Operation(
        method="get",
        path="/metrics",
        id="getMetrics",
        tag="server",
        summary="Get metrics for Prometheus",
        answers={OK: (TEXT,)},
    ),
    Operation(
        method="post",
        path="/mcp",
        id="mcp",
        tag="server",
        summary="Send a message of the Model Context Protocol",
        description=(
            "For AI clients: tools such as orchestrate, wait, and result; `tools/list` lists all. "
            "Revisions: 2026-07-28 and 2025-11-25. A JSON-RPC request is answered by one JSON "
            "message; a JSON-RPC notification or response, by 202. Errors of the protocol are "
            "JSON-RPC errors."
        ),
        body=mcp_message.McpMessage,
        examples={"tools": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}},
        body_required=True,
        answers={
            OK: (JSON,),
            ACCEPTED: (),
            HTTPStatus.BAD_REQUEST: (JSON, PROBLEM),
            HTTPStatus.NOT_FOUND: (JSON, PROBLEM),
        },
        headers={
            "Idempotency-Key": "Unique key of a job, for the tool orchestrate; a repeated call "
            "with the same key starts no second job."
        },
    ),
    Operation(
        method="get",
        path="/api/v1/agents",
        id="listAgents",
        tag="server",
        summary="List agents and their availability",
        answers={OK: server.AgentsAnswer},
    ),
    Operation(
        method="get",
        path="/api/v1/nodes",
        id="listNodes",
        tag="server",
        summary="List the nodes of the cluster",
        answers={OK: server.NodesAnswer},
    ),
    Operation(
        method="post",
        path="/api/v1/nodes/{name}/drain",
        id="drainNode",
        tag="server",
        summary="Start no more workers on a node",
        description=(
            "Running workers of the node continue. Idempotent. The node stays drained after a "
            f"restart of the node or the server. {_OF_NODE}"
        ),
        body=EmptyRequest,
        answers={OK: server.NodeAnswer},
        errors=(HTTPStatus.NOT_FOUND,),
    ),
    Operation(
        method="post",
        path="/api/v1/nodes/{name}/undrain",
        id="undrainNode",
        tag="server",
        summary="Let workers start on a drained node again",
        description=f"Idempotent. {_OF_NODE}",
        body=EmptyRequest,
        answers={OK: server.NodeAnswer},
        errors=(HTTPStatus.NOT_FOUND,),
    ),
    Operation(
        method="get",
        path="/health",
        id="getHealth",
        tag="server",
        summary="Get the health and readiness of the server",
        answers={
            OK: server.HealthAnswer,
            HTTPStatus.SERVICE_UNAVAILABLE: server.HealthAnswer,
        },
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/healthz",
        id="getLiveness",
        tag="server",
        summary="Check if the server is alive (for probes)",
        answers={OK: (TEXT,)},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/readyz",
        id="getReadiness",
        tag="server",
        summary="Check if the server is ready (for probes)",
        answers={OK: (TEXT,), HTTPStatus.SERVICE_UNAVAILABLE: (TEXT,)},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/",
        id="getPage",
        tag="pages",
        summary="Get the dashboard, or the server's name, version, and main addresses as JSON",
        description="A call with Accept: application/json gets the JSON answer.",
        answers={OK: ("text/html", JSON)},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/docs",
        id="getDocs",
        tag="pages",
        summary="Get this document as an interactive page",
        answers={OK: ("text/html",)},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/openapi.json",
        id="getOpenapi",
        tag="pages",
        summary="Get this document",
        answers={OK: (JSON,)},
        needs_key=False,
    ),
)
