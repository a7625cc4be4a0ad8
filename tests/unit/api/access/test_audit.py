"""The content of the audit log. A call succeeds even if its log entry fails."""

import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from orchestrator.api.access.audit import FILE_NAME
from orchestrator.api.http_server.app import close_app, create_app
from orchestrator.api.server_options import ApiOptions
from orchestrator.security.files import private_log
from tests.unit.api.fake_service import KEY, READ_KEY, FakeService

ORCHESTRATE = "/api/v1/orchestrate"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def client(service: FakeService, logs: Path) -> Iterator[FlaskClient]:
    options = ApiOptions(audit_directory=logs, secrets=(KEY, READ_KEY), submissions_per_minute=2)
    app = create_app(service, options)
    client = app.test_client()
    client.environ_base["HTTP_X_API_KEY"] = KEY
    yield client
    close_app(app)


def entries(logs: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (logs / FILE_NAME).read_text().splitlines()]


def test_tools_that_change_or_are_refused_are_noted_by_name(
    client: FlaskClient, logs: Path
) -> None:
    def call(tool: str, **arguments: Any) -> None:
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        assert client.post("/mcp", json=message).status_code == 200

    client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    call("status")
    call("orchestrate", request="x")
    call("cancel", job_id="none")
    call("status", job_id="none")
    call("status", job_id=7)

    found = [(one["target"], one.get("tool")) for one in entries(logs)]
    tools = ["orchestrate", "cancel", "status", None]
    assert found == [("/mcp", tool) for tool in tools]


def test_changes_and_refusals_are_noted_and_reads_are_not(client: FlaskClient, logs: Path) -> None:
    job = json.loads(client.post(ORCHESTRATE, json={"request": "x"}).text)["job_id"]
    client.get(f"/api/v1/jobs/{job}")
    client.delete(f"/api/v1/jobs/{job}")
    client.get("/api/v1/jobs/none")
    client.post(ORCHESTRATE, json={})
    client.post(ORCHESTRATE, json={"request": "x"})
    client.post(ORCHESTRATE, json={"request": "x"}, headers={"X-API-Key": READ_KEY})
    client.get("/api/v1/jobs", headers={"X-API-Key": "wrong"})
    client.get("/api/v1/jobs", headers={"Host": "evil.example"})

    found = [(one["key"], one["method"], one["target"], one["status"]) for one in entries(logs)]
    assert found == [
        ("main", "POST", ORCHESTRATE, 202),
        ("main", "DELETE", f"/api/v1/jobs/{job}", 202),
        ("main", "GET", "/api/v1/jobs/none", 404),
        ("main", "POST", ORCHESTRATE, 422),
        ("main", "POST", ORCHESTRATE, 429),
        ("watcher", "POST", ORCHESTRATE, 403),
        (None, "GET", "/api/v1/jobs", 401),
        (None, "GET", "/api/v1/jobs", 403),
    ]
    for one in entries(logs):
        assert set(one) == {"at", "key", "method", "target", "status", "remote"}
        assert one["remote"] == "127.0.0.1"
        assert one["at"].endswith("+00:00")


def test_no_key_is_ever_in_it(client: FlaskClient, logs: Path) -> None:
    other = "somebody-elses-secret"
    client.post(f"/api/v1/jobs/{KEY}/cancel?key={KEY}")
    client.get(f"/api/v1/jobs/{READ_KEY}")
    client.get(f"/api/v1/jobs/{other}", headers={"X-API-Key": other})
    client.get(
        f"/api/v1/jobs/{other}", headers={"X-API-Key": "", "Authorization": f"Bearer {other}"}
    )

    text = (logs / FILE_NAME).read_text()
    assert len(entries(logs)) == 4
    for secret in (KEY, READ_KEY, other):
        assert secret not in text


def test_nothing_in_a_call_makes_a_second_line(client: FlaskClient, logs: Path) -> None:
    client.get("/api/v1/jobs/x%0A%0D%1B[2J%E2%80%A8" + "y" * 5000)
    client.open("/" + "z" * 3000, method="INVENTED" * 20)

    first, second = (logs / FILE_NAME).read_bytes().splitlines()
    assert first.isascii() and second.isascii()
    assert len(first) < 2500 and b"\x1b" not in first
    assert len(json.loads(second)["method"]) == 20


def test_the_audit_log_is_private_and_append_only(client: FlaskClient, logs: Path) -> None:
    logs.mkdir(mode=0o700, exist_ok=True)
    (logs / FILE_NAME).write_text("{}\n")
    (logs / FILE_NAME).chmod(0o644)

    client.post(ORCHESTRATE, json={"request": "x"})

    assert stat.S_IMODE((logs / FILE_NAME).stat().st_mode) == 0o600
    assert len(entries(logs)) == 2
    mode = next(
        int(line.split()[1], 8)
        for descriptor in os.listdir("/proc/self/fd")
        if os.path.realpath(f"/proc/self/fd/{descriptor}") == str(logs / FILE_NAME)
        for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
        if line.startswith("flags:")
    )
    assert mode & os.O_APPEND


def test_the_audit_log_has_a_maximum_size(
    client: FlaskClient, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = client.application.extensions["orchestrator.audit"]
    monkeypatch.setattr(audit._file, "maxBytes", 2000)
    for _ in range(200):
        client.get("/api/v1/jobs/none")

    files = sorted(logs.iterdir())
    assert len(files) == private_log.LOG_FILES + 1
    assert all(path.stat().st_size <= 2000 for path in files)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


@pytest.mark.parametrize("obstacle", ["directory", "link"])
def test_a_log_that_cannot_be_written_stops_no_request_and_warns_once(
    client: FlaskClient, logs: Path, caplog: pytest.LogCaptureFixture, obstacle: str
) -> None:
    elsewhere = logs.parent / "elsewhere"
    logs.mkdir(exist_ok=True)
    if obstacle == "directory":
        (logs / FILE_NAME).mkdir()
    else:
        (logs / FILE_NAME).symlink_to(elsewhere)
    with caplog.at_level(logging.WARNING):
        answers = [client.get("/api/v1/jobs/none").status_code for _ in range(3)]
        assert caplog.text.count("cannot be written") == 1
        obstacle_path = logs / FILE_NAME
        obstacle_path.rmdir() if obstacle == "directory" else obstacle_path.unlink()
        client.get("/api/v1/jobs/none")

    assert answers == [404, 404, 404]
    assert not elsewhere.exists()
    assert len(entries(logs)) == 1
    assert "can be written again" in caplog.text
