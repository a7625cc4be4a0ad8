"""Every call of the API, with the fake service."""

import json
import threading
import time
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from orchestrator.api.server_options import ApiOptions, DoctorCheck
from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Job
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.model.submission import Submission
from orchestrator.core.ports.agent_availability import UnusableAgent
from orchestrator.core.ports.read_models import NodeState
from orchestrator.schemas.answers import answer as answer_base
from tests.unit.api.fake_service import KEY, READ_KEY, FakeService


@pytest.fixture
def job(service: FakeService) -> Job:
    return service.submissions.submit(
        service.callers.of_key(KEY), Submission(request="build it")
    ).job


def child_of(service: FakeService, job: Job, request: str = "part") -> Job:
    worker = service.workers_of(job)[0]
    caller = service.callers.of_key(service.worker_key(worker))
    return service.submissions.submit(caller, Submission(request=request)).job


def read(client: FlaskClient, path: str, status: HTTPStatus = HTTPStatus.OK) -> Any:
    response = client.get(path)
    assert response.status_code == status, response.text
    return response.json


def test_a_submission_is_accepted_with_its_place(client: FlaskClient, service: FakeService) -> None:
    body = {"request": "build it", "config": {"max_workers": 3}, "tasks": [{"title": "one"}]}
    response = client.post("/api/v1/orchestrate", json=body)
    assert response.status_code == HTTPStatus.ACCEPTED
    answer = response.json
    assert answer["status"] == "pending"
    assert response.headers["Location"] == f"/api/v1/jobs/{answer['job_id']}/status"
    assert answer["links"]["status"] == response.headers["Location"]
    assert answer["left"] == {"depth": 3, "child_jobs": 20}
    (submission,) = service.submitted
    assert submission.config.values.max_workers == 3
    assert submission.tasks[0].title == "one"


def test_every_link_of_a_job_leads_somewhere(client: FlaskClient, job: Job) -> None:
    links = read(client, f"/api/v1/jobs/{job.id}/status")["links"]
    for name in set(links) - {"cancel", "retry", "events", "wait", "results"}:
        read(client, links[name])
    assert client.post(links["cancel"]).status_code == HTTPStatus.ACCEPTED


