"""Logins of browsers by key or ticket; the rights and the end of a browser session."""

import json
from http import HTTPStatus
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from orchestrator.api.access.browser_sessions import (
    FILE_NAME,
    IDLE_SECONDS,
    LONGEST_SECONDS,
    MOST_SESSIONS,
    TICKET_SECONDS,
    BrowserSessions,
)
from orchestrator.api.http_server.app import close_app, create_app
from orchestrator.api.server_options import ApiOptions, OtherServer
from orchestrator.core.errors import Unauthorized
from orchestrator.core.model.submission import Submission
from tests.unit.api.fake_service import KEY, READ_KEY, FakeService

SESSION, TICKETS = "/api/v1/session", "/api/v1/session/tickets"
ORCHESTRATE = "/api/v1/orchestrate"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def log_in(client: FlaskClient, key: str = KEY) -> dict[str, str]:
    """Log in; return the headers of a change."""
    response = client.post(SESSION, headers={"X-API-Key": key})
    assert response.status_code == HTTPStatus.CREATED, response.text
    return {"X-Session-Token": json.loads(response.text)["token"]}


def kind(response: TestResponse) -> tuple[int, str]:
    return response.status_code, json.loads(response.text)["type"]


def test_a_session_replaces_the_key(anonymous: FlaskClient) -> None:
    headers = log_in(anonymous)
    assert anonymous.get("/api/v1/jobs").status_code == HTTPStatus.OK
    accepted = anonymous.post(ORCHESTRATE, json={"request": "build"}, headers=headers)
    assert accepted.status_code == HTTPStatus.ACCEPTED
    shown = json.loads(anonymous.get(SESSION).text)
    assert (shown["name"], shown["scopes"]) == ("main", ["admin"])
    assert "token" not in shown


def test_a_change_by_cookie_needs_the_token(anonymous: FlaskClient) -> None:
    log_in(anonymous)
    for headers in ({}, {"X-Session-Token": "guessed"}):
        refused = anonymous.post(ORCHESTRATE, json={"request": "build"}, headers=headers)
        assert kind(refused) == (403, "session-token")
    assert json.loads(anonymous.get("/api/v1/jobs").text)["total"] == 0


def test_the_cookie_is_hidden_from_scripts_and_other_sites(app: Flask) -> None:
    client = app.test_client()
    plain = client.post(SESSION, headers={"X-API-Key": KEY})
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(plain.headers["Set-Cookie"].split("; "))
    assert plain.headers["Set-Cookie"].startswith("orchestrator_session=")
    secure = client.post(SESSION, headers={"X-API-Key": KEY}, base_url="https://localhost:8443")
    assert secure.headers["Set-Cookie"].startswith("__Host-orchestrator_8443=")
    assert "Secure" in secure.headers["Set-Cookie"]


def test_servers_on_two_ports_have_two_cookies(app: Flask) -> None:
    client = app.test_client()
    first = client.post(SESSION, headers={"X-API-Key": KEY}, base_url="http://localhost:8000")
    second = client.post(SESSION, headers={"X-API-Key": KEY}, base_url="http://localhost:8001")
    names = {each.headers["Set-Cookie"].partition("=")[0] for each in (first, second)}
    assert names == {"orchestrator_session_8000", "orchestrator_session_8001"}


def test_a_page_of_another_site_cannot_use_a_session(anonymous: FlaskClient) -> None:
    headers = log_in(anonymous)
    for foreign in ({"Origin": "http://localhost:3000"}, {"Sec-Fetch-Site": "same-site"}):
        refused = anonymous.post(
            ORCHESTRATE, json={"request": "build"}, headers={**headers, **foreign}
        )
        assert kind(refused) == (403, "forbidden-origin")
        assert kind(anonymous.get("/api/v1/jobs", headers=foreign)) == (403, "forbidden-origin")


def test_a_key_that_reads_logs_in_and_changes_nothing(anonymous: FlaskClient) -> None:
    headers = log_in(anonymous, READ_KEY)
    assert anonymous.get("/api/v1/jobs").status_code == HTTPStatus.OK
    refused = anonymous.post(ORCHESTRATE, json={"request": "build"}, headers=headers)
    assert kind(refused) == (403, "forbidden")


def test_a_session_ends_with_its_key(anonymous: FlaskClient, service: FakeService) -> None:
    log_in(anonymous)
    service.remove_key(KEY)
    refused = anonymous.get("/api/v1/jobs")
    assert kind(refused) == (401, "unauthorized")
    assert "the API key of this session was removed; log in again" in refused.text
    assert kind(anonymous.get(SESSION)) == (401, "unauthorized")


def test_a_logout_ends_the_session_on_the_server(app: Flask) -> None:
    client, thief = app.test_client(), app.test_client()
    cookie = client.post(SESSION, headers={"X-API-Key": KEY}).headers["Set-Cookie"].split(";")[0]
    name, value = cookie.split("=", 1)
    thief.set_cookie(name, value)
    assert thief.get("/api/v1/jobs").status_code == HTTPStatus.OK
    assert client.delete(SESSION).status_code == HTTPStatus.NO_CONTENT
    assert kind(client.delete(SESSION)) == (401, "unauthorized")
    refused = thief.get("/api/v1/jobs")
    assert kind(refused) == (401, "unauthorized")
    assert json.loads(refused.text)["detail"] == "the browser session has ended; log in again"


