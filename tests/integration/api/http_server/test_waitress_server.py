"""The HTTP server: its port, requests that it rejects itself, and its shutdown."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestrator.api.http_server.app import create_app
from orchestrator.api.http_server.waitress_server import CannotListen, HttpServer, PortTaken, serve
from orchestrator.api.server_options import ApiOptions
from tests.integration.api.conftest import eventually
from tests.integration.api.wire import Connection
from tests.unit.api.fake_service import KEY, FakeService


def ipv6_works() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_taken_port_is_refused_by_name(server: HttpServer, service: FakeService) -> None:
    app = create_app(service)
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(PortTaken, match=rf"port {server.port} on {host}.*api\.port"):
            serve(app, host=host, port=server.port)
    # The ports that were bound before the failure are free again.
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert other.getsockname()[1] != server.port


def test_a_host_that_is_not_here_is_refused(service: FakeService) -> None:
    with pytest.raises(CannotListen, match="cannot listen on"):
        serve(create_app(service), host="192.0.2.1", port=0)
    with pytest.raises(CannotListen, match="cannot listen on"):
        serve(create_app(service), host="no such host", port=0)


def test_localhost_is_all_its_addresses_on_one_port(service: FakeService) -> None:
    server = serve(create_app(service), host="localhost", port=0, threads=2)
    server.start()
    try:
        addresses = ["127.0.0.1"]
        if ipv6_works() and len(server._listeners) > 1:
            addresses.append("::1")
        for address in addresses:
            with socket.create_connection((address, server.port), 5) as client:
                client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.0 200")
    finally:
        server.close()
        assert server.wait(10)


def test_a_closed_server_gives_its_port_back(service: FakeService) -> None:
    server = serve(create_app(service), host="127.0.0.1", port=0, threads=2)
    thread = server.start()
    with Connection(server) as client:
        assert client.json("GET", "/health")["ready"] is True
        server.close()
        server.close()
        assert server.wait(10)
    thread.join(10)
    serve_again = serve(create_app(service), host="127.0.0.1", port=server.port, threads=2)
    serve_again.close()
    assert serve_again.wait(0), "a server that never ran closes at once"


def test_requests_under_way_are_finished_by_a_stopping_server(service: FakeService) -> None:
    entered, leave = threading.Event(), threading.Event()
    app = create_app(service)

    @app.get("/slow")
    def slow() -> str:
        entered.set()
        assert leave.wait(10)
        return "finished"

    server = serve(app, host="127.0.0.1", port=0, threads=2)
    server.start()
    with Connection(server) as client:
        client.ask("GET", "/slow")
        assert entered.wait(10)
        server.close()
        leave.set()
        _, headers = client.head()
        assert client.body(headers) == b"finished"
    assert server.wait(10)


def test_no_thread_is_left_after_a_close(service: FakeService) -> None:
    before = set(threading.enumerate())
    server = serve(create_app(service), host="127.0.0.1", port=0, threads=4)
    server.start()
    server.close()
    assert server.wait(10)
    eventually(lambda: not set(threading.enumerate()) - before, "all threads have ended")


class _SlowToSet(threading.Event):
    """An event that waits after ``set``, so that the loop can react and finish."""

    def __init__(self, stopped: threading.Event) -> None:
        super().__init__()
        self._stopped = stopped

    def set(self) -> None:
        if not self.is_set():
            super().set()
            self._stopped.wait(3)


def test_a_loop_that_ends_by_itself_is_not_woken_by_a_closed_descriptor(
    service: FakeService,
) -> None:
    server = serve(create_app(service), host="127.0.0.1", port=0, threads=2)
    server._closing = _SlowToSet(server._stopped)
    server.start()

    server.close()

    assert server.wait(10)


@pytest.mark.parametrize(
    ("request_bytes", "status", "kind", "detail"),
    [
        (b"nonsense\r\n\r\n", 400, "bad-request", "the request is not valid HTTP: "),
        (
            b"POST /api/v1/orchestrate HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 99999999999\r\n\r\n",
            413,
            "too-large",
            "request body too large: at most 8388608 bytes (setting limits.max_request_bytes)",
        ),
        (
            b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
            431,
            "headers-too-large",
            "headers too large: maximum 65536 bytes",
        ),
    ],
)
def test_what_the_server_itself_refuses_is_a_problem(
    server: HttpServer, request_bytes: bytes, status: int, kind: str, detail: str
) -> None:
    with Connection(server) as client:
        client.socket.sendall(request_bytes)
        found, headers = client.head()
        problem = json.loads(client.body(headers))
    assert (found, problem["status"], problem["type"]) == (status, status, kind)
    assert problem["detail"].startswith(detail)
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_largest_allowed_body_is_read_and_one_byte_more_is_not(
    service: FakeService,
) -> None:
    app = create_app(service, ApiOptions(max_request_bytes=1000))
    server = serve(app, host="127.0.0.1", port=0, threads=2, max_request_bytes=1000)
    server.start()
    fixed = len('{"request": ""}')
    with Connection(server) as client:
        for size, status in ((1000, 202), (1001, 413)):
            client.ask(
                "POST", "/api/v1/orchestrate", body=f'{{"request": "{"x" * (size - fixed)}"}}'
            )
            found, headers = client.head()
            answer = client.body(headers)
            assert found == status
    assert "at most 1000 bytes" in json.loads(answer)["detail"]
    server.close()
    assert server.wait(10)


def test_the_server_does_not_name_its_software(server: HttpServer) -> None:
    with Connection(server) as client:
        client.ask("GET", "/health")
        _, headers = client.head()
        client.body(headers)
    assert "waitress" not in headers.get("server", "").lower()


def test_logs_and_reports_are_sent_in_full(server: HttpServer, service: FakeService) -> None:
    with Connection(server) as client:
        job_id = client.json("POST", "/api/v1/orchestrate", body='{"request": "x"}')["job_id"]
        log = service.job_details.log_path(service.callers.of_key(KEY), job_id, "worker_1")
        log.parent.mkdir(parents=True)
        log.write_bytes(b"0123456789" * 500_000 + b"\nlast\n")
        for query, length in (("", 5_000_006), ("?tail=1", 5)):
            client.ask("GET", f"/api/v1/jobs/{job_id}/logs/worker_1{query}")
            _, headers = client.head()
            body = client.body(headers)
            assert len(body) == int(headers["content-length"]) == length


def test_a_signal_stops_it_and_it_prints_nothing(tmp_path: Path) -> None:
    program = tmp_path / "serving.py"
    program.write_text(
        "import signal, sys\n"
        "from pathlib import Path\n"
        "from orchestrator.api.http_server.app import create_app\n"
        "from orchestrator.api.http_server.waitress_server import serve\n"
        "from tests.unit.api.fake_service import FakeService\n"
        "server = serve(create_app(FakeService(Path(sys.argv[1]))), host='127.0.0.1', port=0)\n"
        "signal.signal(signal.SIGTERM, lambda *_: server.close())\n"
        "Path(sys.argv[1], 'port').write_text(str(server.port) + '\\n')\n"
        "server.run()\n"
    )
    root = Path(__file__).parents[4]
    with subprocess.Popen(
        [sys.executable, str(program), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        port = tmp_path / "port"
        try:
            eventually(lambda: port.exists() and port.read_text().endswith("\n"), "it listens")
        except AssertionError:
            process.kill()
            raise
        with socket.create_connection(("127.0.0.1", int(port.read_text())), 5) as client:
            client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 200")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, b"")


def test_more_connections_than_a_select_could_hold(server: HttpServer) -> None:
    # select() would end the whole process at descriptor 1,024.
    assert server._listeners[0].adj.asyncore_use_poll is True
    assert server._listeners[0].adj.connection_limit > 2000
    assert logging.getLogger("waitress.queue").level == logging.ERROR
