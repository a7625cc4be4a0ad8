"""MCP messages in both current revisions: 2026-07-28 (stateless) and 2025-11-25 (handshake).

Standard library only, because ``orchestrator mcp`` must start fast.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator import __version__
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.json_values import strict_json

Values = dict[str, Any]
RequestId = str | int

STATELESS = ("2026-07-28",)
#: Protocol versions, the newest first. The three older versions do not differ for these tools.
HANDSHAKE = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
VERSIONS = (*STATELESS, *HANDSHAKE)

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022

META_PREFIX = "io.modelcontextprotocol/"
VERSION_KEY = f"{META_PREFIX}protocolVersion"
CAPABILITIES_KEY = f"{META_PREFIX}clientCapabilities"

SERVER = {"name": "orchestrator", "version": __version__}
CAPABILITIES: Values = {"tools": {}}
#: Milliseconds for which a client may cache its list of tools. The time is long, because only
#: another release changes the list.
LIST_TTL_MS = 3_600_000

DEEPEST_JSON = 40

INSTRUCTIONS = """\
Runs a request as a tree of worker processes and combines their results in one report. Use it for
work with about five or more independent parts; do smaller work yourself. Call orchestrate once,
with tasks if you know them. Then call wait until "retry" is false; each call answers within 45
seconds. Then call result: it returns shortened outputs, and the paths of the complete outputs. The
tool diff returns the changes of files."""


class RpcError(Exception):
    """A JSON-RPC error: the answer to a message that cannot be handled."""

    def __init__(
        self, code: int, message: str, data: Any = None, request_id: RequestId | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data
        self.request_id = request_id

    def reply(self) -> Values:
        error = {"code": self.code, "message": self.message}
        more = {} if self.data is None else {"data": self.data}
        return {"jsonrpc": "2.0", "id": self.request_id, "error": {**error, **more}}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A message that requires an answer."""

    id: RequestId
    method: str
    params: Mapping[str, Any]
    #: True for the stateless revision of the protocol.
    stateless: bool

    def reply(self, result: Mapping[str, Any]) -> Values:
        more = {"resultType": "complete"} if self.stateless else {}
        return {"jsonrpc": "2.0", "id": self.id, "result": {**result, **more}}

    def error(self, code: int, message: str, data: Any = None) -> RpcError:
        return RpcError(code, message, data, self.id)


def parsed(raw: bytes) -> Any:
    """Parse JSON in UTF-8. Raise RpcError -32700 with the position of the error."""
    try:
        return strict_json(raw, DEEPEST_JSON)
    except RecursionError:
        raise RpcError(
            PARSE_ERROR,
            "the JSON is nested too deeply: the maximum is "
            f"{DEEPEST_JSON + 1} levels of objects and lists",
        ) from None
    except ValueError as error:
        raise RpcError(PARSE_ERROR, f"not valid JSON: {str(error)[:200]}") from None


def request_of(message: object) -> Request | None:
    """Return the request in a message; None if the message is a notification or an answer.

    Raise RpcError for an invalid message.
    """
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(
            INVALID_REQUEST,
            'a message is one JSON object with "jsonrpc": "2.0"; batches are not supported',
        )
    method, request_id = message.get("method"), message.get("id")
    if "method" not in message and ("result" in message or "error" in message):
        return None
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "method must be text", None, _plain_id(request_id))
    if "id" not in message:
        return None
    plain_id = _plain_id(request_id)
    if plain_id is None:
        raise RpcError(INVALID_REQUEST, "id must be text or a whole number")
    params = message.get("params")
    if params is not None and not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "params must be an object", None, plain_id)
    stateless = VERSION_KEY in _meta(params or {})
    request = Request(id=plain_id, method=method, params=params or {}, stateless=stateless)
    _check_envelope(request)
    return request


def _plain_id(value: object) -> RequestId | None:
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _meta(params: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = params.get("_meta")
    return meta if isinstance(meta, dict) else {}


def version_of(request: Request) -> str:
    return str(_meta(request.params).get(VERSION_KEY, ""))


def _check_envelope(request: Request) -> None:
    if not request.stateless or request.method == "initialize":
        return
    meta = _meta(request.params)
    if not isinstance(meta[VERSION_KEY], str):
        raise request.error(INVALID_PARAMS, f"_meta[{VERSION_KEY!r}] must be text")
    if meta[VERSION_KEY] not in STATELESS:
        raise unsupported(meta[VERSION_KEY], request.id)
    if not isinstance(meta.get(CAPABILITIES_KEY), dict):
        raise request.error(INVALID_PARAMS, f"_meta[{CAPABILITIES_KEY!r}] must be an object")


def unsupported(requested: str, request_id: RequestId | None) -> RpcError:
    data = {"supported": list(VERSIONS), "requested": requested[:100]}
    return RpcError(UNSUPPORTED_VERSION, "unsupported protocol version", data, request_id)


def answer(request: Request, tools: Sequence[Mapping[str, Any]]) -> Values:
    """Return the result of any request except ``tools/call``.

    Raise RpcError -32601 for an unknown method.
    """
    if request.method == "initialize":
        return _initialize_result(request)
    if request.method == "server/discover":
        return _discovery_result()
    if request.method == "ping":
        return {}
    if request.method == "tools/list":
        return {"tools": list(tools), **(_cache_fields() if request.stateless else {})}
    raise request.error(METHOD_NOT_FOUND, f"unknown method {request.method[:100]!r}")


def _initialize_result(request: Request) -> Values:
    requested = request.params.get("protocolVersion")
    version = requested if requested in HANDSHAKE else HANDSHAKE[0]
    return {
        "protocolVersion": version,
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER,
        "instructions": INSTRUCTIONS,
    }


def _discovery_result() -> Values:
    return {
        "supportedVersions": list(VERSIONS),
        "capabilities": CAPABILITIES,
        "instructions": INSTRUCTIONS,
        "_meta": {f"{META_PREFIX}serverInfo": SERVER},
        **_cache_fields(),
    }


def _cache_fields() -> Values:
    return {"ttlMs": LIST_TTL_MS, "cacheScope": "private"}


@dataclass(frozen=True, kw_only=True)
class RpcCall:
    """A ``tools/call`` message. Its tool name and arguments are not validated yet."""

    tool: str
    arguments: Any


def call_of(request: Request) -> RpcCall:
    """Return the tool call in a request. Raise RpcError -32602 if the request names no tool."""
    name = request.params.get("name")
    if not isinstance(name, str):
        raise request.error(INVALID_PARAMS, "tools/call needs params.name, the name of a tool")
    arguments = request.params.get("arguments")
    return RpcCall(tool=name, arguments={} if arguments is None else arguments)


def text_result(text: str, *, is_error: bool = False) -> Values:
    # A file's name may contain invalid UTF-8.
    plain = text.encode("utf-8", "replace").decode()
    return {"content": [{"type": "text", "text": plain}], "isError": is_error}