def test_a_ticket_logs_in_once(client: FlaskClient, app: Flask) -> None:
    ticket = json.loads(client.post(TICKETS, json={}).text)["ticket"]
    browser = app.test_client()
    assert browser.post(SESSION, json={"ticket": ticket}).status_code == HTTPStatus.CREATED
    assert browser.get("/api/v1/jobs").status_code == HTTPStatus.OK
    again = app.test_client().post(SESSION, json={"ticket": ticket})
    assert kind(again) == (401, "unauthorized")


def test_a_ticket_needs_a_key(anonymous: FlaskClient) -> None:
    assert kind(anonymous.post(TICKETS, json={})) == (401, "unauthorized")
    headers = log_in(anonymous)
    assert kind(anonymous.post(TICKETS, json={}, headers=headers)) == (403, "forbidden")


def test_a_worker_gets_no_session(app: Flask, service: FakeService) -> None:
    job = service.submissions.submit(
        service.callers.of_key(KEY), Submission(request="build it")
    ).job
    key = service.worker_key(service.workers_of(job)[0])
    client = app.test_client()
    for path in (SESSION, TICKETS):
        assert kind(client.post(path, json={}, headers={"X-API-Key": key})) == (403, "forbidden")


def test_failed_logins_are_limited(anonymous: FlaskClient) -> None:
    wrong = {"X-API-Key": "wrong"}
    for _ in range(10):
        assert kind(anonymous.post(SESSION, headers=wrong)) == (401, "unauthorized")
    limited = anonymous.post(SESSION, headers={"X-API-Key": KEY})
    assert kind(limited) == (429, "rate-limit")
    assert int(limited.headers["Retry-After"]) >= 1
    assert anonymous.get("/api/v1/jobs", headers={"X-API-Key": KEY}).status_code == HTTPStatus.OK


def test_a_session_survives_a_restart(service: FakeService, tmp_path: Path) -> None:
    options = ApiOptions(session_directory=tmp_path)
    first = create_app(service, options)
    cookie = first.test_client().post(SESSION, headers={"X-API-Key": KEY}).headers["Set-Cookie"]
    close_app(first)
    second = create_app(service, options)
    try:
        name, value = cookie.split(";")[0].split("=", 1)
        browser = second.test_client()
        browser.set_cookie(name, value)
        assert browser.get("/api/v1/jobs").status_code == HTTPStatus.OK
        stored = (tmp_path / FILE_NAME).read_text()
        assert value not in stored and KEY not in stored
        assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    finally:
        close_app(second)


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"cookie_hash": "a"}]', "null"])
def test_a_damaged_file_costs_a_login(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    sessions = BrowserSessions(tmp_path)
    login = sessions.start("hash")
    assert BrowserSessions(tmp_path).find(login.cookie).key_hash == "hash"


def test_a_session_ends_after_idle_hours_and_after_days() -> None:
    clock = Clock()
    sessions = BrowserSessions(None, clock)
    idle, busy = sessions.start("a"), sessions.start("b")
    until = clock.now + LONGEST_SECONDS
    clock.now += IDLE_SECONDS - 1
    sessions.find(busy.cookie)
    clock.now += 1
    with pytest.raises(Unauthorized):
        sessions.find(idle.cookie)
    while clock.now + IDLE_SECONDS / 2 < until:
        sessions.find(busy.cookie)
        clock.now += IDLE_SECONDS / 2
    clock.now = until
    with pytest.raises(Unauthorized):
        sessions.find(busy.cookie)


def test_a_ticket_expires() -> None:
    clock = Clock()
    sessions = BrowserSessions(None, clock)
    ticket, expires_at = sessions.issue_ticket("a")
    assert expires_at == clock.now + TICKET_SECONDS
    clock.now = expires_at
    with pytest.raises(Unauthorized):
        sessions.redeem(ticket)


def test_the_oldest_of_too_many_sessions_ends() -> None:
    clock = Clock()
    sessions = BrowserSessions(None, clock)
    first = sessions.start("a")
    for _ in range(MOST_SESSIONS):
        clock.now += 1
        last = sessions.start("a")
    sessions.find(last.cookie)
    with pytest.raises(Unauthorized):
        sessions.find(first.cookie)


def test_a_full_disk_costs_no_login(tmp_path: Path) -> None:
    (tmp_path / "no directory").write_text("")
    sessions = BrowserSessions(tmp_path / "no directory")
    assert sessions.find(sessions.start("a").cookie).key_hash == "a"


def test_keys_are_listed_by_name_for_an_admin(client: FlaskClient) -> None:
    found = json.loads(client.get("/api/v1/keys").text)["keys"]
    assert {"name": "main", "scopes": ["admin"]} in found
    assert KEY not in str(found)
    assert kind(client.get("/api/v1/keys", headers={"X-API-Key": READ_KEY})) == (403, "forbidden")


def test_a_dashboard_knows_its_project_and_the_other_servers(service: FakeService) -> None:
    other = OtherServer(url="http://localhost:2", project="/b")
    app = create_app(service, ApiOptions(project="/a", other_servers=lambda: [other]))
    try:
        shown = app.test_client().get("/api/v1/server", headers={"X-API-Key": READ_KEY})
        found = json.loads(shown.text)
        assert found["project"] == "/a"
        assert found["servers"] == [{"url": "http://localhost:2", "project": "/b"}]
    finally:
        close_app(app)
