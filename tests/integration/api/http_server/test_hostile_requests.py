"""Hostile requests: each is rejected, and the server keeps running."""

import json
import socket
import time
from contextlib import suppress
from typing import Any

import pytest

from orchestrator.api.http_server import waitress_connections
from orchestrator.api.http_server.waitress_server import HttpServer
from tests.integration.api.wire import Connection
from tests.unit.api.fake_service import KEY

PATH = "/api/v1/orchestrate"
JSON = "Content-Type: application/json"


def send_raw(server: HttpServer, raw: bytes) -> tuple[int, Any]:
    """Return the answer to raw bytes: the status, and the problem if there is one."""
    with Connection(server) as connection:
        connection.socket.sendall(raw)
        with suppress(OSError):  # the server may have answered and closed the connection by now
            connection.socket.shutdown(socket.SHUT_WR)
        status, headers = connection.head()
        body = connection.body(headers)
    is_problem = headers.get("content-type") == "application/problem+json"
    return status, json.loads(body) if is_problem else None


#: Pairs of headers that contradict each other about the end of the body.
TWO_ENDS = ("Transfer-Encoding: chunked", "Content-Length: 5")


def post(*headers: str, body: bytes = b"", length: int | None = None) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", "Host: localhost", f"X-API-Key: {KEY}", *headers]
    if not any(line.lower().startswith("transfer-encoding") for line in headers):
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def a_request(request: str = "x", **config: object) -> bytes:
    return json.dumps({"request": request, "config": config}).encode()


def a_task(**task: object) -> bytes:
    return json.dumps({"request": "x", "tasks": [{"title": "x", **task}]}).encode()


MALFORMED = {
    "100,000 lists": b"[" * 100_000,
    "100,000 closed lists": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "40 lists": b'{"request": "x", "labels": ' + b"[" * 40 + b"]" * 40 + b"}",
    "an int of 100,000 digits": b'{"request": "x", "config": {"max_workers": '
    + b"9" * 100_000
    + b"}}",
    "NaN": b'{"request": "x", "config": {"max_cost_usd": NaN}}',
    "Infinity": b'{"request": "x", "config": {"max_cost_usd": Infinity}}',
    "-Infinity": b'{"request": "x", "config": {"max_cost_usd": -Infinity}}',
    "a key twice": b'{"request": "x", "request": "y"}',
    "a key twice, deep": b'{"request": "x", "config": {"labels": {"a": "1", "a": "2"}}}',
    "UTF-16": '{"request": "x"}'.encode("utf-16"),
    "Latin-1": '{"request": "\u00e9"}'.encode("latin-1"),
    "half a character": b'{"request": "\xed\xa0\x80"}',
    "two documents": b'{"request": "x"} {"request": "y"}',
    "nothing": b"",
    "a comment": b'{"request": "x"} // hello',
    "gzip": b"\x1f\x8b\x08\x00",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_strict_json_is_a_400(server: HttpServer, name: str) -> None:
    status, problem = send_raw(server, post(JSON, body=MALFORMED[name]))
    assert (status, problem["type"]) == (400, "malformed-json")


WRONG = {
    "a number beyond all floats": b'{"request": "x", "config": {"max_cost_usd": 1e999}}',
    "an int of 300 digits": b'{"request": "x", "config": {"max_workers": ' + b"9" * 300 + b"}}",
    "a lone surrogate": b'{"request": "\\ud800"}',
    "a lone surrogate in a name": b'{"request": "x", "config": {"labels": {"\\udfff": "x"}}}',
    "a lone surrogate as a field": b'{"request": "x", "\\ud800": 1}',
    "a NUL": b'{"request": "a\\u0000b"}',
    "a long request": a_request("x" * 200_001),
    "a long label": a_request(labels={"a": "x" * 1001}),
    "many labels": a_request(labels={str(n): "" for n in range(65)}),
    "a long prompt": json.dumps({"request": "x", "tasks": [{"prompt": "x" * 200_001}]}).encode(),
    "a long command": json.dumps({"request": "x", "tasks": [{"command": "x" * 200_001}]}).encode(),
    "many words": json.dumps({"request": "x", "tasks": [{"command": ["x"] * 10_001}]}).encode(),
    "many files": json.dumps(
        {"request": "x", "tasks": [{"title": "x", "files": ["x"] * 10_001}]}
    ).encode(),
    "a long variable": json.dumps(
        {"request": "x", "tasks": [{"title": "x", "env": {"x" * 201: ""}}]}
    ).encode(),
    "a text": b'"x"',
    "null": b"null",
}


@pytest.mark.parametrize("name", WRONG)
def test_values_that_no_request_has_are_a_422(server: HttpServer, name: str) -> None:
    status, problem = send_raw(server, post(JSON, body=WRONG[name]))
    assert (status, problem["type"]) == (422, "invalid-request")
    assert len(json.dumps(problem)) < 5000


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Type: application/json; charset=utf-16",
        "Content-Type: application/json; charset=iso-8859-1",
        "Content-Type: application/jsonp",
        "Content-Type:",
        "X-Nothing: x",
    ],
)
def test_only_json_in_utf_8_is_taken(server: HttpServer, header: str) -> None:
    status, problem = send_raw(server, post(header, body=a_request()))
    assert (status, problem["type"]) == (415, "unsupported-media-type")


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=UTF-8", '; charset="utf-8"'])
def test_json_may_name_its_charset_utf_8(server: HttpServer, charset: str) -> None:
    assert send_raw(server, post(JSON + charset, body=a_request("\u00e9")))[0] == 202


