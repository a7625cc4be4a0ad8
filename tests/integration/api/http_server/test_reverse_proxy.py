"""The recipes of docs/reverse-proxy.md, with a real nginx, a real Caddy, and a server."""

import json
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.integration.conftest import MakeServer
from tests.integration.site import (
    HANG_SECONDS,
    REPOSITORY,
    ServerProcess,
    complete_lines,
    shell,
    until,
)
from tests.support.ports import free_port

pytestmark = pytest.mark.nightly

NAME, KEY = "jobs.example.org", "k" * 20
#: The caller's address, which differs from the proxy's.
CALLER = "127.0.0.2"


def recipe(language: str) -> str:
    page = (REPOSITORY / "docs" / "reverse-proxy.md").read_text()
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


def nginx_command(folder: Path, port: int, upstream: str) -> list[str]:
    server = recipe("nginx").replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    server = server.replace("127.0.0.1:8000", upstream)
    server = server.replace("/etc/ssl/private/jobs.example.org.key", str(folder / "key.pem"))
    server = server.replace("/etc/ssl/jobs.example.org.pem", str(folder / "certificate.pem"))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\nerror_log stderr;\npid {folder}/nginx.pid;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{server}}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy_command(folder: Path, port: int, upstream: str) -> list[str]:
    site = recipe("caddyfile").replace("127.0.0.1:8000", upstream)
    tls = f"bind 127.0.0.1\n    tls {folder}/certificate.pem {folder}/key.pem"
    site = site.replace(f"{NAME} {{", f"https://{NAME}:{port} {{\n    {tls}", 1)
    options = "{\n    admin off\n    auto_https disable_redirects\n}\n"
    (folder / "Caddyfile").write_text(f"{options}{site}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


COMMANDS = {"nginx": nginx_command, "caddy": caddy_command}


@dataclass
class Front:
    """The proxy's public address, which curl calls from another address."""

    folder: Path
    port: int
    server: ServerProcess
    #: Origin of another site, whose pages may call the server.
    app: str

    def command(self, path: str, *options: str) -> list[str]:
        return [
            *("curl", "-sS", "--cacert", str(self.folder / "certificate.pem")),
            *("--resolve", f"{NAME}:{self.port}:127.0.0.1", "--interface", CALLER),
            *(*options, f"https://{NAME}:{self.port}{path}"),
        ]

    def call(self, path: str, *options: str) -> tuple[int, Any]:
        command = self.command(path, "-w", "\n%{http_code}", *options)
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=HANG_SECONDS, check=True
        )
        text, _, status = ran.stdout.rpartition("\n")
        return int(status), json.loads(text) if text.startswith("{") else text


