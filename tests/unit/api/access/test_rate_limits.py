"""Rate limits: the token bucket, and its effect on calls."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.access.rate_limits import MINUTE_SECONDS, MOST_REMEMBERED, RateLimit
from orchestrator.api.http_server.app import close_app, create_app
from orchestrator.api.server_options import ApiOptions
from tests.unit.api.fake_service import KEY, READ_KEY, FakeService
from tests.unit.api.mcp_calls import error_text

ORCHESTRATE = "/api/v1/orchestrate"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_calls_of_a_minute_may_come_at_once_and_the_rest_evenly() -> None:
    clock = Clock()
    limit = RateLimit(4, clock)

    assert [limit.take("a") for _ in range(4)] == [0.0] * 4
    assert limit.take("a") == pytest.approx(15.0)
    assert limit.take("b") == 0.0
    clock.now += 15.0
    assert limit.take("a") == 0.0
    assert limit.take("a") == pytest.approx(15.0)


@given(
    st.integers(min_value=1, max_value=50),
    st.lists(st.floats(min_value=0, max_value=200), max_size=200),
)
def test_no_minute_has_more_than_two_minutes_worth(per_minute: int, pauses: list[float]) -> None:
    clock = Clock()
    limit = RateLimit(per_minute, clock)
    times: list[float] = []
    for pause in pauses:
        clock.now += pause
        wait = limit.take("a")
        if not wait:
            times.append(clock.now)
        else:
            assert wait <= MINUTE_SECONDS / per_minute + 1e-6
    for start in times:
        within = [at for at in times if start <= at < start + MINUTE_SECONDS]
        assert len(within) <= 2 * per_minute


def test_callers_that_stay_away_are_forgotten() -> None:
    clock = Clock()
    limit = RateLimit(1, clock)
    for number in range(MOST_REMEMBERED):
        limit.take(str(number))
    clock.now += MINUTE_SECONDS
    limit.take("one more")

    assert len(limit._full_at) == 1


@pytest.fixture
def client(service: FakeService) -> Iterator[FlaskClient]:
    app = create_app(service, ApiOptions(submissions_per_minute=2, reads_per_minute=3))
    client = app.test_client()
    client.environ_base["HTTP_X_API_KEY"] = KEY
    yield client
    close_app(app)


def test_too_many_submissions_get_429_with_the_seconds_to_wait(
    client: FlaskClient, service: FakeService
) -> None:
    answers = [client.post(ORCHESTRATE, json={"request": "x"}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 30
    assert answers[-1].content_type == "application/problem+json"
    problem = json.loads(answers[-1].text)
    assert problem["type"] == "rate-limit"
    assert "limits.submissions_per_minute" in problem["detail"]
    assert len(service.submitted) == 2


def test_retries_count_as_submissions(client: FlaskClient) -> None:
    job = json.loads(client.post(ORCHESTRATE, json={"request": "x"}).text)["job_id"]
    client.post(ORCHESTRATE, json={"request": "x"})

    retries = ("retry", "workers/worker_1/retry")
    answers = [client.post(f"/api/v1/jobs/{job}/{each}") for each in retries]
    arguments = {"job_id": job, "worker_id": "worker_1"}

    assert [each.status_code for each in answers] == [429, 429]
    assert "limits.submissions_per_minute" in error_text(client, "retry", **arguments)


def test_a_cancel_is_never_limited(client: FlaskClient) -> None:
    job = json.loads(client.post(ORCHESTRATE, json={"request": "x"}).text)["job_id"]
    client.post(ORCHESTRATE, json={"request": "x"})
    for _ in range(5):
        assert client.post(f"/api/v1/jobs/{job}/cancel").status_code == 202


def test_each_key_has_a_limit_of_its_own(client: FlaskClient) -> None:
    reads = [client.get("/api/v1/jobs").status_code for _ in range(4)]
    other = client.get("/api/v1/jobs", headers={"X-API-Key": READ_KEY}).status_code

    assert reads == [200, 200, 200, 429]
    assert other == 200


def test_each_call_identifies_its_caller_once(client: FlaskClient) -> None:
    hooks = {
        name: [hook.__name__ for hook in blueprint.before_request_funcs.get(None, [])]
        for name, blueprint in client.application.blueprints.items()
    }

    assert any("check_request" in each for each in hooks.values())
    assert {name: each for name, each in hooks.items() if len(set(each)) != len(each)} == {}


def test_without_a_setting_reads_are_not_limited(service: FakeService, tmp_path: Path) -> None:
    app = create_app(service)
    client = app.test_client()
    client.environ_base["HTTP_X_API_KEY"] = KEY

    assert {client.get("/api/v1/jobs").status_code for _ in range(200)} == {200}
    close_app(app)