def test_a_body_in_chunks_is_a_body(server: HttpServer) -> None:
    body = a_request()
    raw = post(JSON, "Transfer-Encoding: chunked") + chunked(body[:5], body[5:])
    assert send_raw(server, raw)[0] == 202
    raw = post(JSON, "Transfer-Encoding: chunked") + chunked(b"[" * 1000)
    assert send_raw(server, raw)[0] == 400


@pytest.mark.parametrize(
    "raw",
    [
        post(JSON, "Transfer-Encoding: chunked") + b"zz\r\nhello\r\n",
        post(JSON, "Transfer-Encoding: chunked") + b"-5\r\nhello\r\n0\r\n\r\n",
        post(JSON, "Transfer-Encoding: gzip", body=b"x"),
        post(JSON, *TWO_ENDS, body=b"0\r\n\r\n"),
        post(JSON, *TWO_ENDS, body=b"0\r\n\r\n").replace(b"/1.1", b"/1.0"),
        post(JSON, body=b"{}", length=-1),
        post(JSON, "Content-Length: 1", "Content-Length: 2", body=b"{}"),
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nno colon here\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
        b"GET /he alth HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=range(11),
)
def test_what_is_no_proper_http_is_refused(server: HttpServer, raw: bytes) -> None:
    status, problem = send_raw(server, raw)
    assert status in (400, 403, 501), problem
    assert send_raw(server, post(JSON, body=a_request()))[0] == 202


def test_a_body_beyond_the_limit_is_refused_however_it_comes(server: HttpServer) -> None:
    """Includes callers that read the answer only after they have sent everything."""
    assert send_raw(server, post(JSON, length=10**12))[0] == 413
    # More bytes than the buffers of both sockets hold.
    large = b" " * (24 * 1024 * 1024)
    for raw in (
        post(JSON, body=large),
        post(JSON, "Transfer-Encoding: chunked") + chunked(large),
    ):
        status, problem = send_raw(server, raw)
        assert (status, problem["type"]) == (413, "too-large")
    assert send_raw(server, post(JSON, body=a_request()))[0] == 202


def test_a_caller_who_asks_first_does_not_send_a_body_beyond_the_limit(server: HttpServer) -> None:
    assert send_raw(server, post(JSON, "Expect: 100-continue", length=9 * 1024**2))[0] == 413


def test_a_refused_caller_who_never_stops_sending_is_cut_off(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waitress_connections, "REST_SECONDS", 0.2)
    with Connection(server) as connection:
        connection.socket.sendall(post(JSON, length=10**12))
        assert connection.head()[0] == 413
        with pytest.raises(ConnectionError):
            while True:
                connection.socket.sendall(b" " * 1000)
                time.sleep(0.01)


@pytest.mark.parametrize(
    "headers", [[f"X-{n}: x" for n in range(200)], ["X-Long: " + "x" * 70_000]]
)
def test_too_many_or_too_long_headers_are_a_431(server: HttpServer, headers: list[str]) -> None:
    status, problem = send_raw(server, post(JSON, *headers, body=a_request()))
    assert (status, problem["type"]) == (431, "headers-too-large")


@pytest.mark.parametrize(
    "path",
    ["/%00", "/%ff", "//etc/passwd", "/static/%2e%2e/app.py", "/static/..%2f..%2fapp.py",
     "/api/v1/jobs/%2e%2e", "/api/v1/jobs/..%2f..%2fx/reports/FINAL_RESULT.md", "/" + "a" * 30_000,
     "/api/v1/jobs/%E2%80%AE/status", "/static/%00"],
)  # fmt: skip
def test_odd_paths_lead_nowhere(server: HttpServer, path: str) -> None:
    raw = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n".encode()
    status, problem = send_raw(server, raw)
    assert (status, problem["type"]) == (404, "not-found")


def test_two_keys_or_two_hosts_are_none(server: HttpServer) -> None:
    keys = f"Host: localhost\r\nX-API-Key: {KEY}\r\nX-API-Key: {KEY}"
    assert send_raw(server, f"GET /api/v1/jobs HTTP/1.1\r\n{keys}\r\n\r\n".encode())[0] == 401
    hosts = "Host: localhost\r\nHost: evil.example"
    assert send_raw(server, f"GET /health HTTP/1.1\r\n{hosts}\r\n\r\n".encode())[0] in (400, 403)
    hosts = "Host: localhost:80\r\nHost: evil.example"
    assert send_raw(server, f"GET /health HTTP/1.1\r\n{hosts}\r\n\r\n".encode())[0] in (400, 403)


def test_a_body_with_two_ends_is_refused_with_what_follows(server: HttpServer) -> None:
    follows = b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Connection(server) as connection:
        connection.socket.sendall(post(JSON, *TWO_ENDS, body=follows))
        response = connection.socket.makefile("rb").read()
    assert response.startswith(b"HTTP/1.1 400 ") and response.count(b"HTTP/1.1 ") == 1
