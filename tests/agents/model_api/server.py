"""The HTTP server: records each request, finds its script, and answers or fails."""

import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.agents.model_api import gemini, naming, routes
from tests.agents.model_api.asked import script_turn
from tests.agents.model_api.reply import JSON, DueTurn
from tests.agents.model_api.scripts import DEFAULT, Fault, Kind, Script, Turn

HUGE_PIECE = b" " * 1_000_000


@dataclass(frozen=True, kw_only=True)
class Request:
    """One received request."""

    method: str
    path: str
    query: str
    #: Names in lower case.
    headers: Mapping[str, str]
    body: Any
    #: anthropic, chat, responses, gemini, or ollama; empty if the call is not for a model.
    api: str
    model: str = ""
    script: str = ""
    turn: int = 0
    at: float = field(default_factory=time.time)


class ModelApi:
    """The server, as a context manager. ``scripts`` may be changed while it runs."""

    def __init__(self, scripts: Mapping[str, Script] | None = None) -> None:
        self.scripts: dict[str, Script] = {"default": DEFAULT, **(scripts or {})}
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._used_faults: Counter[tuple[str, int, int]] = Counter()
        self._serials = count(1)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "ModelApi":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def calls(self) -> list[Request]:
        """The requests that need a model."""
        return [request for request in self.requests if request.api]

    def record(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def due(self, request: Request) -> DueTurn:
        script = self.scripts.get(request.script) or _unknown(request.script)
        turn, tools = script.turn(request.turn), naming.offered_tools(request.body)
        if turn.calls and not tools:
            # A request without tools, such as for a title, is no part of the work: it uses no turn.
            turn = Turn("A title")
        if request.api == "gemini" and (example := gemini.example(request.body)):
            # A request to choose a model uses no turn either.
            turn = Turn(json.dumps(example))
        calls = tuple(naming.agent_call(call, tools) for call in turn.calls)
        model = routes.model_of(request.path, request.body)
        return DueTurn(turn, request.turn, calls, model, next(self._serials))

    def fault(self, request: Request, turn: Turn) -> Fault | None:
        """Return the next unused fault of the turn; None if there is none. Counts its use."""
        with self._lock:
            for index, fault in enumerate(turn.faults):
                key = (request.script, request.turn, index)
                if not fault.times or self._used_faults[key] < fault.times:
                    self._used_faults[key] += 1
                    return fault
        return None


def _unknown(name: str) -> Script:
    return Script.of(Turn(f"the model API has no script {name!r}"))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    api: ModelApi

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that have disconnected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise an answer in two writes waits for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, because requests are recorded."""

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        request = self._read()
        self.server.api.record(request)
        if request.api:
            self._model(request)
        else:
            self._send(200, routes.answer_without_model(request.path))

    def _read(self) -> Request:
        url = urlsplit(self.path)
        body = self._body()
        api = routes.api_of(url.path) if self.command == "POST" and isinstance(body, dict) else ""
        found = script_turn(api, body) if api else None
        return Request(
            method=self.command,
            path=url.path,
            query=url.query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            api=api,
            model=routes.model_of(url.path, body) if api else "",
            script=found.script if found else "",
            turn=found.turn if found else 0,
        )

    def _body(self) -> Any:
        text = b"".join(self._pieces())
        try:
            return json.loads(text) if text else {}
        except ValueError:
            return text.decode("utf-8", "replace")

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            yield self.rfile.read(int(self.headers.get("content-length") or 0))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _model(self, request: Request) -> None:
        due = self.server.api.due(request)
        fault = self.server.api.fault(request, due.turn)
        if fault is not None and fault.kind is not Kind.CUT:
            self._fail(fault, request)
            return
        dialect = routes.DIALECTS[request.api]
        cut = fault is not None
        if routes.is_streamed(request.api, request.path, request.body):
            self._stream(routes.stream_type(request.api), list(dialect.stream(due)), cut)
        elif cut:
            self._cut(json.dumps(dialect.answer(due)).encode())
        else:
            self._send(200, dialect.answer(due))

    def _fail(self, fault: Fault, request: Request) -> None:
        if fault.kind is Kind.STATUS:
            dialect = routes.DIALECTS[request.api]
            status = fault.status or 500
            error = dialect.error(status, fault.type, fault.message)
            self._send(status, error, fault.headers)
        elif fault.kind is Kind.BODY:
            self._send(fault.status or 200, fault.body, fault.headers)
        elif fault.kind is Kind.MALFORMED:
            self._raw(b'{"choices": [{"mess')
        elif fault.kind is Kind.SILENT:
            self._wait_for_the_client()
        else:
            {Kind.RESET: self._reset, Kind.TRICKLE: self._trickle, Kind.HUGE: self._huge}[
                fault.kind
            ]()

    # StrictModel formats

    def _send(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        self._raw(json.dumps(value).encode(), status, headers)

    def _raw(
        self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self._head(status, {**(headers or {}), "content-length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": JSON, "request-id": "req_1", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _stream(self, type: str, events: Iterable[bytes], cut: bool) -> None:
        """Send the stream in chunks, as the real services do.

        A cut stream lacks its second half and its last chunk.
        """
        sent = list(events)
        self._head(200, {"content-type": type, "transfer-encoding": "chunked"})
        for each in sent[: len(sent) // 2] if cut else sent:
            self.wfile.write(f"{len(each):x}\r\n".encode() + each + b"\r\n")
        if cut:
            self._hang_up()
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _cut(self, body: bytes) -> None:
        self._head(200, {"content-length": str(len(body))})
        self.wfile.write(body[: len(body) // 2])
        self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True

    def _reset(self) -> None:
        """Close the connection with RST instead of FIN (SO_LINGER of 0 s)."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._hang_up()
        self.connection.close()

    def _wait_for_the_client(self) -> None:
        self._hang_up()
        self.server.api.closing.wait()

    def _trickle(self) -> None:
        self._hang_up()
        self._head(200, {"content-length": "1000000"})
        while not self.server.api.closing.wait(0.05):
            self.wfile.write(b" ")

    def _huge(self) -> None:
        self._hang_up()
        self._head(200, {"content-length": str(10**12)})
        while not self.server.api.closing.is_set():
            self.wfile.write(HUGE_PIECE)
