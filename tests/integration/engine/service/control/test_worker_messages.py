"""A person's messages to workers: each stored message is delivered, even after a crash."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from tests.agents.model_api import Call, Fault, ModelApi, Script, Turn
from tests.faults import crash_points
from tests.integration.conftest import MakeCrashing, MakeSite
from tests.integration.site import KEY, Answer, Site, files_named, shell, until

pytestmark = pytest.mark.slow
HELD = "touch begun; until [ -e go ]; do sleep 0.02; done"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelApi]:
    with ModelApi() as api:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        yield api


def held(*more: Turn) -> Script:
    return Script.of(Turn("I begin.", (Call.shell(HELD),)), *more, Turn("Done."))


def task(name: str = "held", **more: object) -> Answer:
    fields = {"agent": "anthropic", "model": "stub-model", "prompt": f"Do it. [[script:{name}]]"}
    return {**fields, **more}


def begun(site: Site, job: str) -> Path:
    directory = site.directory(job)
    found: list[Path] = until(lambda: files_named(directory, "begun"), "the command runs")
    return found[0]


def send(
    site: Site, job: str, text: str, worker: str = "worker_1", key: str = KEY, once: str = ""
) -> requests.Response:
    headers = {"Idempotency-Key": once} if once else {}
    path = f"/jobs/{job}/workers/{worker}/message"
    return site.call("POST", path, {"text": text}, key=key, headers=headers)


def messages(site: Site, job: str) -> list[Answer]:
    found: list[Answer] = site.get(f"/jobs/{job}")["workers"][0]["messages"]
    return found


def kinds(site: Site, job: str) -> list[str]:
    url = f"{site.url}/api/v1/jobs/{job}/events"
    text = requests.get(url, headers={"X-API-Key": KEY}, timeout=30).text
    lines = (line for line in text.splitlines() if line.startswith("data: "))
    found = [json.loads(line[6:])["kind"] for line in lines]
    return [each for each in found if each.startswith("worker_messag")]


def test_only_people_write_to_workers_that_read(make_site: MakeSite, api: ModelApi) -> None:
    api.scripts["held"] = held()
    site = make_site()
    own = shell(
        "printenv ORCHESTRATOR_API_KEY > .k && mv .k key; until [ -e go ]; do sleep 0.02; done"
    )
    job = site.submit("x", [task(), own])
    directory = begun(site, job)
    worker_key = site.key_of(job, "worker_2")

    assert send(site, job, "from a worker", key=worker_key).status_code == 404
    refused = send(site, job, "x", "worker_2")
    assert (refused.status_code, refused.json()["type"]) == (409, "cannot-message")
    assert "'shell'" in refused.json()["detail"]
    # A command does not read comments either.
    assert "feedback" not in refused.json()["detail"]
    assert send(site, job, "x", "worker_9").status_code == 404
    for text in ("", "  \n"):
        assert send(site, job, text).status_code == 422
    assert send(site, job, "x" * 10_001).status_code == 413
    first = send(site, job, "Use tabs", once="one")
    again = send(site, job, "Use tabs", once="one")
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json() and first.json()["delivery"] == "next_step"
    other = send(site, job, "Use spaces", once="one")
    assert (other.status_code, other.json()["type"]) == (422, "idempotency-mismatch")
    path, body = "/messages", {"delivered": [first.json()["message_id"]]}
    assert site.call("POST", path, body).status_code == 403
    # Another worker's message.
    assert site.call("POST", path, body, key=worker_key).status_code == 200
    assert [each.get("delivered_at") for each in messages(site, job)] == [None]

    directory.with_name("go").touch()
    (site.directory(job) / "depth_0" / "worker_2" / "go").touch()
    assert site.wait(job)["status"] == "completed"
    assert "feedback" not in send(site, job, "x", "worker_2").json()["detail"]
    (message,) = messages(site, job)
    assert (message["attempt"], message["by"], message["text"]) == (1, "default", "Use tabs")
    assert kinds(site, job) == ["worker_messaged", "worker_message_delivered"]
    assert "Use tabs" in json.dumps(api.requests[-1].body)
    ended = send(site, job, "too late")
    assert (ended.status_code, ended.json()["type"]) == (409, "cannot-message")
    # A caller repeats the call, because its first answer was lost.
    assert send(site, job, "Use tabs", once="one").json() == first.json()


def test_a_message_that_no_attempt_reads_is_named(make_site: MakeSite, api: ModelApi) -> None:
    api.scripts["held"] = held()
    site = make_site()
    job = site.submit("x", [task()])
    begun(site, job)
    assert send(site, job, "Never read").status_code == 202

    site.call("POST", f"/jobs/{job}/cancel", {})
    site.wait(job)

    (message,) = messages(site, job)
    assert message.get("delivered_at") is None and message.get("attempt") is None
    assert kinds(site, job) == ["worker_messaged", "worker_message_undelivered"]
    report = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "not delivered: the worker ended before it read the message" in report
    assert "Never read" in report


def test_a_retry_reads_what_the_attempt_before_it_has_read(
    make_site: MakeSite, api: ModelApi
) -> None:
    # The first attempt ends with this error.
    api.scripts["held"] = held(Turn("Almost.", (Call.shell("true"),), faults=(Fault(status=400),)))
    site, text = make_site(), f"Mind the gap {uuid4()}"
    job = site.submit("x", [task(retries=1)])
    directory = begun(site, job)
    assert send(site, job, text).status_code == 202
    directory.with_name("go").touch()

    assert site.wait(job)["status"] == "completed"
    assert [each["attempt"] for each in messages(site, job)] == [2]
    bodies = [text in json.dumps(each.body) for each in api.requests if each.script]
    assert bodies == [False, True, True, True, True]
    delivered = "worker_message_delivered"
    assert kinds(site, job) == ["worker_messaged", delivered]


@pytest.mark.parametrize("point", crash_points.OF_MESSAGES)
def test_a_message_survives_a_crash_and_comes_once(
    crashing: MakeCrashing, api: ModelApi, point: str
) -> None:
    api.scripts["held"] = held()
    site, _ = crashing(f"{point}#1", files={"a.txt": "a\n"})
    job = site.submit_once([task(git="off")])
    directory = begun(site, job)

    with pytest.raises(requests.ConnectionError):
        send(site, job, "Use tabs", once="one")
    site.insist(lambda: send(site, job, "Use tabs", once="one"))
    assert [each.partition("#")[0] for each in site.crashed_at()] == [point]
    directory.with_name("go").touch()
    assert site.wait_through(job)["status"] == "completed"

    (message,) = messages(site, job)
    assert message["attempt"] == 1
    assert kinds(site, job) == ["worker_messaged", "worker_message_delivered"]
    bodies = [json.dumps(each.body) for each in api.requests if each.script]
    assert [each.count("Use tabs") for each in bodies] == [0, 1]
