"""``orchestrator mcp``: the tools over standard input and output, one JSON message per line.

Standard library only, because the command must start as fast as ``orchestrator spawn``. Each tool
call runs in a separate thread, so that a wait does not block other calls.
"""

import argparse
import json
import os
import select
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from orchestrator.api.mcp import protocol
from orchestrator.api.mcp.protocol import Request, RequestId, RpcError, Values, text_result
from orchestrator.api.mcp.tools_file import definitions
from orchestrator.core.text.command_name import COMMAND
from orchestrator.security.files.orchestrator_home import home_here

WORKER_ID, API_KEY = "ORCHESTRATOR_WORKER_ID", "ORCHESTRATOR_API_KEY"
LONGEST_LINE_BYTES = 8 * 1024 * 1024
MOST_CALLS = 64
#: Seconds for which open calls may continue after the end of the input.
DRAIN_SECONDS = 60.0

DESCRIPTION = f"""\
Serve tools to an AI tool, with the Model Context Protocol over standard input and output. The tools
are orchestrate, status, wait, cancel, result, logs, report, and diff. A key with the scope admin
adds tools for decisions of people, such as answer and land. The tools use the
server ORCHESTRATOR_API_URL and the key ORCHESTRATOR_API_KEY, which every worker has. Without these
variables, they use the server that runs for this folder (start the server: {COMMAND} serve).
"""


class StdioSession:
    """The session of one client: reads messages from ``source``, writes answers to ``writer``."""

    def __init__(self, source: BinaryIO, writer: BinaryIO, folder: Path) -> None:
        self._source, self._writer, self._folder = source, writer, folder
        self._lock = threading.Lock()
        self._open: set[RequestId] = set()

    def run(self) -> None:
        """Run until the input ends. Raise BrokenPipeError if no process reads the answers."""
        while line := self._source.readline(LONGEST_LINE_BYTES):
            if not line.endswith(b"\n") and len(line) == LONGEST_LINE_BYTES:
                self._skip_line()
                detail = f"the message is too long: maximum {LONGEST_LINE_BYTES} bytes"
                self._write(RpcError(protocol.INVALID_REQUEST, detail).reply())
            elif line.strip():
                self._handle_line(line)
        self._drain()

    def _skip_line(self) -> None:
        while (piece := self._source.readline(LONGEST_LINE_BYTES)) and not piece.endswith(b"\n"):
            pass

    def _handle_line(self, line: bytes) -> None:
        try:
            message = protocol.parsed(line)
            request = protocol.request_of(message)
            if request is not None:
                self._answer(request)
            elif message.get("method") == "notifications/cancelled":
                self._cancel(message)
        except RpcError as error:
            self._write(error.reply())

    def _cancel(self, message: Mapping[str, object]) -> None:
        # A cancelled call gets no answer.
        params = message.get("params")
        request_id = params.get("requestId") if isinstance(params, dict) else None
        if isinstance(request_id, str | int):
            with self._lock:
                self._open.discard(request_id)

    def _answer(self, request: Request) -> None:
        if request.method != "tools/call":
            tools = self._tools() if request.method == "tools/list" else []
            self._write(request.reply(protocol.answer(request, tools)))
            return
        call = protocol.call_of(request)
        with self._lock:
            is_full = len(self._open) >= MOST_CALLS
            if not is_full:
                self._open.add(request.id)
        if is_full:
            text = f"too many open calls: maximum {MOST_CALLS}; wait for an answer"
            self._write(request.reply(text_result(text, is_error=True)))
            return
        threading.Thread(target=self._call, args=(request, call), daemon=True).start()

    def _tools(self) -> list[dict[str, Any]]:
        is_worker, has_own_key = (name in os.environ for name in (WORKER_ID, API_KEY))
        if is_worker or not has_own_key:
            # If the environment has no key, a person's calls use api.api_key of config.yaml, which
            # has the scope admin.
            return definitions(for_admin=not is_worker)
        from orchestrator.api.mcp.proxy import McpProxy

        listed = McpProxy(self._folder, os.environ).tools()
        return definitions(for_admin=False) if listed is None else listed

    def _call(self, request: Request, call: protocol.RpcCall) -> None:
        # Imported in the background, because this import takes as long as all other imports, and
        # the client waits for the first answers.
        from orchestrator.api.mcp.proxy import McpProxy

        try:
            result = McpProxy(self._folder, os.environ).call(call)
        except Exception as error:  # without an answer, the client would wait forever
            result = text_result(f"the call failed: {error!r}", is_error=True)
        self._finish(request, result)

    def _finish(self, request: Request, result: Values) -> None:
        with self._lock:
            is_open = request.id in self._open
        try:
            if is_open:
                self._write(request.reply(result))
        except OSError:
            os._exit(0)  # the client has exited; the reading thread may not notice this
        finally:
            with self._lock:
                self._open.discard(request.id)

    def _write(self, message: Values) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._writer.write(line)
            self._writer.flush()

    def _drain(self) -> None:
        """Wait until all calls are answered or the client stops reading, at most DRAIN_SECONDS."""
        deadline = time.monotonic() + DRAIN_SECONDS
        reader = select.poll()
        reader.register(self._writer.fileno(), select.POLLERR)
        while self._open and time.monotonic() < deadline and not reader.poll(50):
            pass


def main(arguments: list[str] | None = None, folder: Path | None = None) -> NoReturn:
    parser = argparse.ArgumentParser(prog="orchestrator mcp", description=DESCRIPTION)
    parser.add_argument("--home", type=Path, default=folder, help=argparse.SUPPRESS)
    home = parser.parse_args(arguments).home or home_here(os.environ)
    with suppress(BrokenPipeError, KeyboardInterrupt):
        StdioSession(sys.stdin.buffer, sys.stdout.buffer, home).run()
    # Threads of abandoned calls must not delay the exit.
    os._exit(0)


if __name__ == "__main__":
    main()
