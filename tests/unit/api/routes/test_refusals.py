"""Rejected requests: every rejection is a problem document that names the fix."""

import json
from http import HTTPStatus
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from orchestrator.core.errors import (
    Conflict,
    InvalidRequest,
    LaunchError,
    OrchestratorError,
    Refused,
    RepositoryError,
    StoreAway,
    StoreError,
    Unavailable,
    UnknownAgent,
)
from orchestrator.core.model.job import Job
from orchestrator.core.model.submission import Submission
from tests.unit.api.fake_service import KEY, FakeService

ORCHESTRATE = "/api/v1/orchestrate"
#: Longer than the limit of a comment, and shorter than the limit of a body.
LONG = "x" * 20_000


@pytest.fixture
def app(shared_app: Flask, service: FakeService) -> Flask:
    shared_app.extensions["orchestrator.service"] = service
    return shared_app


@pytest.fixture
def job(service: FakeService) -> Job:
    return service.submissions.submit(
        service.callers.of_key(KEY), Submission(request="build it")
    ).job


def problem(response: TestResponse, status: int, kind: str) -> dict[str, Any]:
    """Check the form of a problem document, and return the document."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    found: dict[str, Any] = json.loads(response.text)
    assert (found["type"], found["status"]) == (kind, status)
    assert found["title"] and found["detail"]
    return found


def test_a_missing_key_is_shown_how_to_give_it(anonymous: FlaskClient, job: Job) -> None:
    response = anonymous.post(ORCHESTRATE, json={"request": "it's"})
    found = problem(response, 401, "unauthorized")
    assert "X-API-Key" in response.headers["WWW-Authenticate"]
    assert found["example"].startswith("curl -X POST -H 'X-API-Key: ")
    assert found["example"].endswith(" http://localhost/api/v1/orchestrate")
    assert "Content-Type: application/json" in found["example"]
    assert "curl" not in found["detail"], "the example is not repeated"
    problem(anonymous.get(f"/api/v1/jobs/{job.id}"), 401, "unauthorized")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"X-API-Key": "ü"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
    ],
)
def test_a_wrong_key_opens_nothing(anonymous: FlaskClient, headers: dict[str, str]) -> None:
    problem(anonymous.get("/api/v1/jobs", headers=headers), 401, "unauthorized")


def test_the_key_is_checked_first(anonymous: FlaskClient, job: Job) -> None:
    for method, path in (
        ("post", ORCHESTRATE),
        ("get", "/api/v1/jobs?nonsense=1"),
        ("get", "/api/v1/jobs/no-such-job"),
        ("get", f"/api/v1/jobs/{job.id}/events"),
        ("get", "/metrics"),
        ("delete", f"/api/v1/jobs/{job.id}"),
    ):
        problem(getattr(anonymous, method)(path, data="{"), 401, "unauthorized")


def test_a_bearer_token_is_a_key(anonymous: FlaskClient) -> None:
    response = anonymous.get("/api/v1/jobs", headers={"Authorization": f"bearer {KEY}"})
    assert response.status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"request": ', "line 1 column 13"),
        (b"", "the body is empty"),
        (b" ", "Expecting value at line 1 column 2"),
        (b'{"request": "a", "request": "b"}', "'request' occurs twice"),
        (b'{"request": "a", "config": {"max_cost_usd": NaN}}', "NaN is not a JSON number"),
        (b'{"request": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 34 + b"]" * 34, "nested too deeply: the maximum is 33 levels of objects and lists"),
        (
            b'{"request": "a", "config": {"max_workers": ' + b"9" * 5000 + b"}}",
            "not valid JSON: a number has 5000 digits; the maximum is 4000",
        ),
    ],
)
def test_malformed_json_is_located(client: FlaskClient, body: bytes, detail: str) -> None:
    response = client.post(ORCHESTRATE, data=body, content_type="application/json")
    assert detail in problem(response, 400, "malformed-json")["detail"]


@pytest.mark.parametrize(("number", "status"), [(b"2.0", 202), (b"2e0", 202), (b"2.5", 422)])
def test_a_whole_number_may_have_a_fraction_of_zero(
    client: FlaskClient, number: bytes, status: int
) -> None:
    body = b'{"request": "a", "config": {"max_workers": ' + number + b"}}"
    response = client.post(ORCHESTRATE, data=body, content_type="application/json")
    assert response.status_code == status, response.text


def test_the_maximum_depth_of_json_is_accepted(client: FlaskClient) -> None:
    response = client.post(ORCHESTRATE, data=b"[" * 33 + b"]" * 33, content_type="application/json")
    problem(response, 422, "invalid-request")


def test_several_values_in_one_parameter_are_refused_with_the_right_form(
    client: FlaskClient,
) -> None:
    response = client.get("/api/v1/jobs?status=completed,failed")
    detail = problem(response, 422, "invalid-request")["detail"]
    assert detail.endswith(
        "for several values, repeat the parameter: status=completed&status=failed"
    )
    response = client.get("/api/v1/jobs?depth=0,1")
    assert "repeat" not in problem(response, 422, "invalid-request")["detail"]


@pytest.mark.parametrize("media_type", ["text/plain", "", "application/x-www-form-urlencoded"])
def test_json_needs_its_content_type(client: FlaskClient, media_type: str) -> None:
    response = client.post(ORCHESTRATE, data='{"request": "x"}', content_type=media_type)
    problem(response, 415, "unsupported-media-type")


def test_a_large_body_is_refused(client: FlaskClient) -> None:
    problem(client.post(ORCHESTRATE, json={"request": "x" * 250_000}), 413, "too-large")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, "/request"),
        ({"request": ""}, "/request"),
        ({"request": " \n\t"}, "/request"),
        ({"request": 5}, "/request"),
        ({"request": None}, "/request"),
        ({"request": "a\0b"}, "/request"),
        ({"request": "\ud800"}, "/request"),
        ({"request": "x", "reqest": "y"}, "/reqest"),
        ({"request": "x", "config": {"max_worker": 1}}, "/config/max_worker"),
        ({"request": "x", "config": {"max_workers": True}}, "/config/max_workers"),
        ({"request": "x", "config": {"max_workers": "4"}}, "/config/max_workers"),
        ({"request": "x", "config": {"max_workers": 0}}, "/config/max_workers"),
        ({"request": "x", "config": {"max_workers": 10**30}}, "/config/max_workers"),
        ({"request": "x", "config": {"default_timeout": -1}}, "/config/default_timeout"),
        ({"request": "x", "config": {"default_timeout": 0}}, "/config/default_timeout"),
        ({"request": "x", "config": {"default_timeout": True}}, "/config/default_timeout"),
        ({"request": "x", "config": {"max_cost_usd": 10**400}}, "/config/max_cost_usd"),
        ({"request": "x", "config": {"enable_recursion": 1}}, "/config/enable_recursion"),
        ({"request": "x", "config": {"execution_mode": "docker"}}, "/config/execution_mode"),
        ({"request": "x", "config": {"current_depth": -1}}, "/config/current_depth"),
        ({"request": "x", "config": {"labels": {"a": 1}}}, "/config/labels/a"),
        ({"request": "x", "config": []}, "/config"),
        ({"request": "x", "tasks": {}}, "/tasks"),
        ({"request": "x", "tasks": ["y"]}, "/tasks/0"),
        ({"request": "x", "tasks": [{}]}, "/tasks/0"),
        ({"request": "x", "tasks": [{"id": "a"}]}, "/tasks/0"),
        ({"request": "x", "tasks": [{"id": "", "title": "t"}]}, "/tasks/0/id"),
        ({"request": "x", "tasks": [{"id": "a/b", "title": "t"}]}, "/tasks/0/id"),
        ({"request": "x", "tasks": [{"id": 1, "title": "t"}]}, "/tasks/0/id"),
        ({"request": "x", "tasks": [{"command": []}]}, "/tasks/0/command"),
        ({"request": "x", "tasks": [{"command": ["a", 1]}]}, "/tasks/0/command"),
        ({"request": "x", "tasks": [{"command": ""}]}, "/tasks/0/command"),
        ({"request": "x", "tasks": [{"command": ["a\0"]}]}, "/tasks/0/command"),
        ({"request": "x", "tasks": [{"title": "t", "agent": []}]}, "/tasks/0/agent"),
        ({"request": "x", "tasks": [{"title": "t", "agent": 1}]}, "/tasks/0/agent"),
        ({"request": "x", "tasks": [{"title": "t", "env": {"A=": "b"}}]}, "/tasks/0/env/A="),
        ({"request": "x", "tasks": [{"title": "t", "env": {"A": "\0"}}]}, "/tasks/0/env/A"),
        ({"request": "x", "tasks": [{"title": "t", "env": {"A": 1}}]}, "/tasks/0/env/A"),
        ({"request": "x", "tasks": [{"title": "t", "timeout": 0}]}, "/tasks/0/timeout"),
        ({"request": "x", "tasks": [{"title": "t", "retries": 1.5}]}, "/tasks/0/retries"),
        ({"request": "x", "tasks": [{"prompt": "a", "description": "b"}]}, "/tasks/0"),
        ({"request": "x", "tasks": [{"title": "t", "depends_on": ["q"]}]}, "/tasks/0/depends_on/0"),
        ({"request": "x", "config": {"gates": 1}}, "/config/gates"),
        ({"request": "x", "config": {"gates": "pytest"}}, "/config/gates"),
        ({"request": "x", "config": {"gates": ["a", 1]}}, "/config/gates/1"),
        ({"request": "x", "config": {"gates": [""]}}, "/config/gates/0"),
        ({"request": "x", "config": {"gates": [{"run": "x"}]}}, "/config/gates/0/name"),
        (
            {"request": "x", "tasks": [{"title": "t", "gates": [{"name": "a", "timeout": -1}]}]},
            "/tasks/0/gates/0/timeout",
        ),
        (
            {"request": "x", "tasks": [{"id": "a", "title": "t", "depends_on": ["a"]}]},
            "/tasks/0/depends_on/0",
        ),
        (
            {"request": "x", "tasks": [{"id": "a", "title": "t"}, {"id": "a", "title": "t"}]},
            "/tasks/1/id",
        ),
    ],
)
def test_a_wrong_value_is_pointed_at(
    client: FlaskClient, service: FakeService, body: object, pointer: str
) -> None:
    found = problem(client.post(ORCHESTRATE, json=body), 422, "invalid-request")
    assert pointer in [error["pointer"] for error in found["errors"]]
    assert all(error["pointer"].startswith(pointer) for error in found["errors"])
    assert not service.submitted


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"config": {"max_workers": 0}}, "/config/max_workers: must be at least 1"),
        ({"config": {"max_workers": 2**31}}, "/config/max_workers: must be at most 2147483647"),
        ({"config": {"default_timeout": 0}}, "/config/default_timeout: must be more than 0"),
        (
            {"config": {"default_timeout": 1e12}},
            "/config/default_timeout: must be at most 1000000000",
        ),
        (
            {"config": {"execution_mode": "docker"}},
            "/config/execution_mode: must be 'native', 'wsl' or 'windows'",
        ),
        ({"config": {"labels": {"a": "x" * 1001}}}, "must have at most 1000 characters"),
        ({"config": {"labels": {"": "x"}}}, "must have at least 1 character"),
        ({"config": {"labels": {str(n): "" for n in range(65)}}}, "must have at most 64 entries"),
        ({"request": "x" * 200_001}, "/request: must have at most 200000 characters"),
        ({"tasks": [{"id": "a/b", "title": "t"}]}, "/tasks/0/id: must be 1 to 128 letters, digits"),
    ],
)
def test_an_error_in_a_body_is_explained_in_plain_words(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], detail: str
) -> None:
    app = client.application
    monkeypatch.setitem(app.config, "MAX_CONTENT_LENGTH", 10**6)
    found = problem(client.post(ORCHESTRATE, json={"request": "x", **body}), 422, "invalid-request")
    assert detail in found["detail"]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("page=x", "/page: must be a whole number"),
        ("page=0", "/page: must be at least 1"),
        ("page_size=201", "/page_size: must be at most 200"),
        ("status=done", "/status: must be 'pending', 'planning', 'running', "),
        ("label=web", "/label: must be a name and a value, such as team:web"),
        ("parent=" + "x" * 201, "/parent: must have at most 200 characters"),
    ],
)
def test_an_error_in_a_query_is_explained_in_plain_words(
    client: FlaskClient, query: str, detail: str
) -> None:
    found = problem(client.get(f"/api/v1/jobs?{query}"), 422, "invalid-request")
    assert found["detail"].startswith(detail)


def test_the_rejection_of_a_large_body_names_the_limit(client: FlaskClient) -> None:
    response = client.post(ORCHESTRATE, json={"request": "x" * 250_000})
    limit = client.application.config["MAX_CONTENT_LENGTH"]
    assert f"at most {limit} bytes" in problem(response, 413, "too-large")["detail"]


def test_a_variable_of_the_orchestrators_own_is_refused_by_name(
    client: FlaskClient, service: FakeService
) -> None:
    env = {"MINE": "yes", "ORCHESTRATOR_API_KEY": "forged"}
    body = {"request": "x", "tasks": [{"title": "t", "env": env}]}
    found = problem(client.post(ORCHESTRATE, json=body), 422, "invalid-request")
    assert found["errors"][0]["pointer"] == "/tasks/0/env/ORCHESTRATOR_API_KEY"
    assert "ORCHESTRATOR_API_KEY is reserved" in found["detail"]
    assert "forged" not in json.dumps(found)
    assert not service.submitted


def test_a_rejection_does_not_repeat_the_wrong_value(client: FlaskClient) -> None:
    body = {"request": "x", "config": {"max_workers": "very-secret"}}
    assert "very-secret" not in client.post(ORCHESTRATE, json=body).text


def test_the_rejection_of_an_unknown_field_lists_the_known_fields(client: FlaskClient) -> None:
    body = {"request": "x", "tasks": [{"title": "t", "depend_on": []}]}
    found = problem(client.post(ORCHESTRATE, json=body), 422, "invalid-request")
    assert "did you mean 'depends_on'?" in found["detail"]


def test_empty_gates_and_locks_ask_for_nothing(client: FlaskClient) -> None:
    body = {"request": "x", "tasks": [{"title": "t", "gates": [], "locks": []}]}
    assert client.post(ORCHESTRATE, json=body).status_code == HTTPStatus.ACCEPTED


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Refused("too deep", kind="limit-depth", left={"depth": 0}), 422, "limit-depth"),
        (Refused("asked before", kind="cycle"), 422, "cycle"),
        (InvalidRequest("no"), 422, "invalid-request"),
        (UnknownAgent("unknown agent 'x'; known: shell"), 422, "unknown-agent"),
        (Conflict("no"), 409, "conflict"),
        (Unavailable("no"), 503, "unavailable"),
        (StoreError("table jobs is /secret/path"), 503, "store"),
        (LaunchError("no /secret/path"), 503, "launch"),
        (RepositoryError("no /secret/path"), 503, "repository"),
        (OrchestratorError("/secret/path"), 500, "error"),
        (RuntimeError("/secret/path"), 500, "internal"),
        (ZeroDivisionError(), 500, "internal"),
    ],
)
def test_each_error_has_its_status(
    client: FlaskClient, service: FakeService, error: Exception, status: int, kind: str
) -> None:
    service.failure = error
    response = client.post(ORCHESTRATE, json={"request": "x"})
    found = problem(response, status, kind)
    assert "secret" not in response.text
    assert ("Retry-After" in response.headers) == (status == HTTPStatus.SERVICE_UNAVAILABLE)
    if kind == "limit-depth":
        assert found["left"] == {"depth": 0}


def test_a_database_that_cannot_be_reached_is_logged_in_one_line(
    client: FlaskClient, service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    service.failure = StoreAway("connection refused")

    problem(client.post(ORCHESTRATE, json={"request": "x"}), 503, "store")

    [record] = [each for each in caplog.records if "failed" in each.getMessage()]
    assert record.getMessage() == "a request failed: connection refused"
    assert not record.exc_info


@pytest.mark.parametrize("job_id", ["nope", "a" * 500, "%00", "..", "%2e%2e%2f", "ü", "a b", "'--"])
def test_unknown_jobs_are_not_found(client: FlaskClient, job_id: str) -> None:
    for call in ("/status", "/events", "/wait", "/tree", "/logs/worker_1"):
        problem(client.get(f"/api/v1/jobs/{job_id}{call}"), 404, "not-found")


@pytest.mark.parametrize(
    "worker_id", ["worker_9", "nope", "..", "worker_1%00", "worker_" + "1" * 99]
)
def test_unknown_workers_are_not_found(client: FlaskClient, job: Job, worker_id: str) -> None:
    problem(client.get(f"/api/v1/jobs/{job.id}/logs/{worker_id}"), 404, "not-found")


def test_a_worker_sees_nothing_of_others(
    anonymous: FlaskClient, service: FakeService, job: Job
) -> None:
    other = service.submissions.submit(service.callers.of_key(KEY), Submission(request="other")).job
    headers = {"X-API-Key": service.worker_key(service.workers_of(job)[0])}
    assert anonymous.get(f"/api/v1/jobs/{job.id}", headers=headers).status_code == 200
    for call in ("", "/status", "/events", "/tree", "/wait", "/logs/worker_1", "/reports/x.md"):
        response = anonymous.get(f"/api/v1/jobs/{other.id}{call}", headers=headers)
        problem(response, 404, "not-found")
    for call in ("cancel", "retry"):
        response = anonymous.post(f"/api/v1/jobs/{other.id}/{call}", headers=headers)
        problem(response, 404, "not-found")


@pytest.mark.parametrize(
    "query",
    [
        "jobs?page=0",
        "jobs?page=x",
        "jobs?page_size=201",
        "jobs?page_size=-1",
        "jobs?status=done",
        "jobs?page=1&page=2",
        "jobs?pagesize=5",
        "jobs/{job}/status?verbose=1",
        "jobs/{job}/wait?timeout=-1",
        "jobs/{job}/wait?timeout=nan",
        "jobs/{job}/wait?timeout=inf",
        "jobs/{job}/wait?timeout=soon",
        "jobs/{job}/logs/worker_1?tail=-1",
        "jobs/{job}/logs/worker_1?tail=1e9",
        "jobs/{job}/logs/worker_1?follow=maybe",
        "jobs/{job}/events?last_event_id=x",
    ],
)
def test_a_wrong_query_is_refused(client: FlaskClient, job: Job, query: str) -> None:
    response = client.get(f"/api/v1/{query.format(job=job.id)}")
    problem(response, 422, "invalid-request")


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 30, "²"])
def test_a_wrong_last_event_id_is_refused(client: FlaskClient, job: Job, value: str) -> None:
    response = client.get(f"/api/v1/jobs/{job.id}/events", headers={"Last-Event-ID": value})
    problem(response, 422, "invalid-request")


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb", "ü"])
def test_a_wrong_idempotency_key_is_refused(client: FlaskClient, key: str) -> None:
    response = client.post(ORCHESTRATE, json={"request": "x"}, headers={"Idempotency-Key": key})
    problem(response, 422, "invalid-request")


def test_a_cancel_accepts_no_fields(client: FlaskClient, job: Job) -> None:
    path = f"/api/v1/jobs/{job.id}/cancel"
    problem(client.post(path, json={"force": True}), 422, "invalid-request")
    assert client.post(path, json={}).status_code == HTTPStatus.ACCEPTED


def test_the_rejection_of_a_method_lists_the_allowed_methods(client: FlaskClient, job: Job) -> None:
    response = client.put(f"/api/v1/jobs/{job.id}")
    problem(response, 405, "method-not-allowed")
    assert {"GET", "DELETE"} <= set(response.headers["Allow"].split(", "))


@pytest.mark.parametrize("path", ["/nothing", "/api/v1", "/api//v1/jobs", "/static/none.js"])
def test_other_paths_are_not_found(client: FlaskClient, path: str) -> None:
    problem(client.get(path), 404, "not-found")


def test_static_files_are_only_those_of_the_folder(anonymous: FlaskClient) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/vendor/../../app.py"):
        problem(anonymous.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("call", "body", "pointer"),
    [
        ("workers/worker_1/feedback", {"commit": "0" * 40, "summary": LONG}, "/summary"),
        (
            "workers/worker_1/feedback",
            {"commit": "0" * 40, "comments": [{"path": "a", "line": 1, "text": LONG}]},
            "/comments/0/text",
        ),
        (
            "workers/worker_1/feedback",
            {"commit": "0" * 40, "comments": [{"path": "a", "line": 1, "text": "x" * 9000}] * 12},
            "",
        ),
        ("workers/worker_1/message", {"text": LONG}, "/text"),
        ("tasks/task_1/approve", {"comment": LONG}, "/comment"),
        ("tasks/task_1/reject", {"comment": LONG}, "/comment"),
    ],
)
def test_words_of_a_person_that_are_too_long_are_too_large(
    client: FlaskClient, job: Job, call: str, body: dict[str, Any], pointer: str
) -> None:
    response = client.post(f"/api/v1/jobs/{job.id}/{call}", json=body)
    assert (response.status_code, response.json["type"]) == (413, "too-large")
    assert "at most 10" in response.json["detail"]
    assert "put the text into a file" in response.json["detail"]
    assert [each["pointer"] for each in response.json["errors"]] == [pointer]


def test_a_second_error_in_addition_to_a_long_text_is_wrong_input(
    client: FlaskClient, job: Job
) -> None:
    body = {"text": LONG, "loud": True}
    response = client.post(f"/api/v1/jobs/{job.id}/workers/worker_1/message", json=body)
    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
