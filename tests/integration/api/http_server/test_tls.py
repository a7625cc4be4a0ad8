"""The server with TLS: real handshakes with a certificate from openssl."""

import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests
from flask import Flask

from orchestrator.api.http_server import waitress_connections
from orchestrator.api.http_server.app import close_app, create_app
from orchestrator.api.http_server.tls import BadCertificate, tls_context
from orchestrator.api.http_server.waitress_server import HttpServer, serve
from orchestrator.api.server_options import ApiOptions
from orchestrator.system.http_client.stdlib_client import StdlibClient
from tests.integration.api.conftest import DEADLINE_SECONDS, THREADS, eventually
from tests.integration.api.wire import Connection, Events
from tests.unit.api.fake_service import KEY, FakeService

LIMIT = 10
HEADERS = {"X-API-Key": KEY}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost. Its key is in key.pem in the same directory."""
    folder = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=DNS:localhost,DNS:build.example.org,IP:127.0.0.1"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", names),
            *("-keyout", "key.pem", "-out", "certificate.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "certificate.pem"


@pytest.fixture
def serving(app: Flask, certificate: Path) -> Iterator[Callable[[int], HttpServer]]:
    context = tls_context(certificate, certificate.with_name("key.pem"))
    with ExitStack() as stack:

        def one(limit: int) -> HttpServer:
            server = serve(
                app,
                host="127.0.0.1",
                port=0,
                threads=THREADS,
                connection_limit=limit,
                max_request_bytes=1000,
                tls=context,
                local_port=0,
            )
            server.start()
            stack.callback(lambda: server.wait(DEADLINE_SECONDS))
            stack.callback(server.close)
            return server

        yield one
        close_app(app)


@pytest.fixture
def server(serving: Callable[[int], HttpServer]) -> HttpServer:
    return serving(2000)


@pytest.fixture
def secure(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[socket.socket], ssl.SSLSocket]:
    """Let every ``Connection`` of the test use TLS; return the function that wraps a socket."""
    context = ssl.create_default_context(cafile=str(certificate))
    plain = Connection.__init__

    def wrap(connection: socket.socket) -> ssl.SSLSocket:
        return context.wrap_socket(connection, server_hostname="localhost")

    def init(self: Connection, server: HttpServer) -> None:
        plain(self, server)
        self._file.close()
        self.socket = wrap(self.socket)
        self._file = self.socket.makefile("rb")

    monkeypatch.setattr(Connection, "__init__", init)
    return wrap


Secure = Callable[[socket.socket], ssl.SSLSocket]


def test_callers_speak_tls_and_programs_on_this_machine_plain_http(
    server: HttpServer, certificate: Path
) -> None:
    assert server.listening_url == f"https://127.0.0.1:{server.port}"
    assert server.url.startswith("http://127.0.0.1:")
    for url in (server.listening_url, server.url):
        answer = requests.get(f"{url}/health", verify=str(certificate), timeout=DEADLINE_SECONDS)
        assert answer.status_code == 200


def test_many_requests_share_a_connection(server: HttpServer, secure: Secure) -> None:
    with Connection(server) as client:
        for _ in range(3):
            job = client.json("POST", "/api/v1/orchestrate", body='{"request": "x"}')
            assert job["status"] == "pending"
        assert isinstance(client.socket, ssl.SSLSocket)
        assert client.socket.version() in ("TLSv1.2", "TLSv1.3")


def test_older_tls_is_refused(server: HttpServer, certificate: Path) -> None:
    old = ssl.create_default_context(cafile=str(certificate))
    with pytest.warns(DeprecationWarning):
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection((server.host, server.port), 10) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(connection, server_hostname="localhost")


def test_a_long_answer_comes_whole(
    server: HttpServer, service: FakeService, secure: Secure
) -> None:
    with Connection(server) as client:
        job_id = client.json("POST", "/api/v1/orchestrate", body='{"request": "x"}')["job_id"]
        log = service.job_details.log_path(service.callers.of_key(KEY), job_id, "worker_1")
        log.parent.mkdir(parents=True)
        content = b"0123456789" * 500_000
        log.write_bytes(content)
        client.ask("GET", f"/api/v1/jobs/{job_id}/logs/worker_1", "Connection: close")
        _, headers = client.head()
        assert client.body(headers) == content
        assert client._file.read() == b""


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_events_are_streamed_to_their_end(
    server: HttpServer, service: FakeService, secure: Secure, version: str
) -> None:
    with Connection(server) as client:
        job_id = client.json("POST", "/api/v1/orchestrate", body='{"request": "x"}')["job_id"]
    stream = Events(server, job_id, version=version)
    found = iter(stream)
    first = next(found)
    assert first
    service.end(service.access.job(service.callers.of_key(KEY), job_id))
    assert list(found)
    stream.close()
    eventually(lambda: not server.channels(), "no connection is left")


def test_a_reader_that_leaves_ends_its_stream(
    server: HttpServer, app: Flask, socket_loop: object, secure: Secure
) -> None:
    with Connection(server) as client:
        job_id = client.json("POST", "/api/v1/orchestrate", body='{"request": "x"}')["job_id"]
    stream = Events(server, job_id)
    eventually(lambda: socket_loop.waiting == 1, "the stream waits")  # type: ignore[attr-defined]
    stream.close()
    eventually(lambda: socket_loop.waiting == 0, "it has ended")  # type: ignore[attr-defined]


def test_a_handshake_that_never_ends_and_a_silent_caller_are_dropped(
    server: HttpServer, secure: Secure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waitress_connections, "HEAD_SECONDS", 0.2)
    with ExitStack() as stack:
        raw = stack.enter_context(socket.create_connection((server.host, server.port), 20))
        raw.sendall(b"\x16\x03\x01")
        silent = stack.enter_context(Connection(server)).socket
        half = stack.enter_context(Connection(server)).socket
        half.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        assert raw.recv(100) == b""
        assert silent.recv(100) == b""
        assert half.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_handshakes_that_never_end_keep_no_caller_out(
    serving: Callable[[int], HttpServer], secure: Secure
) -> None:
    server = serving(LIMIT)
    address = (server.host, server.port)
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(address, 20)) for _ in range(50)]
        with Connection(server) as client:
            assert client.json("GET", "/health")["ready"] is True
        assert held[0].recv(100) == b""
        eventually(lambda: len(server.channels()) <= LIMIT, "no more than the limit are held")


def test_a_body_that_is_too_large_is_refused_while_it_is_sent(
    server: HttpServer, secure: Secure
) -> None:
    with Connection(server) as client:
        client.ask("POST", "/api/v1/orchestrate", body="x" * 1_000_000)
        status, headers = client.head()
        assert (status, json.loads(client.body(headers))["status"]) == (413, 413)


def test_plain_http_at_the_address_of_tls_is_refused(server: HttpServer) -> None:
    with Connection(server) as client:
        client.ask("GET", "/health")
        with suppress(ConnectionError):
            assert not client.socket.recv(1000).startswith(b"HTTP")


def test_the_audit_log_has_the_address_of_the_caller_and_names_of_the_certificate_are_known(
    service: FakeService, certificate: Path, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    app = create_app(service, ApiOptions(audit_directory=logs))
    server = serve(
        app,
        host="127.0.0.1",
        port=0,
        tls=tls_context(certificate, certificate.with_name("key.pem")),
        local_port=0,
    )
    server.start()
    # A foreign page cannot make its name resolve to this server: the certificate has another name.
    for url, host, status in (
        (server.listening_url, "build.example.org", 202),
        (server.url, "build.example.org", 403),
    ):
        answer = requests.post(
            f"{url}/api/v1/orchestrate",
            json={"request": "x"},
            headers={**HEADERS, "Host": host},
            verify=str(certificate),
            timeout=DEADLINE_SECONDS,
        )
        assert answer.status_code == status, answer.text
    with socket.socket() as raw:
        raw.bind(("127.0.0.2", 0))
        raw.connect((server.host, server.port))
        context = ssl.create_default_context(cafile=str(certificate))
        with context.wrap_socket(raw, server_hostname="localhost") as client:
            client.sendall(b"DELETE /api/v1/jobs/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 401")
    server.close()
    assert server.wait(DEADLINE_SECONDS)
    close_app(app)
    last = json.loads((logs / "audit.jsonl").read_text().splitlines()[-1])
    assert (last["status"], last["remote"]) == (401, "127.0.0.2")


def test_what_is_answered_is_sent_before_the_server_stops(
    server: HttpServer, secure: Secure
) -> None:
    with Connection(server) as client:
        client.ask("GET", "/health")
        client.head()
        server.close()
        assert server.wait(DEADLINE_SECONDS)
        client._file.read()
    with pytest.raises(OSError):
        socket.create_connection((server.host, server.port), 5).close()


def test_a_server_that_never_ran_leaves_nothing_open(app: Flask, certificate: Path) -> None:
    context = tls_context(certificate, certificate.with_name("key.pem"))
    server = serve(app, host="127.0.0.1", port=0, tls=context, local_port=0)
    server.close()
    assert server.wait(0)


def test_files_that_are_no_certificate_and_key_are_refused_by_name(
    certificate: Path, tmp_path: Path
) -> None:
    key = certificate.with_name("key.pem")
    other, locked = tmp_path / "other.pem", tmp_path / "locked.pem"
    for arguments in (
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", other],
        ["pkey", "-in", key, "-aes256", "-passout", "pass:word", "-out", locked],
    ):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
    for files, words in (
        ((tmp_path / "none.pem", key), f"{tmp_path / 'none.pem'} cannot be read: No such file"),
        ((certificate, tmp_path), "cannot be read: Is a directory"),
        ((key, certificate), "not in PEM form"),
        ((certificate, other), f"cannot use {other} and {certificate}: either they do not match"),
        ((certificate, locked), "has a password"),
    ):
        with pytest.raises(BadCertificate, match=words):
            tls_context(*files)


def test_the_stdlib_client_trusts_what_the_machine_trusts(
    server: HttpServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = StdlibClient(server.listening_url, KEY)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        client.request("GET", "/api/v1/jobs", timeout=DEADLINE_SECONDS)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    assert client.request("GET", "/api/v1/jobs", timeout=DEADLINE_SECONDS).status == 200
