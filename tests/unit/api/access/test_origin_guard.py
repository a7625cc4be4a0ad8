"""Host and Origin checks, and the headers on every answer."""

from http import HTTPStatus
from ipaddress import ip_network

import pytest
from flask import Flask
from flask.testing import FlaskClient

from orchestrator.api.access.origin_guard import OriginGuard, host_name
from orchestrator.api.http_server.app import create_app
from orchestrator.api.server_options import ApiOptions
from tests.unit.api.fake_service import KEY, FakeService


@pytest.fixture
def app(shared_app: Flask, service: FakeService) -> Flask:
    shared_app.extensions["orchestrator.service"] = service
    return shared_app


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]", "[::1]:8000", "localhost."]
)
def test_names_of_this_machine_are_answered(anonymous: FlaskClient, host: str) -> None:
    assert anonymous.get("/health", headers={"Host": host}).status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "evil.localhost", "[::2]",
     "127.0.0.1.nip.io", "0.0.0.0", "localhost@evil.example", "[::1", "192.168.0.1"],
)  # fmt: skip
def test_other_names_are_refused_everywhere(client: FlaskClient, host: str) -> None:
    for path in ("/", "/health", "/docs", "/api/v1/jobs", "/nothing"):
        response = client.get(path, headers={"Host": host})
        assert response.status_code == HTTPStatus.FORBIDDEN
        assert response.content_type == "application/problem+json"
        assert '"forbidden-host"' in response.text


def test_a_request_without_a_host_is_refused_unless_it_is_old() -> None:
    def application(environ, start_response):  # type: ignore[no-untyped-def]
        start_response("200 OK", [])
        return [b"in"]

    guard = OriginGuard(application, ApiOptions())
    statuses: list[str] = []
    environ = {"PATH_INFO": "/", "REQUEST_METHOD": "GET", "wsgi.url_scheme": "http"}
    environ |= {"SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.input": None}
    for version in ("HTTP/1.0", "HTTP/1.1"):
        request = {**environ, "SERVER_PROTOCOL": version}
        b"".join(guard(request, lambda status, *_: statuses.append(status)))  # type: ignore[arg-type,func-returns-value]
    assert [status[:3] for status in statuses] == ["200", "403"]


