"""``orchestrator mcp``: raw and hostile lines, and servers that stop and start."""

import json
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from orchestrator.api.http_server.waitress_server import HttpServer
from tests.integration.api.conftest import eventually
from tests.integration.api.mcp_stdio import (
    COMMAND,
    PRODUCT,
    Stdio,
    call,
    environment,
    finish,
    ping,
    text_of,
)
from tests.unit.api.fake_service import KEY, FakeService


def test_a_call_reaches_the_server(stdio: Stdio, service: FakeService) -> None:
    answer = json.loads(text_of(stdio.ask(call("orchestrate", request="Do it"))))

    assert answer["status"] == "pending"
    assert [one.request for one in service.submitted] == ["Do it"]


def test_a_wait_holds_nothing_up(stdio: Stdio, service: FakeService) -> None:
    job_id = json.loads(text_of(stdio.ask(call("orchestrate", request="x"))))["job_id"]

    stdio.send(call("wait", 2, job_id=job_id))
    assert stdio.ask(ping(3)) == {"jsonrpc": "2.0", "id": 3, "result": {}}
    assert stdio.ask(call("status", 4, job_id=job_id))["id"] == 4
    finish(service, service.access.job(service.callers.of_key(KEY), job_id))

    assert stdio.answer()["id"] == 2


def test_a_call_that_was_given_up_gets_no_answer(stdio: Stdio, service: FakeService) -> None:
    job_id = json.loads(text_of(stdio.ask(call("orchestrate", request="x"))))["job_id"]
    stdio.send(call("wait", 2, job_id=job_id))
    params = {"requestId": 2}
    stdio.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
    assert stdio.ask(ping(3))["id"] == 3  # so the server has read the notification

    finish(service, service.access.job(service.callers.of_key(KEY), job_id))
    assert stdio.process.stdin and stdio.process.stdout
    stdio.process.stdin.close()

    # Calls without an answer yet would be answered before the end.
    assert stdio.process.stdout.read() == b""


HOSTILE = [
    (b"{", -32700),
    (b"\x00\xff\xfe binary \x80", -32700),
    (b"[" * 200_000, -32700),
    (b'{"a":' * 900 + b"1" + b"}" * 900, -32700),
    (b"[]", -32600),
    (b'{"jsonrpc":"2.0","id":[1],"method":"ping"}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"no/such"}', -32601),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":[]}}', -32602),
    (b'"' + b"x" * (9 * 1024 * 1024) + b'"', -32600),
]


def test_hostile_lines_are_refused_and_the_next_is_answered(stdio: Stdio) -> None:
    for number, (line, code) in enumerate(HOSTILE):
        assert stdio.ask(line)["error"]["code"] == code
        stdio.send(b"\r")
        stdio.send({"jsonrpc": "2.0", "method": "notifications/odd", "params": {"requestId": {}}})
        assert stdio.ask(ping(number))["id"] == number


def test_a_request_beyond_the_limit_is_an_error_with_the_limit(stdio: Stdio) -> None:
    large = stdio.ask(call("orchestrate", request="x" * 300_000))

    assert "at most 200000 characters" in text_of(large, is_error=True)


def test_a_wrong_key_is_an_error(
    server: HttpServer, start: Callable[[dict[str, str]], Stdio]
) -> None:
    one = start(environment(server.url, ORCHESTRATOR_API_KEY="wrong"))

    assert "invalid API key" in text_of(one.ask(call("status")), is_error=True)


def test_the_end_of_the_input_waits_for_open_calls(stdio: Stdio, service: FakeService) -> None:
    job_id = json.loads(text_of(stdio.ask(call("orchestrate", request="x"))))["job_id"]
    stdio.send(call("wait", 2, job_id=job_id))
    assert stdio.process.stdin
    stdio.process.stdin.close()
    threading.Timer(
        0.3, lambda: finish(service, service.access.job(service.callers.of_key(KEY), job_id))
    ).start()

    assert stdio.answer()["id"] == 2
    assert stdio.process.wait(30) == 0


