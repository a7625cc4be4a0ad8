"""An application with the fake service for each test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from orchestrator.api.http_server.app import close_app, create_app
from orchestrator.api.server_options import ApiOptions
from tests.unit.api.fake_service import KEY, FakeService


class Client(FlaskClient):
    """A client that reads every answer to its end, unless ``buffered`` is False."""

    def open(self, *args: Any, buffered: bool = True, **options: Any) -> TestResponse:
        return super().open(*args, buffered=buffered, **options)


@pytest.fixture
def service(tmp_path: Path) -> FakeService:
    return FakeService(tmp_path)


@pytest.fixture
def app(service: FakeService) -> Iterator[Flask]:
    yield (app := application(service))
    close_app(app)


@pytest.fixture(scope="session")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """An application for tests that do not change it, because its creation takes 30 ms."""
    yield (app := application(FakeService(tmp_path_factory.mktemp("shared"))))
    close_app(app)


def application(service: FakeService) -> Flask:
    app = create_app(
        service, ApiOptions(max_request_bytes=200_000, log_poll_seconds=0.01, threaded_limit=2)
    )
    app.test_client_class = Client
    return app


@pytest.fixture
def anonymous(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_X_API_KEY"] = KEY
    return client