@pytest.mark.parametrize(
    ("options", "host", "known"),
    [
        (ApiOptions(host="192.168.0.7"), "192.168.0.7:80", True),
        (ApiOptions(host="192.168.0.7"), "192.168.0.8", False),
        (ApiOptions(host="fe80::1"), "[fe80::1]:80", True),
        (ApiOptions(host="0.0.0.0"), "10.0.0.1:80", True),
        (ApiOptions(host="::"), "[2001:db8::1]", True),
        (ApiOptions(host="0.0.0.0"), "evil.example", False),
        (ApiOptions(allowed_hosts=("Build.Example",)), "build.example:8000", True),
    ],
)
def test_names_come_from_where_it_listens(options: ApiOptions, host: str, known: bool) -> None:
    assert OriginGuard(lambda *_: [], options).is_own_host(host) is known


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_calls_from_other_sites_are_refused(client: FlaskClient, headers: dict[str, str]) -> None:
    for method, path in (
        ("POST", "/api/v1/orchestrate"),
        ("OPTIONS", "/api/v1/orchestrate"),
        ("GET", "/api/v1/jobs"),
        ("GET", "/health"),
        ("POST", "/"),
    ):
        response = client.open(path, method=method, headers=headers)
        assert response.status_code == HTTPStatus.FORBIDDEN
        assert '"forbidden-origin"' in response.text
    for path in ("/", "/docs", "/jobs/e43534f6/table", "/static/theme.js"):
        assert client.get(path, headers=headers).status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:8000", "Host": "localhost:8000"},
        {"Origin": "https://localhost", "Host": "localhost"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_calls_from_its_own_pages_are_answered(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    response = client.post("/api/v1/orchestrate", json={"request": "x"}, headers=headers)
    assert response.status_code == HTTPStatus.ACCEPTED


@pytest.mark.parametrize("path", ["/", "/health", "/api/v1/jobs", "/nothing", "/static/theme.js"])
def test_every_answer_has_the_security_headers(anonymous: FlaskClient, path: str) -> None:
    headers = anonymous.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


def test_a_port_belongs_to_no_name() -> None:
    assert host_name("[::1]:80") == "[::1]"
    assert host_name("Localhost:80") == "localhost"
    assert host_name("localhost.") == "localhost"


@pytest.mark.parametrize(
    "host", ["localhost:80, evil", "localhost:80@evil", "[::1]x", "::1", "a:b"]
)
def test_an_invalid_host_has_no_name(host: str) -> None:
    assert host_name(host) == ""


def test_two_applications_do_not_share_their_counts(service: FakeService) -> None:
    # The registry of metrics is private, so that a second application works.
    assert create_app(service) is not create_app(service)


PROXIED = ApiOptions(
    host="0.0.0.0",
    trusted_proxies=(ip_network("10.0.0.0/24"), ip_network("fd00::1")),
    allowed_hosts=("build.example.org",),
)
HTTPS = {"HTTP_X_FORWARDED_PROTO": "https"}


def through(
    guarded: ApiOptions, remote: str, path: str = "/docs", **variables: str
) -> tuple[str, ...]:
    """Return status, caller's address, and scheme of a request from ``remote``, and the answer."""

    def application(environ, start_response):  # type: ignore[no-untyped-def]
        start_response("200 OK", [])
        return [f"{environ['REMOTE_ADDR']} {environ['wsgi.url_scheme']}".encode()]

    statuses: list[str] = []
    environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "wsgi.url_scheme": "http"}
    environ |= {"SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "build.example.org"}
    environ |= {"REMOTE_ADDR": remote, **variables}
    guard = OriginGuard(application, guarded)
    body = guard(environ, lambda status, *_: statuses.append(status))  # type: ignore[arg-type,func-returns-value]
    return statuses[0][:3], b"".join(body).decode()


@pytest.mark.parametrize(
    ("remote", "variables", "body"),
    [
        ("10.0.0.7", HTTPS, "10.0.0.7 https"),
        ("fd00::1", HTTPS, "fd00::1 https"),
        ("10.0.0.7", {**HTTPS, "HTTP_X_FORWARDED_FOR": "1.1.1.1, 203.0.113.9, 10.0.0.8"},
         "203.0.113.9 https"),
        ("10.0.0.7", {**HTTPS, "HTTP_X_FORWARDED_FOR": "<script>"}, "10.0.0.7 https"),
        ("127.0.0.1", {}, "127.0.0.1 http"),
        ("::1", HTTPS, "::1 http"),
    ],
)  # fmt: skip
def test_a_trusted_proxy_and_this_machine_are_let_in(
    remote: str, variables: dict[str, str], body: str
) -> None:
    assert through(PROXIED, remote, **variables) == ("200", body)


@pytest.mark.parametrize(
    ("remote", "variables", "words"),
    [
        ("10.0.0.7", {}, "the header X-Forwarded-Proto: https is missing"),
        ("10.0.0.7", {"HTTP_X_FORWARDED_PROTO": "http"}, "X-Forwarded-Proto: https is missing"),
        ("10.0.0.7", {"HTTP_X_FORWARDED_PROTO": "https, http"}, "https is missing"),
        ("10.0.1.7", HTTPS, "10.0.1.7 is not in api.trusted_proxies"),
        ("unknown", HTTPS, "unknown is not in api.trusted_proxies"),
    ],
)
def test_a_call_past_the_proxies_is_rejected_with_what_is_missing(
    remote: str, variables: dict[str, str], words: str
) -> None:
    status, body = through(PROXIED, remote, **variables)
    assert status == "403" and words in body and "forbidden-proxy" in body


def test_probes_of_a_container_platform_pass_the_proxy() -> None:
    for path in ("/healthz", "/readyz"):
        assert through(PROXIED, "10.0.1.7", path)[0] == "200"
    assert through(PROXIED, "10.0.1.7", "/healthz/")[0] == "403"


def test_a_proxy_does_not_vouch_for_names() -> None:
    """By DNS rebinding, a browser on the proxy's network could send the proxy's headers."""
    status, body = through(PROXIED, "10.0.0.7", **HTTPS, HTTP_HOST="evil.example")
    assert status == "403" and "api.allowed_hosts" in body


APP = "https://app.example.org"


def test_a_page_of_an_allowed_origin_may_call_and_read(service: FakeService) -> None:
    client = create_app(service, ApiOptions(allowed_origins=(APP,))).test_client()
    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site", "X-API-Key": KEY}
    request = {**headers, "Access-Control-Request-Method": "POST"}
    preflight = client.options("/api/v1/orchestrate", headers=request)
    assert preflight.status_code == HTTPStatus.NO_CONTENT
    assert preflight.headers["Access-Control-Allow-Origin"] == APP
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "X-API-Key" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in preflight.headers

    answer = client.post("/api/v1/orchestrate", json={"request": "x"}, headers=headers)
    assert answer.status_code == HTTPStatus.ACCEPTED
    job = answer.get_json()["job_id"]
    for path, status in (("wait?timeout=0.1", 200), ("nothing", 404)):
        read = client.get(f"/api/v1/jobs/{job}/{path}", headers=headers)
        assert read.status_code == status
        assert read.headers.getlist("Access-Control-Allow-Origin") == [APP]
        assert "Origin" in read.headers["Vary"]

    client.environ_base["HTTP_X_API_KEY"] = KEY
    client.post("/api/v1/session")
    del client.environ_base["HTTP_X_API_KEY"]
    assert client.get("/api/v1/jobs").status_code == HTTPStatus.OK
    without_key = {"Origin": APP, "Sec-Fetch-Site": "same-site"}
    by_cookie = client.get("/api/v1/jobs", headers=without_key)
    assert by_cookie.status_code == HTTPStatus.UNAUTHORIZED

    for origin in ("https://app.example.org.evil.net", "http://app.example.org", "null"):
        refused = client.get("/api/v1/jobs", headers={**headers, "Origin": origin})
        assert refused.status_code == HTTPStatus.FORBIDDEN
        assert "Access-Control-Allow-Origin" not in refused.headers


def test_a_local_proxy_must_forward_that_its_caller_used_https() -> None:
    local = ApiOptions(
        trusted_proxies=(ip_network("127.0.0.1"),), allowed_hosts=("build.example.org",)
    )
    caller = {"HTTP_X_FORWARDED_FOR": "203.0.113.9"}
    assert through(local, "127.0.0.1", **HTTPS, **caller) == ("200", "203.0.113.9 https")
    here = through(local, "127.0.0.1", HTTP_HOST="127.0.0.1:8000")
    assert here == ("200", "127.0.0.1 http")
    assert through(local, "127.0.0.1")[0] == "403", "a proxy that sends no proxy headers"
    assert through(local, "127.0.0.1", **caller, HTTP_X_FORWARDED_PROTO="http")[0] == "403"
