"""``POST /mcp``: messages of both revisions, permissions, and hostile input."""

import json

import pytest
from flask import Flask
from flask.testing import FlaskClient

from orchestrator.api.mcp.tool_execution import TOOL_FUNCTIONS
from orchestrator.api.mcp.tool_table import TOOLS, definitions_text
from orchestrator.api.mcp.tools_file import FILE, definitions
from tests.unit.api.fake_service import KEY, READ_KEY, SUBMIT_KEY, FakeService
from tests.unit.api.mcp_calls import (
    META,
    Answer,
    error_text,
    message,
    post,
    stateless,
    submitted,
    values,
)


@pytest.fixture
def app(shared_app: Flask, service: FakeService) -> Flask:
    shared_app.extensions["orchestrator.service"] = service
    return shared_app


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
def test_the_handshake_uses_the_revision_of_the_client(client: FlaskClient, version: str) -> None:
    result = post(client, message("initialize", {"protocolVersion": version})).get_json()["result"]

    assert result["protocolVersion"] == version
    assert result["capabilities"] == {"tools": {}}
    assert result["serverInfo"]["name"] == "orchestrator"
    assert "five or more independent parts" in result["instructions"]
    assert "resultType" not in result


def test_the_handshake_offers_its_newest_revision_for_an_unknown_one(client: FlaskClient) -> None:
    for version in ("2026-07-28", "1999-01-01", None, 7):
        answer = post(client, message("initialize", {"protocolVersion": version})).get_json()
        assert answer["result"]["protocolVersion"] == "2025-11-25"


def test_a_stateless_client_discovers_and_lists(client: FlaskClient) -> None:
    found = stateless(client, "server/discover").get_json()["result"]
    tools = stateless(client, "tools/list").get_json()["result"]

    assert found["supportedVersions"][:2] == ["2026-07-28", "2025-11-25"]
    for result in (found, tools):
        assert result["resultType"] == "complete"
        assert result["ttlMs"] >= 0 and result["cacheScope"] == "private"


def test_the_listed_tools_are_those_of_the_definitions_file(client: FlaskClient) -> None:
    tools = post(client, message("tools/list")).get_json()["result"]["tools"]

    assert tools == definitions(for_admin=True)
    assert [tool["name"] for tool in tools] == list(TOOL_FUNCTIONS)


def test_workers_do_not_find_the_tools_of_people(
    client: FlaskClient, anonymous: FlaskClient, service: FakeService
) -> None:
    worker = service.workers_of(submitted(client, service))[0]
    anonymous.environ_base["HTTP_X_API_KEY"] = service.worker_key(worker)
    tools = post(anonymous, message("tools/list")).get_json()["result"]["tools"]

    missing = {*TOOL_FUNCTIONS} - {tool["name"] for tool in tools}
    assert (
        missing
        == {tool.name for tool in TOOLS if tool.for_people}
        == {
            "feedback",
            "retry",
            "answer",
            "pause",
            "resume",
            "budget",
            "merge",
            "choose",
            "message",
            "land",
            "undo",
        }
    )


def test_a_key_without_scope_admin_neither_finds_nor_calls_them(
    client: FlaskClient, anonymous: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service)
    for key, words in ((SUBMIT_KEY, "scope admin (api.keys"), (READ_KEY, "read access only")):
        anonymous.environ_base["HTTP_X_API_KEY"] = key
        tools = post(anonymous, message("tools/list")).get_json()["result"]["tools"]
        assert [tool["name"] for tool in tools] == [t.name for t in TOOLS if not t.for_people]
        assert words in error_text(anonymous, "pause", job_id=job.id)
    assert service.access.job(service.callers.of_key(KEY), job.id).pause is None


def test_the_file_of_tools_is_made_from_the_table() -> None:
    assert FILE.read_text() == definitions_text(), (
        "python -m orchestrator.api.mcp.tool_table prints what belongs in tools.generated.json"
    )


def test_schemas_are_plain_and_short() -> None:
    text = definitions_text()

    assert not {'"$ref"', '"$defs"', '"null"', '"title": "'} & {
        word for word in ('"$ref"', '"$defs"', '"null"', '"title": "') if word in text
    }
    # Each session of an AI tool reads the definitions, so their tokens cost money.
    advice = "shorten a description, or raise this limit"
    assert len(json.dumps(definitions(for_admin=False))) < 13_000, advice
    assert len(json.dumps(definitions(for_admin=True))) < 24_000, advice
    for tool in TOOLS:
        tool.arguments.model_validate(tool.example)


def test_ping_is_answered_with_nothing(client: FlaskClient) -> None:
    assert post(client, message("ping")).get_json() == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.parametrize(
    "body",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/whatever", "params": {"a": [1]}},
        {"jsonrpc": "2.0", "id": 5, "result": {}},
        {"jsonrpc": "2.0", "id": 5, "error": {"code": 1, "message": "no"}},
    ],
)
def test_a_message_that_expects_no_answer_is_accepted(client: FlaskClient, body: Answer) -> None:
    response = post(client, body)

    assert (response.status_code, response.data) == (202, b"")


def test_an_unknown_method_is_an_error(client: FlaskClient) -> None:
    handshake, modern = post(client, message("no/such")), stateless(client, "no/such")

    assert handshake.get_json()["error"]["code"] == modern.get_json()["error"]["code"] == -32601
    # A client treats a 404 as the end of its session.
    assert (handshake.status_code, modern.status_code) == (200, 404)


