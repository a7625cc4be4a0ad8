"""A real HTTP server, whose service is the fake service."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from orchestrator.api.http_server.app import close_app, create_app
from orchestrator.api.http_server.waitress_server import HttpServer, serve
from orchestrator.api.routes.streams import LongAnswers
from orchestrator.api.server_options import ApiOptions
from orchestrator.api.socket_loop.socket_loop import SocketLoop
from tests.integration.api.mcp_stdio import Stdio, environment
from tests.unit.api.fake_service import FakeService

DEADLINE_SECONDS = 30.0
THREADS = 8


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail after a deadline."""
    until = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < until, f"not true within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def service(tmp_path: Path) -> FakeService:
    return FakeService(tmp_path)


@pytest.fixture
def app(service: FakeService) -> Iterator[Flask]:
    app = create_app(service, ApiOptions(heartbeat_seconds=0.5, log_poll_seconds=0.02))
    yield app
    close_app(app)


@pytest.fixture
def socket_loop(app: Flask) -> SocketLoop:
    waiting: LongAnswers = app.extensions["orchestrator.long_answers"]
    return waiting.socket_loop


@pytest.fixture
def server(app: Flask) -> Iterator[HttpServer]:
    server = serve(app, host="127.0.0.1", port=0, threads=THREADS)
    server.start()
    yield server
    close_app(app)
    server.close()
    assert server.wait(DEADLINE_SECONDS)


@pytest.fixture
def start() -> Iterator[Callable[[dict[str, str]], Stdio]]:
    started: list[Stdio] = []

    def one(environ: dict[str, str]) -> Stdio:
        started.append(Stdio(environ))
        return started[-1]

    yield one
    for each in started:
        each.close()


@pytest.fixture
def stdio(server: HttpServer, start: Callable[[dict[str, str]], Stdio]) -> Stdio:
    return start(environment(server.url))