def test_it_ends_when_its_reader_has_exited(stdio: Stdio, service: FakeService) -> None:
    job_id = json.loads(text_of(stdio.ask(call("orchestrate", request="x"))))["job_id"]
    stdio.send(call("wait", 2, job_id=job_id))
    assert stdio.ask(ping(3))["id"] == 3
    assert stdio.process.stdin and stdio.process.stdout
    stdio.process.stdout.close()
    stdio.process.stdin.close()

    # Long before the end of the wait.
    assert stdio.process.wait(20) == 0


# The server


class Gate:
    """A relay in front of a server. Closing it simulates a stopped server."""

    def __init__(self, target: str) -> None:
        self._target = target.removeprefix("http://").split(":")
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.open, self.refused = False, 0
        #: Number of answers of the server that the relay drops.
        self.swallowed = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            if not self.open:
                self.refused += 1
                connection.close()
                continue
            threading.Thread(target=self._pass_on, args=(connection,), daemon=True).start()

    def _pass_on(self, connection: socket.socket) -> None:
        host, port = self._target
        with connection, socket.create_connection((host, int(port))) as server:
            ends = {connection: server, server: connection}
            while True:
                ready, _, _ = select.select(list(ends), [], [])
                for one in ready:
                    piece = one.recv(65536)
                    if not piece:
                        return
                    if one is server and self.swallowed:
                        self.swallowed -= 1
                        return
                    ends[one].sendall(piece)


def test_a_call_outlasts_a_restart_of_the_server(
    server: HttpServer, service: FakeService, start: Callable[[dict[str, str]], Stdio]
) -> None:
    gate = Gate(server.url)
    try:
        one = start(environment(gate.url))
        one.send(call("orchestrate", request="Do it once"))
        eventually(lambda: gate.refused >= 3, "the call is tried again")
        gate.open = True

        assert json.loads(text_of(one.answer()))["status"] == "pending"
        assert len(service.submitted) == 1
    finally:
        gate.socket.close()


def test_a_job_is_started_once_though_its_answer_was_lost(
    server: HttpServer, service: FakeService, start: Callable[[dict[str, str]], Stdio]
) -> None:
    gate = Gate(server.url)
    gate.open, gate.swallowed = True, 2
    try:
        answer = json.loads(
            text_of(start(environment(gate.url)).ask(call("orchestrate", request="x")))
        )
    finally:
        gate.socket.close()

    assert (answer["duplicate"], gate.swallowed) == (True, 0)
    assert len(service.submitted) == 1


def test_without_a_server_the_error_names_the_command_to_start_one(
    tmp_path: Path, start: Callable[[dict[str, str]], Stdio]
) -> None:
    folder = tmp_path / "the product"
    folder.mkdir()
    (folder / "orchestrator").symlink_to(PRODUCT / "orchestrator")
    one = start({"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)})

    answer = text_of(one.ask(call("status")), is_error=True)

    assert answer.endswith(f"start the server: {folder}/bin/orchestrator serve")


def test_it_finds_the_server_of_its_folder(
    tmp_path: Path, server: HttpServer, start: Callable[[dict[str, str]], Stdio]
) -> None:
    folder = tmp_path / "the product"
    (folder / "workspace").mkdir(parents=True)
    (folder / "orchestrator").symlink_to(PRODUCT / "orchestrator")
    record = {"url": server.url, "pid": os.getpid(), "started_at": 1}
    (folder / "workspace" / "server.json").write_text(json.dumps(record))
    (folder / "config.yaml").write_text(f"api:\n  api_key: {KEY}\n")

    one = start({"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)})

    assert json.loads(text_of(one.ask(call("status"))))["total"] == 0


def test_it_starts_without_any_package(server: HttpServer) -> None:
    listing = "import sys; import orchestrator.api.mcp.stdio; print('\\n'.join(sys.modules))"
    shown = subprocess.run(
        [*COMMAND[:3], "-c", listing],
        env=environment(server.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    foreign = {name.split(".")[0] for name in shown.stdout.split()}
    assert not foreign & {"pydantic", "flask", "click", "requests", "yaml", "jinja2", "sqlalchemy"}
