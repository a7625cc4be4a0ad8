"""Events of external services, sent to an application with the fake service."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from orchestrator.api.http_server.app import close_app, create_app
from orchestrator.api.routes.triggers import MOST_BYTES
from orchestrator.api.server_options import ApiOptions
from orchestrator.composition.settings.triggers import triggers
from orchestrator.config import Settings
from tests.unit.api.fake_service import FakeService

SECRET = "a-secret-for-tests-only"
FIXTURES = Path(__file__).parents[3] / "fixtures" / "github"
LABELED = (FIXTURES / "issues.labeled.json").read_bytes()
ISSUES = {
    "verify": "github",
    "secret": SECRET,
    "when": {"event": "issues", "$.action": "labeled", "$.label.name": "agent"},
    "request": "Fix issue {{number}}, {{title}}:\n{{body}}",
    "params": {"number": "$.issue.number", "title": "$.issue.title", "body": "$.issue.body"},
    "labels": {"issue": "{{number}}"},
    "max_per_hour": 2,
}
POSTS = {"verify": "bearer", "secret": SECRET, "request": "Do it."}
SIGNED = {"verify": "standard", "secret": SECRET, "request": "Do it."}


@pytest.fixture
def app(service: FakeService, tmp_path: Path) -> Iterator[Flask]:
    settings = Settings.model_validate(
        {"triggers": {"issues": ISSUES, "posts": POSTS, "signed": SIGNED}}
    )
    options = ApiOptions(
        triggers=triggers(tmp_path, settings), audit_directory=tmp_path, secrets=(SECRET,)
    )
    yield (app := create_app(service, options))
    close_app(app)


def signature(body: bytes) -> str:
    return f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"


def deliver(
    client: FlaskClient, body: bytes = LABELED, kind: str = "issues", id: str = "d-1", **more: str
) -> TestResponse:
    headers = {
        "X-GitHub-Event": kind,
        "X-GitHub-Delivery": id,
        "X-Hub-Signature-256": signature(body),
        "Content-Type": "application/json",
    }
    return client.post("/api/v1/triggers/issues", data=body, headers={**headers, **more})


def test_a_labeled_issue_starts_one_job(anonymous: FlaskClient, service: FakeService) -> None:
    first = deliver(anonymous)
    assert first.status_code == 202, first.text
    found = json.loads(first.text)
    assert (found["trigger"], found["status"]) == ("issues", "accepted")
    assert first.headers["Location"] == f"/api/v1/jobs/{found['job_id']}/status"
    (submission,) = service.submitted
    (task,) = submission.tasks
    assert task.command is None and task.prompt == submission.request
    assert "$(touch /tmp/owned)" in task.prompt and "\n````text\nIt looks like" in task.prompt
    assert submission.config.values.labels == {"issue": "7"}

    again = deliver(anonymous)
    assert again.status_code == 200
    assert json.loads(again.text)["status"] == "duplicate"
    assert json.loads(again.text)["job_id"] == found["job_id"]
    assert len(service.submitted) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Hub-Signature-256": signature(LABELED + b" ")},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": f"sha256={'0' * 64}"},
        {"X-API-Key": "a-key-for-tests-only", "X-Hub-Signature-256": ""},
    ],
)
def test_a_wrong_signature_gets_no_reason(
    anonymous: FlaskClient, service: FakeService, headers: dict[str, str]
) -> None:
    refused = deliver(anonymous, **headers)
    assert refused.status_code == 401
    detail = "event rejected: its signature or token does not match the trigger's secret"
    assert json.loads(refused.text)["detail"] == detail
    assert not service.submitted


def test_a_ping_is_answered_without_a_body(anonymous: FlaskClient) -> None:
    body = (FIXTURES / "ping.json").read_bytes()
    pong = deliver(anonymous, body, kind="ping")
    assert (pong.status_code, pong.data) == (204, b"")
    forged = deliver(anonymous, body + b" ", "ping", **{"X-Hub-Signature-256": signature(body)})
    assert forged.status_code == 401


def test_other_events_are_ignored_with_the_condition(
    anonymous: FlaskClient, service: FakeService
) -> None:
    other = json.dumps({**json.loads(LABELED), "action": "opened"}).encode()
    found = json.loads(deliver(anonymous, other).text)
    assert (found["status"], found["reason"]) == ("ignored", "the condition when.$.action is false")
    assert not service.submitted


def test_a_form_of_github_is_read(anonymous: FlaskClient, service: FakeService) -> None:
    body = urlencode({"payload": LABELED.decode()}).encode()
    kind = "application/x-www-form-urlencoded"
    assert deliver(anonymous, body, **{"Content-Type": kind}).status_code == 202
    assert "$(touch /tmp/owned)" in service.submitted[0].request


def test_json_that_curl_sends_as_a_form_is_read(anonymous: FlaskClient) -> None:
    kind = "application/x-www-form-urlencoded"
    assert deliver(anonymous, **{"Content-Type": kind}).status_code == 202


def test_a_large_body_is_refused(anonymous: FlaskClient, service: FakeService) -> None:
    assert deliver(anonymous, b" " * (MOST_BYTES + 1)).status_code == 413
    padded = LABELED + b" " * (MOST_BYTES - len(LABELED))
    assert deliver(anonymous, padded).status_code == 202


def test_a_signed_event_that_is_refused_may_have_a_wrong_time(anonymous: FlaskClient) -> None:
    answer = anonymous.post("/api/v1/triggers/signed", json={})
    assert answer.status_code == 401
    assert "or its time differs by more than 300 s from this server's clock" in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"[1, NaN]", b'{"a": 1, "a": 2}', b"\xff"])
def test_a_signed_body_that_is_no_json_stores_nothing(
    anonymous: FlaskClient, service: FakeService, body: bytes
) -> None:
    assert deliver(anonymous, body).status_code == 400
    assert not service.submitted


def test_the_limit_per_hour_holds(anonymous: FlaskClient, service: FakeService) -> None:
    assert [deliver(anonymous, id=f"d-{n}").status_code for n in range(3)] == [202, 202, 429]
    assert deliver(anonymous, id="d-0").status_code == 200, "a known event starts no work"
    refused = deliver(anonymous, id="d-3")
    assert json.loads(refused.text)["limit"] == "triggers.issues.max_per_hour"
    assert 0 < int(refused.headers["Retry-After"]) <= 1800
    assert len(service.submitted) == 2


def test_a_generic_service_authenticates_with_the_secret(
    anonymous: FlaskClient, service: FakeService
) -> None:
    def post(secret: str) -> TestResponse:
        return anonymous.post(
            "/api/v1/triggers/posts", json={"x": 1}, headers={"Authorization": f"Bearer {secret}"}
        )

    assert post(SECRET).status_code == 202
    assert post(SECRET).status_code == 202, "without a delivery id, each event starts a job"
    assert post(f"{SECRET}x").status_code == 401
    assert len(service.submitted) == 2


def test_unknown_names_and_methods(anonymous: FlaskClient) -> None:
    assert anonymous.post("/api/v1/triggers/none", json={}).status_code == 404
    assert anonymous.get("/api/v1/triggers/issues").status_code == 405
    assert anonymous.post("/api/v1/triggers/issues?a=1", json={}).status_code == 422


def test_the_audit_log_names_the_trigger_and_no_secret(
    anonymous: FlaskClient, tmp_path: Path
) -> None:
    deliver(anonymous)
    anonymous.post(f"/api/v1/triggers/{SECRET}", json={})
    text = (tmp_path / "audit.jsonl").read_text()
    first = json.loads(text.splitlines()[0])
    assert (first["key"], first["target"]) == ("trigger:issues", "/api/v1/triggers/issues")
    assert SECRET not in text
