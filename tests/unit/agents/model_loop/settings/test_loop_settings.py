"""Settings of a loop over a model's HTTP interface."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from orchestrator.agents.model_loop.model_http.call_failure import ModelFailure
from orchestrator.agents.model_loop.providers import ollama
from orchestrator.agents.model_loop.settings.loop_settings import read


class Models(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"models": [{"name": "small"}, {"name": "large"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Models) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_node_finds_the_model_of_its_own_service(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OLLAMA_MODEL", raising=False)
    assert read({"base_url": url}, ollama.SERVICE).model == "small"
    assert read({"base_url": url, "model": "large"}, ollama.SERVICE).model == "large"
    with pytest.raises(ModelFailure, match="no model"):
        read({"base_url": "http://127.0.0.1:9"}, ollama.SERVICE)
