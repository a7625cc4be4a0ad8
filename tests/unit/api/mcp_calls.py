"""Messages of the Model Context Protocol, and the POST requests that send them."""

import json
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from orchestrator.core.model.job import Job
from tests.unit.api.fake_service import KEY, FakeService

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
Answer = dict[str, Any]


def message(method: str, params: Any = None, **more: Any) -> Answer:
    optional = {} if params is None else {"params": params}
    return {"jsonrpc": "2.0", "id": 1, "method": method, **optional, **more}


def post(client: FlaskClient, body: Any, **headers: str) -> TestResponse:
    return client.post("/mcp", json=body, headers=headers)


def stateless(client: FlaskClient, method: str, **params: Any) -> TestResponse:
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    if "name" in params:
        headers["Mcp-Name"] = params["name"]
    return post(client, message(method, {**params, "_meta": META}), **headers)


def call(client: FlaskClient, tool: str, **arguments: Any) -> Answer:
    """Return the result of a tool as text."""
    response = post(client, message("tools/call", {"name": tool, "arguments": arguments}))
    assert response.status_code == 200
    result: Answer = response.get_json()["result"]
    assert [part["type"] for part in result["content"]] == ["text"]
    return result


def values(client: FlaskClient, tool: str, **arguments: Any) -> Answer:
    result = call(client, tool, **arguments)
    assert not result["isError"], result
    found: Answer = json.loads(result["content"][0]["text"])
    return found


def error_text(client: FlaskClient, tool: str, **arguments: Any) -> str:
    result = call(client, tool, **arguments)
    assert result["isError"], result
    return str(result["content"][0]["text"])


def submitted(client: FlaskClient, service: FakeService, **arguments: Any) -> Job:
    job_id = values(client, "orchestrate", request="Do it", **arguments)["job_id"]
    return service.access.job(service.callers.of_key(KEY), job_id)