@pytest.fixture(params=COMMANDS)
def front(
    request: pytest.FixtureRequest, make_server: MakeServer, tmp_path: Path
) -> Iterator[Front]:
    program: str = request.param
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed; as root: apt-get install {program}")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={NAME}"),
            *("-addext", f"subjectAltName=DNS:{NAME}"),
            *("-keyout", "key.pem", "-out", "certificate.pem"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    api = {"host": "127.0.0.1", "trusted_proxies": ["127.0.0.1"], "allowed_hosts": [NAME]}
    app = f"http://app.example.org:{free_port()}"
    server = make_server(api={**api, "api_key": KEY, "allowed_origins": [app]})
    addresses = until(
        lambda: re.findall(r"serving at http://(\S+) ", server.output()), "the start line"
    )
    port = free_port()
    command = COMMANDS[program](tmp_path, port, addresses[-1])
    home = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    log = (tmp_path / "proxy.log").open("wb")
    process = subprocess.Popen(command, env=home, stdout=log, stderr=log)
    try:
        until(lambda: is_open(port), f"{program} listens: {tmp_path}/proxy.log")
        yield Front(tmp_path, port, server, app)
    finally:
        process.terminate()
        process.wait(HANG_SECONDS)
        log.close()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_events_waits_and_sessions_pass_the_proxy(front: Front, tmp_path: Path) -> None:
    go = tmp_path / "go"
    body = json.dumps({"request": "x", "tasks": [shell(f"until [ -e {go} ]; do sleep 0.02; done")]})
    with_key = ("-H", f"X-API-Key: {KEY}", "-H", "Content-Type: application/json")
    spoofed = ("-H", "X-Forwarded-For: 203.0.113.9", "-H", "X-Forwarded-Proto: http")
    status, accepted = front.call("/api/v1/orchestrate", *with_key, *spoofed, "-d", body)
    assert status == 202, accepted
    job = accepted["job_id"]
    lines = complete_lines(front.server.folder / "logs" / "audit.jsonl")
    assert json.loads(lines[-1])["remote"] == CALLER

    # An event arrives while the stream is open, so nothing buffers it.
    command = front.command(f"/api/v1/jobs/{job}/events", "-N", *with_key)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdout is not None
        while "event: worker_started" not in (line := stream.stdout.readline()):
            assert line, "the stream ended before the worker's start"
        status, waited = front.call(f"/api/v1/jobs/{job}/wait?timeout=0.5", *with_key)
        assert (status, waited["timed_out"]) == (200, True)
        go.touch()
        assert "event: job_ended" in stream.stdout.read()
        assert stream.wait(HANG_SECONDS) == 0
    assert front.call(f"/api/v1/jobs/{job}/wait", *with_key)[1]["status"] == "completed"

    cookies = str(tmp_path / "cookies")
    assert front.call("/")[0] == 200
    status, login = front.call("/api/v1/session", "-c", cookies, *with_key, "-X", "POST")
    assert status == 201, login
    assert f"__Host-orchestrator_{front.port}" in Path(cookies).read_text()
    origin = ("-b", cookies, "-H", f"Origin: https://{NAME}:{front.port}")
    proven = (*origin, "-H", f"X-Session-Token: {login['token']}")
    assert front.call(f"/api/v1/jobs/{job}", *origin)[0] == 200
    assert front.call("/api/v1/pause", "-X", "POST", *origin)[0] == 403
    assert front.call("/api/v1/pause", "-X", "POST", *proven)[0] == 200
    assert front.call("/api/v1/resume", "-X", "POST", *proven)[0] == 200
    evil = ("-b", cookies, "-H", "Origin: https://evil.example")
    assert front.call(f"/api/v1/jobs/{job}", *evil)[0] == 403


#: Script of a page of another site: submits a job, reads the answer, and waits for the end.
FETCH = """async ([url, key]) => {
  const headers = { "X-API-Key": key, "Content-Type": "application/json" };
  const body = JSON.stringify({ request: "Asked by a page", tasks: [{ command: "true" }] });
  const made = await fetch(`${url}/api/v1/orchestrate`, { method: "POST", headers, body });
  const { job_id: job } = await made.json();
  const waited = await fetch(`${url}/api/v1/jobs/${job}/wait?timeout=60`, { headers });
  return [(await waited.json()).status, made.headers.get("Location")];
}"""


class AppPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<p>app</p>")


@contextmanager
def other_site(origin: str) -> Iterator[None]:
    address = ("127.0.0.1", int(origin.rpartition(":")[2]))
    with ThreadingHTTPServer(address, AppPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_a_browser_logs_in_and_sees_jobs_of_an_allowed_page(front: Front) -> None:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed; as root: apt-get install chromium")
    url = f"https://{NAME}:{front.port}"
    rules = f"--host-resolver-rules=MAP {NAME} 127.0.0.1, MAP app.example.org 127.0.0.1"
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", rules]
    with other_site(front.app), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        dashboard = browser.new_context(ignore_https_errors=True).new_page()
        dashboard.goto(url)
        dashboard.get_by_label("Key").fill(KEY)
        dashboard.get_by_role("button", name="Log in").click()
        expect(dashboard.locator("h1")).to_have_text("Jobs")

        other = browser.new_context(ignore_https_errors=True).new_page()
        other.goto(front.app)
        status, location = other.evaluate(FETCH, [url, KEY])
        assert status == "completed"
        assert location is not None
        # The list shows the job because the proxy forwards the stream.
        link = dashboard.get_by_role("link", name="Asked by a page").first
        expect(link).to_be_visible(timeout=20_000)
        browser.close()
