"""Events in their short form."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from orchestrator.api.streaming import event_stream
from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Job
from orchestrator.core.model.submission import Submission
from tests.unit.api.fake_service import KEY, FakeService


@pytest.fixture
def job(service: FakeService) -> Job:
    return service.submissions.submit(
        service.callers.of_key(KEY), Submission(request="build it")
    ).job


def events(client: FlaskClient, job: Job, query: str) -> list[tuple[str, dict[str, Any]]]:
    text = client.get(f"/api/v1/jobs/{job.id}/events?fields=brief{query}").text
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("id:")]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for _, name, data in blocks
    ]


def test_brief_events_have_the_new_state(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    worker = service.workers_of(job)[0]
    service.publish(job, EventKind.WORKER_STARTED, worker=worker, data={"agent": "x" * 500})
    used = {"steps": 2, "input_tokens": 10, "output_tokens": 5, "cost_usd": 0.123456}
    service.publish(job, EventKind.WORKER_USED, worker=worker, data=used)
    service.end(job)

    brief = dict(events(client, job, ""))

    started, used_event = brief["worker_started"], brief["worker_used"]
    assert {name: started[name] for name in ("seq", "k", "j", "w", "st")} == {
        "seq": 2,
        "k": "worker_started",
        "j": job.id,
        "w": "worker_1",
        "st": "running",
    }
    assert (used_event["tokens"], used_event["cost"]) == (15, 0.1235)
    assert brief["job_submitted"]["st"] == "pending"
    assert "data" not in started


def test_a_reader_that_is_far_behind_is_reset(
    client: FlaskClient, service: FakeService, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "MOST_BEHIND", 5)
    for _ in range(10):
        service.publish(job, EventKind.JOB_STARTED)
    service.end(job)

    assert events(client, job, "&last_event_id=2") == [("reset", {"seq": 12})]
    assert [seen["seq"] for _, seen in events(client, job, "&last_event_id=9")] == [10, 11, 12]


def test_a_tail_begins_with_the_present(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    service.end(job)

    assert events(client, job, "&tail=1") == [("reset", {"seq": 2})]
