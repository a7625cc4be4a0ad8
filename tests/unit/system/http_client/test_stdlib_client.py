"""The client of the standard library, with real servers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestrator
from orchestrator.system.http_client.stdlib_client import StdlibClient, split
from tests.unit.cli.fake_api import KEY, FakeApi, running

PRODUCT = Path(orchestrator.__file__).parents[1]
LISTING = "import sys, orchestrator.system.http_client.stdlib_client; print(*sys.modules)"


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with running(FakeApi()) as server:
        yield server


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8000", ("http", ("localhost", 8000), "")),
        ("http://[::1]:8123/", ("http", ("::1", 8123), "")),
        ("http://[::1]", ("http", ("::1", 80), "")),
        ("http://host/base/", ("http", ("host", 80), "/base")),
        ("https://host", ("https", ("host", 443), "")),
    ],
)
def test_addresses_are_parsed(url: str, expected: object) -> None:
    assert split(url) == expected


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://x", "http://", "http://[", "http://h:port", "http://h:65536"],
)
def test_an_invalid_address_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match="not the URL of a server"):
        StdlibClient(url, KEY)


def test_a_call_carries_its_keys_past_every_proxy(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    reply = StdlibClient(api.url, KEY).request(
        "POST", "/api/v1/orchestrate", {"request": "x"}, timeout=30, idempotency_key="k"
    )

    assert (reply.status, reply.document["job_id"]) == (202, "j1")
    [call] = api.calls
    assert (call.headers["X-API-Key"], call.headers["Idempotency-Key"]) == (KEY, "k")


def test_an_error_never_shows_the_key(api: FakeApi) -> None:
    api.faults.append((502, {"detail": f"upstream said no to X-API-Key: {KEY}"}, {}))

    reply = StdlibClient(api.url, KEY).request("GET", "/api/v1/jobs", timeout=30)

    assert reply.detail == "upstream said no to X-API-Key: ***"


CALLING = """
import sys, orchestrator.system.http_client.stdlib_client as c
try:
    c.StdlibClient("http://127.0.0.1:1", None).request("GET", "/", timeout=9)
except ConnectionRefusedError:
    print(*sys.modules)
"""


def test_the_client_imports_no_slow_module() -> None:
    assert not {"http", "urllib", "ssl", "email", "typing"} & loaded(LISTING)


def test_a_call_loads_no_tables_of_international_names() -> None:
    modules = loaded(CALLING)

    assert "socket" in modules
    assert "encodings.idna" not in modules


def loaded(code: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PRODUCT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(shown.stdout.split())
