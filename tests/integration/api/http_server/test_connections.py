"""Connections with incomplete requests, and threads that are reserved for /health and cancel."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from flask import Flask

from orchestrator.api.http_server import waitress_connections
from orchestrator.api.http_server.waitress_server import HttpServer, serve
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.submission import Submission
from orchestrator.core.ports.read_models import JobDetail
from tests.integration.api.conftest import DEADLINE_SECONDS, eventually
from tests.integration.api.wire import Connection
from tests.unit.api.fake_service import KEY, FakeService

LIMIT = 10
HALF = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


@pytest.fixture
def small(app: Flask) -> Iterator[HttpServer]:
    server = serve(app, host="127.0.0.1", port=0, threads=2, connection_limit=LIMIT)
    server.start()
    yield server
    server.close()
    assert server.wait(DEADLINE_SECONDS)


@pytest.fixture
def job_ids(service: FakeService) -> list[str]:
    """Return the ids of several jobs, because readers of the same job share one answer."""
    caller = service.callers.of_key(KEY)
    return [
        service.submissions.submit(caller, Submission(request="a job")).job.id for _ in range(4)
    ]


@pytest.fixture
def job_id(job_ids: list[str]) -> str:
    return job_ids[0]


@pytest.fixture
def blocked(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Block every read of a job until the test's end; yield a function that counts these reads."""
    gate, waiting, read = threading.Event(), [], service.job_details.detail

    def detail(caller: Caller, job_id: str, *, with_tasks: bool = True) -> JobDetail:
        waiting.append(job_id)
        gate.wait(DEADLINE_SECONDS)
        return read(caller, job_id, with_tasks=with_tasks)

    monkeypatch.setattr(service.job_details, "detail", detail)
    yield lambda: len(waiting)
    gate.set()


def half(server: HttpServer, stack: ExitStack) -> socket.socket:
    connection = stack.enter_context(Connection(server)).socket
    connection.sendall(HALF)
    return connection


def answered(connection: socket.socket) -> bytes:
    """Return all data until the server closes the connection."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionError:
        pass
    return found


def test_a_half_sent_head_ends_the_connection(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        connection = stack.enter_context(Connection(server))
        assert connection.json("GET", "/health")["ready"] is True
        silent = stack.enter_context(Connection(server)).socket
        slow = half(server, stack)
        stop = threading.Event()
        stack.callback(stop.set)
        threading.Thread(target=drip, args=(slow, stop), daemon=True).start()
        monkeypatch.setattr(waitress_connections, "HEAD_SECONDS", 0.2)

        assert answered(silent) == b""
        answer = answered(slow)
        assert answer.startswith(b"HTTP/1.1 408 ") and b"application/problem+json" in answer
        # A connection that waits between two requests is not closed.
        assert connection.json("GET", "/health")["ready"] is True


def asking(server: HttpServer) -> int:
    """Return how many connections wait for an answer."""
    return sum(bool(each.requests) for each in server.channels())


def drip(connection: socket.socket, stop: threading.Event) -> None:
    try:
        while not stop.wait(0.02):
            connection.sendall(b"x")
    except OSError:
        pass


def test_half_sent_requests_keep_nobody_out(small: HttpServer) -> None:
    with ExitStack() as stack:
        held = [half(small, stack) for _ in range(5 * LIMIT)]
        with Connection(small) as client:
            assert client.json("GET", "/health")["ready"] is True
        # The oldest connections were closed.
        assert answered(held[0]).startswith(b"HTTP/1.1 503 ")
        eventually(lambda: len(small.channels()) <= LIMIT, "no more than the limit are held")


def test_health_and_cancel_are_answered_while_every_thread_is_busy(
    small: HttpServer, job_ids: list[str], blocked: Callable[[], int]
) -> None:
    with ExitStack() as stack:
        for each in job_ids:
            stack.enter_context(Connection(small)).ask("GET", f"/api/v1/jobs/{each}/status")
        eventually(lambda: blocked() == 2, "both threads are busy")

        client = stack.enter_context(Connection(small))
        for _ in range(3):
            assert client.json("GET", "/health")["ready"] is True
        cancelled = client.json("POST", f"/api/v1/jobs/{job_ids[0]}/cancel")
        assert cancelled["job_id"] == job_ids[0]


def test_beyond_the_limit_health_alone_is_answered(
    small: HttpServer, job_id: str, blocked: Callable[[], int]
) -> None:
    with ExitStack() as stack:
        for _ in range(LIMIT):
            stack.enter_context(Connection(small)).ask("GET", f"/api/v1/jobs/{job_id}/status")
        eventually(lambda: asking(small) == LIMIT, "all have asked")

        refused = stack.enter_context(Connection(small)).json("GET", f"/api/v1/jobs/{job_id}")
        assert (refused["status"], refused["type"]) == (503, "unavailable")
        with Connection(small) as client:
            assert client.json("GET", "/health")["ready"] is True