def test_the_same_idempotency_key_makes_one_job(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post("/api/v1/orchestrate", json={"request": "x"}, headers=headers).json
    again = client.post("/api/v1/orchestrate", json={"request": "x"}, headers=headers).json
    assert (first["job_id"], first["duplicate"]) == (again["job_id"], False)
    assert again["duplicate"] is True


def test_a_job_without_a_finished_worker_has_no_results(client: FlaskClient, job: Job) -> None:
    status = read(client, f"/api/v1/jobs/{job.id}/status")
    assert status["status"] == "pending"
    assert "results" not in status
    problem = read(client, f"/api/v1/jobs/{job.id}/results", HTTPStatus.CONFLICT)
    assert problem["type"] == "conflict"


def test_the_short_form_is_that_of_the_contract(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    service.finish(service.workers_of(job)[0], output="all good", files=("src/app.tsx",))
    service.end(job)
    status = read(client, f"/api/v1/jobs/{job.id}/status")
    root = service.folder / f"job_{job.id}"
    assert status["job_id"] == job.id
    assert status["status"] == "completed"
    assert status["results"]["workspace"] == str(root)
    assert status["results"]["final_report"] == str(root / "FINAL_RESULT.md")
    (row,) = status["results"]["tasks"]
    expected = {
        "worker_id": "worker_1",
        "status": "success",
        "output": "all good",
        "files_created": ["src/app.tsx"],
        "task_id": "task_1",
        "workspace": str(root / "depth_0" / "worker_1"),
        "log": str(root / "logs" / "depth_0_worker_1.log"),
    }
    assert expected.items() <= row.items()
    assert "child_job_id" not in row
    assert read(client, f"/api/v1/jobs/{job.id}/results") == status["results"]


def test_a_recursive_worker_carries_the_results_of_its_last_child_job(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    first, second = child_of(service, job, "first"), child_of(service, job, "second")
    for child in (first, second):
        service.finish(service.workers_of(child)[0], output=f"from {child.id}")
        service.end(child)
    service.finish(service.workers_of(job)[0], status=WorkerStatus.RECURSIVE_SUCCESS)
    (row,) = read(client, f"/api/v1/jobs/{job.id}/results")["tasks"]
    assert row["status"] == "recursive_success"
    assert (row["child_job_id"], row["child_job_ids"]) == (second.id, [first.id, second.id])
    assert row["child_results"] == read(client, f"/api/v1/jobs/{second.id}/results")["tasks"]
    assert row["child_results"][0]["worker_id"] == "worker_1_2"


def test_a_childs_final_report_is_under_reports(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    child = child_of(service, job)
    service.finish(service.workers_of(child)[0])
    results = read(client, f"/api/v1/jobs/{child.id}/results")
    assert results["final_report"].endswith(f"job_{job.id}/reports/job_{child.id}.md")


def test_all_workers_are_listed_in_their_order(client: FlaskClient, service: FakeService) -> None:
    tasks = [{"id": f"t{number}", "title": "x"} for number in range(12)]
    job_id = client.post("/api/v1/orchestrate", json={"request": "x", "tasks": tasks}).json[
        "job_id"
    ]
    job = service.access.job(service.callers.of_key(KEY), job_id)
    service.finish(service.workers_of(job)[5], status=WorkerStatus.SKIPPED)
    rows = read(client, f"/api/v1/jobs/{job_id}/results")["tasks"]
    assert [row["task_id"] for row in rows] == [task["id"] for task in tasks]
    assert rows[5]["status"] == "skipped"


def test_everything_about_a_job_has_its_attempts_and_children(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    child = child_of(service, job)
    service.finish(service.workers_of(job)[0])
    everything = read(client, f"/api/v1/jobs/{job.id}")
    assert everything["request"] == "build it"
    assert everything["child_job_ids"] == [child.id]
    assert everything["config"]["max_recursion_depth"] == 3
    (worker,) = everything["workers"]
    assert worker["attempts"][0]["ended_by"] == "exit"
    assert everything["tasks"][0]["id"] == "task_1"
    assert "key" not in json.dumps(worker["attempts"])


def test_values_of_variables_are_not_shown(client: FlaskClient) -> None:
    task = {"title": "x", "env": {"TOKEN": "very-secret"}}
    body = {"request": "x", "tasks": [task]}
    job_id = client.post("/api/v1/orchestrate", json=body).json["job_id"]
    response = client.get(f"/api/v1/jobs/{job_id}")
    assert response.json["tasks"][0]["env"] == ["TOKEN"]
    assert "very-secret" not in response.text


def test_the_tree_nests_jobs_under_their_workers(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    child = child_of(service, job)
    deep = child_of(service, child)
    tree = read(client, f"/api/v1/jobs/{job.id}/tree")
    (below,) = tree["workers"][0]["child_jobs"]
    assert below["job_id"] == child.id
    assert below["workers"][0]["child_jobs"][0]["job_id"] == deep.id


def test_deep_trees_are_answered(client: FlaskClient, service: FakeService, job: Job) -> None:
    deepest = job
    for _ in range(120):
        deepest = child_of(service, deepest)
        service.finish(service.workers_of(deepest)[0])
    service.finish(service.workers_of(job)[0])
    read(client, f"/api/v1/jobs/{job.id}/tree")
    read(client, f"/api/v1/jobs/{job.id}/status")


def test_jobs_are_listed_newest_first_in_pages(client: FlaskClient, service: FakeService) -> None:
    caller = service.callers.of_key(KEY)
    ids = [service.submissions.submit(caller, Submission(request="x")).job.id for _ in range(5)]
    page = read(client, "/api/v1/jobs?page=2&page_size=2")
    assert [job["job_id"] for job in page["jobs"]] == [ids[2], ids[1]]
    assert (page["total"], page["page"], page["page_size"]) == (5, 2, 2)


def test_an_unchanged_list_of_jobs_is_not_sent_again(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    tag = client.get("/api/v1/jobs").headers["ETag"]
    again = client.get("/api/v1/jobs", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    service.end(job)
    assert client.get("/api/v1/jobs").headers["ETag"] != tag


def test_jobs_are_chosen_by_depth(client: FlaskClient, service: FakeService, job: Job) -> None:
    child = child_of(service, job)
    roots, below = (read(client, f"/api/v1/jobs?depth={depth}")["jobs"] for depth in (0, 1))
    assert [one["job_id"] for one in roots] == [job.id]
    assert [one["job_id"] for one in below] == [child.id]


def test_jobs_are_chosen_by_status_and_parent(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    child = child_of(service, job)
    service.end(child)
    ended = read(client, "/api/v1/jobs?status=completed&parent=")["jobs"]
    below = read(client, f"/api/v1/jobs?parent={job.id}")["jobs"]
    assert [one["job_id"] for one in ended] == [one["job_id"] for one in below] == [child.id]


def test_an_unchanged_answer_is_not_sent_again(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    path = f"/api/v1/jobs/{job.id}/status"
    tag = client.get(path).headers["ETag"]
    service.left = {"wall_seconds": 1}
    again = client.get(path, headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    service.finish(service.workers_of(job)[0])
    assert client.get(path, headers={"If-None-Match": tag}).status_code == HTTPStatus.OK


@pytest.mark.parametrize("method", ["post", "delete"])
def test_cancelling_is_accepted_once(
    client: FlaskClient, service: FakeService, job: Job, method: str
) -> None:
    path = f"/api/v1/jobs/{job.id}" + ("/cancel" if method == "post" else "")
    first = getattr(client, method)(path)
    assert (first.status_code, first.json["job_id"]) == (HTTPStatus.ACCEPTED, job.id)
    service.end(job, JobStatus.CANCELLED)
    again = getattr(client, method)(path)
    assert (again.status_code, again.json["status"]) == (HTTPStatus.OK, "cancelled")


def test_a_retry_accepts_overrides(client: FlaskClient, service: FakeService, job: Job) -> None:
    service.end(job, JobStatus.FAILED)
    body = {"config": {"default_timeout": 900}}
    response = client.post(f"/api/v1/jobs/{job.id}/retry", json=body)
    assert (response.status_code, response.json["status"]) == (HTTPStatus.ACCEPTED, "running")
    assert service.access.job(service.callers.of_key(KEY), job.id).config.default_timeout == 900


def test_a_retry_needs_no_body(client: FlaskClient, service: FakeService, job: Job) -> None:
    assert client.post(f"/api/v1/jobs/{job.id}/retry").status_code == HTTPStatus.CONFLICT
    service.end(job, JobStatus.PARTIAL)
    assert client.post(f"/api/v1/jobs/{job.id}/retry").status_code == HTTPStatus.ACCEPTED


def test_a_job_that_has_ended_is_merged_again(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    path = f"/api/v1/jobs/{job.id}/merge"
    assert client.post(path, json={}).status_code == HTTPStatus.CONFLICT
    service.end(job)
    assert client.post(path).status_code == HTTPStatus.OK
    # A long operation continues in the background, and the client polls its status.
    response = client.post(path, json={"strategy": "theirs", "leave": ["worker_2"]})
    assert response.status_code == HTTPStatus.ACCEPTED
    assert response.headers["Location"] == f"/api/v1/jobs/{job.id}/conflicts"
    assert (service.merged.strategy, service.merged.exclude) == ("theirs", ("worker_2",))
    assert client.post(path, json={"strategy": "ours"}).status_code == 422


def test_a_person_chooses_a_candidate(client: FlaskClient, service: FakeService, job: Job) -> None:
    service.end(job)
    path = f"/api/v1/jobs/{job.id}/tasks/a/choice"

    assert client.post(path, json={}).status_code == 422
    assert client.post(path, json={"worker_id": "worker_1"}).status_code == HTTPStatus.OK
    assert service.chosen == ("a", "worker_1")


def test_events_are_those_stored_then_those_published(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    def later() -> None:
        service.publish(job, EventKind.JOB_STARTED)
        service.end(job)

    timer = threading.Timer(0.2, later)
    timer.start()
    response = client.get(f"/api/v1/jobs/{job.id}/events")
    assert response.content_type == "text/event-stream; charset=utf-8"
    blocks = [block for block in response.text.split("\n\n") if block.startswith("id:")]
    timer.join()
    assert [block.split("\n")[0] for block in blocks] == ["id: 1", "id: 2", "id: 3"]
    assert blocks[0].split("\n")[1] == "event: job_submitted"
    data = json.loads(blocks[0].split("\n")[2].removeprefix("data: "))
    assert answer_base.EventAnswer.model_validate(data).data == {"request": "build it"}


@pytest.mark.parametrize("how", ["header", "query", "both"])
def test_events_continue_after_the_last_event_seen(
    client: FlaskClient, service: FakeService, job: Job, how: str
) -> None:
    service.end(job)
    path = f"/api/v1/jobs/{job.id}/events"
    query = {"header": "", "query": "?last_event_id=1", "both": "?last_event_id=0"}[how]
    headers = {} if how == "query" else {"Last-Event-ID": "1"}
    text = client.get(path + query, headers=headers).text
    assert "id: 1\n" not in text
    assert "id: 2\n" in text


def test_line_ends_in_an_event_stay_inside_its_data(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    text = "a\r\n\nid: 99\nevent: forged\u2028\udc80"
    service.publish(job, EventKind.JOB_STARTED, data={"text": text})
    service.end(job)
    lines = client.get(f"/api/v1/jobs/{job.id}/events").text.split("\n")
    assert "id: 99" not in lines
    assert [line for line in lines if line.startswith("id:")] == ["id: 1", "id: 2", "id: 3"]


def write_log(service: FakeService, job: Job, text: str) -> Path:
    path = service.job_details.log_path(service.callers.of_key(KEY), job.id, "worker_1")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_log_is_plain_text(client: FlaskClient, service: FakeService, job: Job) -> None:
    path = f"/api/v1/jobs/{job.id}/logs/worker_1"
    before = client.get(path)
    assert (before.status_code, before.text) == (HTTPStatus.OK, "")
    write_log(service, job, "<b>one</b>\ntwo\n")
    after = client.get(path)
    assert after.text == "<b>one</b>\ntwo\n"
    assert after.content_type == "text/plain; charset=utf-8"
    assert after.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [
        ("a\nb\nc\n", 2, "b\nc\n"),
        ("a\nb\nc", 2, "b\nc"),
        ("a\nb\n", 5, "a\nb\n"),
        ("a\nb\n", 0, ""),
        ("\n\n\n", 2, "\n\n"),
        ("x" * 100_000 + "\n" + "y" * 100_000 + "\n", 1, "y" * 100_000 + "\n"),
    ],
)
def test_a_tail_is_the_last_lines(
    client: FlaskClient, service: FakeService, job: Job, text: str, lines: int, expected: str
) -> None:
    write_log(service, job, text)
    assert client.get(f"/api/v1/jobs/{job.id}/logs/worker_1?tail={lines}").text == expected


def test_a_followed_log_ends_with_its_worker(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    write_log(service, job, "one\ntwo\n")
    timer = threading.Timer(0.2, lambda: service.finish(service.workers_of(job)[0]))
    timer.start()
    assert client.get(f"/api/v1/jobs/{job.id}/logs/worker_1?follow=true&tail=1").text == "two\n"
    timer.join()


def test_a_log_that_is_a_link_is_not_read(
    client: FlaskClient, service: FakeService, job: Job, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    log = write_log(service, job, "")
    log.unlink()
    log.symlink_to(secret)
    for query in ("", "?follow=1"):
        service.finish(service.workers_of(job)[0])
        assert "secret" not in client.get(f"/api/v1/jobs/{job.id}/logs/worker_1{query}").text
    log.unlink()
    log.hardlink_to(secret)
    read(client, f"/api/v1/jobs/{job.id}/logs/worker_1", HTTPStatus.NOT_FOUND)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("FINAL_RESULT.md", "text/markdown; charset=utf-8"),
        ("analytics.json", "application/json"),
        ("reports/tree.txt", "text/plain; charset=utf-8"),
        ("page.html", "text/plain; charset=utf-8"),
    ],
)
def test_reports_have_their_media_type(
    client: FlaskClient, service: FakeService, job: Job, name: str, media_type: str
) -> None:
    path = f"/api/v1/jobs/{job.id}/reports/{name}"
    read(client, path, HTTPStatus.NOT_FOUND)
    plain = name.removeprefix("reports/")
    report = service.job_details.report_path(service.callers.of_key(KEY), job.id, plain)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("# text")
    response = client.get(path)
    assert (response.text, response.content_type) == ("# text", media_type)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "a/b.md", "/etc/passwd", ".hidden", "a..md",
     "reports/../x.md", "x.md%00", "reports/reports/x.md", "x" * 200 + ".md", "x\n.md", "%ff.md"],
)  # fmt: skip
def test_tricks_with_report_names_find_nothing(client: FlaskClient, job: Job, name: str) -> None:
    response = client.get(f"/api/v1/jobs/{job.id}/reports/{name}")
    assert response.status_code == HTTPStatus.NOT_FOUND


def test_a_wait_is_answered_at_once_for_an_ended_job(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    service.end(job, JobStatus.FAILED)
    answer = read(client, f"/api/v1/jobs/{job.id}/wait?timeout=100")
    assert (answer["status"], answer["timed_out"]) == ("failed", False)


def test_a_wait_is_answered_when_the_job_ends(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    timer = threading.Timer(0.2, lambda: service.end(job))
    timer.start()
    started = time.monotonic()
    answer = read(client, f"/api/v1/jobs/{job.id}/wait?timeout=60")
    timer.join()
    assert time.monotonic() - started < 50
    assert (answer["status"], answer["timed_out"]) == ("completed", False)


def test_a_wait_is_answered_when_its_time_is_over(client: FlaskClient, job: Job) -> None:
    answer = read(client, f"/api/v1/jobs/{job.id}/wait?timeout=0.05")
    assert (answer["status"], answer["timed_out"]) == ("pending", True)


def test_threads_that_wait_are_capped_where_connections_cannot_wait_without_a_thread(
    client: FlaskClient, job: Job
) -> None:
    path = f"/api/v1/jobs/{job.id}/events"
    streams = [client.get(path, buffered=False) for _ in range(2)]
    refused = client.get(path)
    assert refused.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert int(refused.headers["Retry-After"]) > 0
    for stream in streams:
        stream.close()
    again = client.get(path, buffered=False)
    assert again.status_code == HTTPStatus.OK
    again.close()


def test_stats_and_metrics_count_the_same(client: FlaskClient, job: Job) -> None:
    assert read(client, "/api/v1/stats")["jobs"] == {"pending": 1}
    metrics = client.get("/metrics")
    assert metrics.content_type.startswith("text/plain")
    assert 'orchestrator_jobs{status="pending"} 1.0' in metrics.text
    assert 'route="/api/v1/stats",status="200"} 1.0' in metrics.text
    assert job.id not in metrics.text


NODE = NodeState(
    name="gpu1",
    state="drained",
    slots=4,
    running=1,
    waiting=2,
    agents=("shell",),
    unusable=(UnusableAgent("codex", "command 'codex' not found", ("npm install x",)),),
    labels={},
    memory_bytes=None,
    disk_bytes=4096,
    address="",
    version="",
    seen_seconds=0.5,
    clock_skew_seconds=-2.0,
    notice="",
)


def test_unknown_values_of_a_node_are_null(client: FlaskClient, service: FakeService) -> None:
    # The dashboard and `orchestrator nodes` read these fields.
    names = ("memory_bytes", "disk_bytes", "own_files", "seen_seconds")
    service.node_states = [replace(NODE, **dict.fromkeys(names))]
    [shown] = read(client, "/api/v1/nodes")["nodes"]
    drained = client.post("/api/v1/nodes/gpu1/drain").get_json()
    assert {name: shown[name] for name in names} == dict.fromkeys(names)
    assert {name: drained[name] for name in names} == dict.fromkeys(names)


def test_nodes_are_shown_and_drained(client: FlaskClient, service: FakeService) -> None:
    service.node_states = [NODE]
    [shown] = read(client, "/api/v1/nodes")["nodes"]
    assert (shown["agents"], shown["drained"]) == (["shell"], False)
    assert shown["unusable_agents"] == [
        {"name": "codex", "reason": "command 'codex' not found", "fix": ["npm install x"]}
    ]
    for action, drained in (("drain", True), ("drain", True), ("undrain", False)):
        answer = client.post(f"/api/v1/nodes/gpu1/{action}")
        assert (answer.status_code, answer.json["drained"]) == (HTTPStatus.OK, drained)
    assert client.post("/api/v1/nodes/gpu2/drain").status_code == HTTPStatus.NOT_FOUND


def test_metrics_show_each_node(client: FlaskClient, service: FakeService) -> None:
    assert "orchestrator_node" not in client.get("/metrics").text
    node = NODE
    service.node_states = [node, replace(node, name="gpu2", state="up", memory_bytes=1024)]

    metrics = client.get("/metrics").text

    assert 'orchestrator_node_up{node="gpu1"} 0.0' in metrics
    assert 'orchestrator_node_up{node="gpu2"} 1.0' in metrics
    assert 'orchestrator_node_slots{node="gpu1"} 4.0' in metrics
    assert 'orchestrator_node_clock_skew_seconds{node="gpu1"} -2.0' in metrics
    assert 'orchestrator_node_disk_free_bytes{node="gpu1"} 4096.0' in metrics
    assert 'orchestrator_node_memory_available_bytes{node="gpu1"}' not in metrics
    assert 'orchestrator_node_memory_available_bytes{node="gpu2"} 1024.0' in metrics


def test_health_needs_no_key(anonymous: FlaskClient, service: FakeService) -> None:
    healthy = anonymous.get("/health")
    assert (healthy.status_code, healthy.json["status"]) == (HTTPStatus.OK, "ok")
    service.ready = False
    ill = anonymous.get("/health")
    assert (ill.status_code, ill.json["ready"]) == (HTTPStatus.SERVICE_UNAVAILABLE, False)
    assert ill.json["checks"]["store"] == "cannot be written"


def test_probes_get_one_word_and_a_status(anonymous: FlaskClient, service: FakeService) -> None:
    for path in ("/healthz", "/readyz"):
        assert (anonymous.get(path).status_code, anonymous.get(path).text) == (
            HTTPStatus.OK,
            "ok\n",
        )
    service.ready = False
    assert anonymous.get("/healthz").status_code == HTTPStatus.OK
    ill = anonymous.get("/readyz")
    assert (ill.status_code, ill.text) == (503, "store: cannot be written\n")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_only_their_own_files(anonymous: FlaskClient, path: str) -> None:
    page = anonymous.get(path)
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy and "default-src 'none'" in policy
    assert "<script>" not in page.text and "http://" not in page.text.replace("http://www.w3", "")
    for line in page.text.splitlines():
        for mark in ('src="', 'href="/static'):
            if mark in line:
                name = line.split(mark)[1].split('"')[0]
                target = name if name.startswith("/static") else "/static" + name
                assert anonymous.get(target).status_code == HTTPStatus.OK


def test_a_browser_gets_a_page_at_an_unknown_path(anonymous: FlaskClient) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}

    page = anonymous.get("/settings", headers=browser)

    assert page.status_code == HTTPStatus.NOT_FOUND
    assert page.text == anonymous.get("/").text
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "accept"),
    [("/settings", "*/*"), ("/settings", "application/json"), ("/api/v1/settings", "text/html")],
)
def test_a_program_gets_a_problem_at_an_unknown_path(
    anonymous: FlaskClient, path: str, accept: str
) -> None:
    answer = anonymous.get(path, headers={"Accept": accept})

    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["", "/status", "/events", "/wait", "/logs/worker_1?follow=1"])
def test_head_has_no_body_and_holds_nothing(client: FlaskClient, job: Job, path: str) -> None:
    response = client.head(f"/api/v1/jobs/{job.id}{path}")
    assert (response.status_code, response.data) == (HTTPStatus.OK, b"")


def test_options_name_the_methods(anonymous: FlaskClient) -> None:
    response = anonymous.options("/api/v1/orchestrate")
    assert "POST" in response.headers["Allow"]


def test_invented_methods_make_no_series_of_their_own(client: FlaskClient) -> None:
    for number in range(3):
        response = client.open("/api/v1/jobs", method=f"INVENTED{number}")
        assert response.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    metrics = client.get("/metrics").text
    assert "INVENTED" not in metrics
    assert 'method="other"' in metrics


def test_a_worker_in_an_answer_has_no_attempts_that_began_after_it_was_read(
    client: FlaskClient, service: FakeService, job: Job
) -> None:
    (worker,) = service.workers_of(job)
    service.worker_key(worker)

    (answer,) = client.get(f"/api/v1/jobs/{job.id}").get_json()["workers"]

    assert (answer["status"], answer["attempts"]) == ("pending", [])


def test_the_doctors_checks_are_for_admins(
    client: FlaskClient, app: Flask, anonymous: FlaskClient
) -> None:
    checks = (
        DoctorCheck(name="git", ok=True, message="git version 2.39"),
        DoctorCheck(name="disk", ok=False, message="only 1 MB free", fix="orchestrator clean"),
        DoctorCheck(name="AI agents", ok=None, message="none"),
    )
    options: ApiOptions = app.extensions["orchestrator.options"]
    app.extensions["orchestrator.options"] = replace(options, doctor=lambda: checks)

    answer = read(client, "/api/v1/doctor")

    assert answer["ok"] is False
    assert answer["checks"][1] == {
        "name": "disk",
        "ok": False,
        "message": "only 1 MB free",
        "fix": "orchestrator clean",
    }
    assert "ok" not in answer["checks"][2]
    anonymous.environ_base["HTTP_X_API_KEY"] = READ_KEY
    problem = read(anonymous, "/api/v1/doctor", HTTPStatus.FORBIDDEN)
    assert "scope admin" in problem["detail"]
