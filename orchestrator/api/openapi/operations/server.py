"""Calls about the server itself, and pages for people."""

from http import HTTPStatus

from orchestrator.api.openapi.operations.operation import (
    ACCEPTED,
    JSON,
    OK,
    PROBLEM,
    TEXT,
    Operation,
)
from orchestrator.schemas.answers import common
from orchestrator.schemas.requests import mcp

SERVER = (
    Operation(
        method="get",
        path="/api/v1/stats",
        id="getStats",
        tag="server",
        summary="Counts, rates, cost",
        answers={OK: common.StatsAnswer},
    ),
    Operation(
        method="get",
        path="/metrics",
        id="getMetrics",
        tag="server",
        summary="The same and more for Prometheus",
        answers={OK: (TEXT,)},
    ),
    Operation(
        method="post",
        path="/mcp",
        id="mcp",
        tag="server",
        summary="A message of the Model Context Protocol",
        description=(
            "The tools orchestrate, status, wait, cancel, result, logs and report for AI clients; "
            "revisions 2026-07-28 and 2025-11-25. One JSON-RPC message, one JSON answer; 202 for "
            "what needs none. Errors of the protocol are JSON-RPC errors."
        ),
        body=mcp.McpMessage,
        examples={"tools": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}},
        body_required=True,
        answers={
            OK: (JSON,),
            ACCEPTED: (),
            HTTPStatus.BAD_REQUEST: (JSON, PROBLEM),
            HTTPStatus.NOT_FOUND: (JSON, PROBLEM),
        },
        headers={"Idempotency-Key": "For orchestrate: the same key never makes a second job."},
    ),
    Operation(
        method="get",
        path="/api/v1/agents",
        id="listAgents",
        tag="server",
        summary="Agents, and whether they can work here",
        answers={OK: common.AgentsAnswer},
    ),
    Operation(
        method="get",
        path="/health",
        id="getHealth",
        tag="server",
        summary="Whether the server is alive and ready",
        answers={OK: common.HealthAnswer, HTTPStatus.SERVICE_UNAVAILABLE: common.HealthAnswer},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/healthz",
        id="getLiveness",
        tag="server",
        summary="Whether the server answers, for probes",
        answers={OK: (TEXT,)},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/readyz",
        id="getReadiness",
        tag="server",
        summary="Whether the server can do its work, for probes",
        answers={OK: (TEXT,), HTTPStatus.SERVICE_UNAVAILABLE: (TEXT,)},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/",
        id="getPage",
        tag="pages",
        summary="A page that lists jobs",
        answers={OK: ("text/html",)},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/docs",
        id="getDocs",
        tag="pages",
        summary="This document to try out",
        answers={OK: ("text/html",)},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/openapi.json",
        id="getOpenapi",
        tag="pages",
        summary="This document",
        answers={OK: (JSON,)},
        needs_key=False,
    ),
)
