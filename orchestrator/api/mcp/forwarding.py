"""A tool's call from ``orchestrator mcp`` to the server, tried again while the server restarts.

Standard library only.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.api.client_discovery import API_URL, Address, find_address
from orchestrator.api.client_errors import NoServer
from orchestrator.api.mcp.protocol import Call, Values, said

#: Clients give up on a call after 60 s.
PATIENCE_SECONDS = 44.0
#: Of a server that nobody promised to be there.
SHORT_PATIENCE_SECONDS = 2.0
LONGEST_DELAY_SECONDS = 2.0
BUSY = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    body: bytes


class Forwarding:
    """Calls the server of the environment (in a worker), else the one that runs for ``folder``."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder, self._environ = folder, environ

    def call(self, call: Call) -> Values:
        """The result of a tool; what is wrong is said in it. Answers within about 45 s."""
        if self._environ.get("ORCHESTRATOR_OFFLINE"):
            return _wrong("this worker has no network, so it cannot start child jobs")
        key, delay = os.urandom(16).hex(), 0.1
        ends_at = time.monotonic() + PATIENCE_SECONDS
        gives_up_at = 0.0
        while True:
            left = max(0.0, ends_at - time.monotonic())
            result, trouble = self._tried(_shortened(call, left), key, left)
            if result is not None:
                return result
            now = time.monotonic()
            gives_up_at = gives_up_at or min(ends_at, now + self._patience)
            if now + delay > gives_up_at:
                return _wrong(f"{trouble}; {self._advice}")
            time.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)

    def _tried(self, call: Call, key: str, left: float) -> tuple[Values | None, str]:
        """The result, or what was in the way of one and may pass."""
        try:
            answer = self._once(call, key, left)
        except NoServer as error:
            return None, error.message.partition(";")[0]
        except (OSError, HTTPException, ValueError) as error:
            return None, f"the server does not answer ({error})"
        if answer.status in BUSY:
            return None, _detail(answer)
        return _understood(answer), ""

    @property
    def _in_worker(self) -> bool:
        return bool(self._environ.get(API_URL))

    @property
    def _patience(self) -> float:
        return PATIENCE_SECONDS if self._in_worker else SHORT_PATIENCE_SECONDS

    @property
    def _advice(self) -> str:
        if self._in_worker:
            return "it may be restarting: call this again in a minute"
        return f"start the server with: {self._folder / 'bin' / 'orchestrator'} serve"

    def _once(self, call: Call, key: str, left: float) -> Answer:
        """Raise NoServer, OSError, HTTPException or ValueError."""
        address = find_address(self._folder, self._environ)
        parts = urlsplit(address.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        # Somewhat longer than the server takes for the longest wait.
        connection = kind(parts.hostname or "", parts.port, timeout=left + 10)
        try:
            body = json.dumps(_message(call)).encode()
            path = f"{parts.path.rstrip('/')}/mcp"
            connection.request("POST", path, body, _headers(address, key))
            response = connection.getresponse()
            return Answer(status=response.status, body=response.read())
        finally:
            connection.close()


def _shortened(call: Call, left: float) -> Call:
    """A wait that is asked for again must not last longer in all."""
    if call.tool != "wait" or not isinstance(call.arguments, dict):
        return call
    asked = call.arguments.get("timeout_seconds", PATIENCE_SECONDS)
    if isinstance(asked, bool) or not isinstance(asked, int | float) or asked <= left:
        return call
    return Call(tool=call.tool, arguments={**call.arguments, "timeout_seconds": left})


def _message(call: Call) -> Values:
    params = {"name": call.tool, "arguments": call.arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def _headers(address: Address, key: str) -> dict[str, str]:
    given = {"X-API-Key": address.key} if address.key else {}
    return {"Content-Type": "application/json", "Idempotency-Key": key, **given}


def _understood(answer: Answer) -> Values:
    if answer.status == 401:
        return _wrong(
            "the server refused the key; it is ORCHESTRATOR_API_KEY in the environment, "
            "else api.api_key in config.yaml"
        )
    found = _json(answer)
    result = found.get("result")
    if isinstance(result, dict):
        return result
    error = found.get("error")
    return _wrong(str(error.get("message")) if isinstance(error, dict) else _detail(answer))


def _detail(answer: Answer) -> str:
    return str(_json(answer).get("detail") or f"the server answered with HTTP {answer.status}")


def _json(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _wrong(text: str) -> Values:
    return said(text, is_error=True)