def test_an_unknown_revision_is_answered_with_those_there_are(client: FlaskClient) -> None:
    meta = {**META, "io.modelcontextprotocol/protocolVersion": "2030-01-01"}
    in_body = post(client, message("tools/list", {"_meta": meta}))
    in_header = post(client, message("tools/list"), **{"MCP-Protocol-Version": "2030-01-01"})

    for response in (in_body, in_header):
        error = response.get_json()["error"]
        assert (response.status_code, error["code"]) == (400, -32022)
        assert error["data"]["requested"] == "2030-01-01"
        assert "2026-07-28" in error["data"]["supported"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"MCP-Protocol-Version": "2026-07-28"},
        {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "ping"},
        {"MCP-Protocol-Version": "2025-11-25", "Mcp-Method": "tools/call", "Mcp-Name": "wait"},
        {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "cancel"},
        {
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": "=?base64?*?=",
        },
    ],
)
def test_headers_that_disagree_with_the_body_are_refused(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    body = message("tools/call", {"name": "wait", "arguments": {}, "_meta": META})
    response = post(client, body, **headers)

    assert (response.status_code, response.get_json()["error"]["code"]) == (400, -32020)


def test_a_name_may_come_wrapped_in_its_header(client: FlaskClient) -> None:
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call"}
    body = message("tools/call", {"name": "status", "_meta": META})

    response = post(client, body, **headers, **{"Mcp-Name": "=?base64?c3RhdHVz?="})

    assert response.get_json()["result"]["resultType"] == "complete"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe\x00binary\x80", -32700),
        (b"[" * 100_000, -32700),
        (b'{"a":' * 60 + b"1" + b"}" * 60, -32700),
        (b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}', -32700),
        (b'{"jsonrpc":"2.0","id":1' + b"0" * 5000 + b',"method":"ping"}', -32700),
        (b"null", -32600),
        (b"7", -32600),
        (b'"ping"', -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600),
        (b'{"id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', -32602),
    ],
)
def test_an_invalid_message_is_rejected(client: FlaskClient, raw: bytes, code: int) -> None:
    response = client.post("/mcp", data=raw, content_type="application/json")

    assert (response.status_code, response.get_json()["error"]["code"]) == (400, code)
    assert response.mimetype == "application/json"


def test_the_maximum_depth_of_json_is_named(client: FlaskClient) -> None:
    def error_of(levels: int) -> Answer:
        raw = b"[" * levels + b"]" * levels
        response = client.post("/mcp", data=raw, content_type="application/json")
        error: Answer = response.get_json()["error"]
        return error

    assert error_of(41)["code"] == -32600
    assert error_of(42)["message"] == (
        "the JSON is nested too deeply: the maximum is 41 levels of objects and lists"
    )


def test_a_tool_must_be_named(client: FlaskClient) -> None:
    for params in ({}, {"name": 7}, {"name": None, "arguments": {}}):
        answer = post(client, message("tools/call", params)).get_json()
        assert answer["error"]["code"] == -32602


def test_text_that_is_no_valid_unicode_comes_back_or_is_refused(client: FlaskClient) -> None:
    raw = b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}'
    odd = client.post("/mcp", data=raw, content_type="application/json")
    wrong = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\udfff"}}'
    tool = client.post("/mcp", data=wrong, content_type="application/json")

    assert odd.get_json()["id"] == "\ud800"
    assert tool.get_json()["result"]["isError"]


# Callers


def test_a_call_needs_a_key_in_either_header(anonymous: FlaskClient) -> None:
    assert post(anonymous, message("ping")).status_code == 401
    assert post(anonymous, message("ping"), Authorization=f"Bearer {KEY}").status_code == 200
    assert post(anonymous, message("ping"), **{"X-API-Key": KEY}).status_code == 200
    assert post(anonymous, message("ping"), **{"X-API-Key": "wrong"}).status_code == 401


def test_pages_of_other_sites_and_other_names_are_refused(client: FlaskClient) -> None:
    assert post(client, message("ping"), Origin="https://evil.example").status_code == 403
    assert post(client, message("ping"), Host="evil.example").status_code == 403


def test_only_json_by_post_is_accepted(client: FlaskClient) -> None:
    assert client.post("/mcp", data="{}", content_type="text/plain").status_code == 415
    assert client.get("/mcp").status_code == 405
    assert client.delete("/mcp").status_code == 405
    assert (
        client.post("/mcp", data=b"x" * 300_000, content_type="application/json").status_code == 413
    )


def test_a_key_for_reading_reads_and_changes_nothing(
    anonymous: FlaskClient, client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service)
    anonymous.environ_base["HTTP_X_API_KEY"] = READ_KEY

    assert values(anonymous, "status", job_id=job.id)["status"] == "pending"
    assert "read access only" in error_text(anonymous, "orchestrate", request="x")


def test_a_worker_sees_its_own_subtree_alone(
    client: FlaskClient, anonymous: FlaskClient, service: FakeService
) -> None:
    mine, other = submitted(client, service), submitted(client, service)
    anonymous.environ_base["HTTP_X_API_KEY"] = service.worker_key(service.workers_of(mine)[0])

    assert "not-found" in error_text(anonymous, "status", job_id=other.id)
    for tool in ("status", "wait", "cancel", "result", "report"):
        assert "not-found" in error_text(anonymous, tool, job_id=other.id)
    assert "not-found" in error_text(anonymous, "logs", job_id=other.id, worker_id="worker_1")
