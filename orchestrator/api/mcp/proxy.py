"""Sends tool calls of ``orchestrator mcp`` to the server, with retries during a restart.

Standard library only.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from orchestrator.api.client.errors import NoServer
from orchestrator.api.client.server_discovery import API_URL, find_address
from orchestrator.api.mcp.protocol import RpcCall, Values, text_result
from orchestrator.system.http_client.http_retry import call_with_retries
from orchestrator.system.http_client.stdlib_client import ServerReply, StdlibClient

#: Seconds for which a call is retried: clients stop waiting after 60 s.
PATIENCE_SECONDS = 44.0
#: Seconds for which a call is retried if the server may not be running.
SHORT_PATIENCE_SECONDS = 2.0
#: Timeout of the list of tools.
LIST_SECONDS = 5.0


class McpProxy:
    """Sends tool calls to the worker's server; outside of a worker, to the server of ``folder``."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder, self._environ = folder, environ

    def call(self, call: RpcCall) -> Values:
        """Return the result of a tool within about 45 s.

        If the call fails, the result has the error as its text.
        """
        if self._environ.get("ORCHESTRATOR_OFFLINE"):
            return _error_result(
                "child jobs are not available: this worker has no network; do the work yourself"
            )
        key, ends_at = os.urandom(16).hex(), time.monotonic() + PATIENCE_SECONDS

        def once() -> ServerReply:
            remaining = max(0.0, ends_at - time.monotonic())
            return self._send_once(_shortened(call, remaining), key, remaining)

        try:
            return _tool_result(call_with_retries(once, self._patience, ends_at=ends_at))
        except OSError as error:
            return _error_result(f"{error}; {self._advice}")

    def tools(self) -> list[Values] | None:
        """Return the tools that the server lists for this worker or user.

        None if no server answers, or if the server rejects the call.
        """
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        try:
            address = find_address(self._folder, self._environ)
            client = StdlibClient(address.url, address.key)
            reply = client.request("POST", "/mcp", message, timeout=LIST_SECONDS)
        except (NoServer, OSError, ValueError):
            return None
        result = reply.document.get("result")
        listed = result.get("tools") if isinstance(result, dict) else None
        return listed if isinstance(listed, list) else None

    @property
    def _in_worker(self) -> bool:
        return bool(self._environ.get(API_URL))

    @property
    def _patience(self) -> float:
        return PATIENCE_SECONDS if self._in_worker else SHORT_PATIENCE_SECONDS

    @property
    def _advice(self) -> str:
        if self._in_worker:
            return "the server may be restarting; repeat the call in a minute"
        return f"start the server: {self._folder / 'bin' / 'orchestrator'} serve"

    def _send_once(self, call: RpcCall, key: str, remaining: float) -> ServerReply:
        params = {"name": call.tool, "arguments": call.arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        # A restarted server may have another address.
        try:
            address = find_address(self._folder, self._environ)
            client = StdlibClient(address.url, address.key)
            # Slightly longer than the server's longest wait.
            timeout = remaining + 10
            return client.request("POST", "/mcp", message, timeout=timeout, idempotency_key=key)
        except NoServer as error:
            raise OSError(error.message.partition(";")[0]) from error
        except (OSError, ValueError) as error:
            raise OSError(f"no answer from the server ({error})") from error


def _shortened(call: RpcCall, remaining: float) -> RpcCall:
    # A retried ``wait`` ends when the first ``wait`` would have ended.
    if call.tool != "wait" or not isinstance(call.arguments, dict):
        return call
    requested = call.arguments.get("timeout_seconds", PATIENCE_SECONDS)
    if (
        isinstance(requested, bool)
        or not isinstance(requested, int | float)
        or requested <= remaining
    ):
        return call
    return RpcCall(tool=call.tool, arguments={**call.arguments, "timeout_seconds": remaining})


def _tool_result(reply: ServerReply) -> Values:
    if reply.status == 401:
        return _error_result(
            "invalid API key; set ORCHESTRATOR_API_KEY in the environment, or api.api_key in "
            "config.yaml"
        )
    document = reply.document
    result = document.get("result")
    if isinstance(result, dict):
        return result
    error = document.get("error")
    return _error_result(str(error.get("message")) if isinstance(error, dict) else reply.detail)


def _error_result(text: str) -> Values:
    return text_result(text, is_error=True)
