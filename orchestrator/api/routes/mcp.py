"""The Model Context Protocol over HTTP: one message in, one JSON answer out."""

import base64
import binascii
import json
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from orchestrator.api.access.audit import READS, TOOL
from orchestrator.api.access.authentication import authenticate, caller, service
from orchestrator.api.access.rate_limits import check_rate
from orchestrator.api.http_messages import problems
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.headers import JSON, NO_STORE
from orchestrator.api.http_messages.request import checked_job_id
from orchestrator.api.mcp import protocol
from orchestrator.api.mcp.protocol import Request, RpcError, Values, text_result
from orchestrator.api.mcp.tools_file import definitions
from orchestrator.api.routes.streams import secured_reply, waiting_reply
from orchestrator.api.socket_loop.response_writers import Reply
from orchestrator.schemas.requests.query_parameters import NoQuery

if TYPE_CHECKING:
    # Imported at run time only in functions. Few servers get MCP calls, and importing these two
    # modules takes a thirtieth of the start's time.
    from orchestrator.api.mcp.tool_context import ToolContext
    from orchestrator.api.mcp.tool_execution import ToolCall

blueprint = Blueprint("mcp", __name__)
blueprint.before_request(authenticate)

VERSION_HEADER, METHOD_HEADER, NAME_HEADER = "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"
#: Answer to a waiting call when the server stops. The answer omits the job's status, because the
#: server may be unable to read the status while it stops.
STOPPING = '{"retry":true,"next":"the server is restarting; call wait again"}'
#: HTTP status by error code, only for the stateless revision, because in older revisions a 404
#: would end the client's session.
STATUS_OF = {protocol.METHOD_NOT_FOUND: HTTPStatus.NOT_FOUND}
#: Tools that count toward the rate limit for submissions.
SUBMISSIONS = frozenset({"orchestrate", "retry"})


@blueprint.post("/mcp")
def mcp_message() -> Response:
    reading.query(NoQuery)
    reading.check_json()
    try:
        message = protocol.parsed(request.get_data())
        rpc_request = protocol.request_of(message)
        _check_version(rpc_request)
    except RpcError as error:
        return _error_response(error, HTTPStatus.BAD_REQUEST)
    if rpc_request is None:
        return Response(status=HTTPStatus.ACCEPTED)
    try:
        return _answer_request(rpc_request)
    except RpcError as error:
        status = STATUS_OF.get(error.code, HTTPStatus.BAD_REQUEST)
        return _error_response(error, status if rpc_request.stateless else HTTPStatus.OK)


def _check_version(rpc_request: Request | None) -> None:
    """Raise RpcError if the headers contradict the body, or name an unknown revision."""
    version = request.headers.get(VERSION_HEADER)
    if version is not None and version not in protocol.VERSIONS:
        raise protocol.unsupported(version, rpc_request.id if rpc_request else None)
    if rpc_request is None or not rpc_request.stateless:
        return
    expected = {VERSION_HEADER: protocol.version_of(rpc_request), METHOD_HEADER: rpc_request.method}
    if rpc_request.method == "tools/call" and isinstance(rpc_request.params.get("name"), str):
        expected[NAME_HEADER] = rpc_request.params["name"]
    for header, value in expected.items():
        if _header(header) != value:
            raise rpc_request.error(
                protocol.HEADER_MISMATCH,
                f"the header {header} contradicts the body; send {value[:200]!r} in the header",
            )


def _header(name: str) -> str | None:
    """Return a header's value, decoded from ``=?base64?...?=`` if the client has encoded it.

    Return None if the header is missing, or cannot be decoded.
    """
    value = request.headers.get(name)
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def _answer_request(rpc_request: Request) -> Response:
    from orchestrator.api.mcp.tool_execution import error_result, validated_call

    if rpc_request.method != "tools/call":
        request.environ[READS] = True
        tools = definitions(for_admin=caller().is_admin)
        return _json(rpc_request.reply(protocol.answer(rpc_request, tools)))
    call = protocol.call_of(rpc_request)
    try:
        return _call_tool(rpc_request, validated_call(call))
    except Exception as error:
        request.environ.pop(READS, None)  # rejected calls are logged, also calls that only read
        return _json(rpc_request.reply(error_result(error)))


def _call_tool(rpc_request: Request, call: "ToolCall") -> Response:
    from orchestrator.api.mcp.tool_context import ToolContext
    from orchestrator.api.mcp.tool_execution import check_caller, run_tool

    request.environ[TOOL] = call.tool.name
    if call.tool.reads_only:
        request.environ[READS] = True
    else:
        service().access.check_change(caller())
    check_caller(caller(), call.tool)
    submits = call.tool.name in SUBMISSIONS
    check_rate(caller().full_name, reads=call.tool.reads_only, submits=submits)
    key = reading.idempotency_key()
    context = ToolContext(service=service(), caller=caller(), idempotency_key=key)
    answer = partial(_reply, rpc_request, context, call)
    if call.tool.name != "wait":
        return _json(rpc_request.reply(run_tool(context, call)))
    job = context.service.access.job(context.caller, checked_job_id(call.arguments.job_id))
    check = partial(context.service.job_details.answer_wait, context.caller, job.id)
    seconds = call.arguments.seconds
    if seconds == 0 or check() is not None:
        return problems.to_response(answer())
    return waiting_reply(job, seconds, check, answer, _reply_of(rpc_request, text_result(STOPPING)))


def _reply(rpc_request: Request, context: "ToolContext", call: "ToolCall") -> Reply:
    """Return the complete answer to a tool call.

    Never raises. Needs no request context of Flask.
    """
    from orchestrator.api.mcp.tool_execution import error_result, run_tool

    try:
        result = run_tool(context, call)
    except Exception as error:
        result = error_result(error)
    return _reply_of(rpc_request, result)


def _reply_of(rpc_request: Request, result: Values) -> Reply:
    body = json.dumps(rpc_request.reply(result)).encode()
    return secured_reply(
        Reply(status=200, headers=(("Content-Type", JSON), *NO_STORE.items()), body=body)
    )


def _json(values: Values, status: HTTPStatus = HTTPStatus.OK) -> Response:
    body = json.dumps(values, default=str).encode()
    return Response(body, status=status, mimetype=JSON, headers=NO_STORE)


def _error_response(error: RpcError, status: HTTPStatus) -> Response:
    return _json(error.reply(), status)
