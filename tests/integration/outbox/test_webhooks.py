"""Webhooks, callbacks, and notifications of a real server to real receivers."""

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.composition.settings.webhooks_and_notifications import tokens_of
from tests.integration.outbox.receiver import Receiver, receiving
from tests.integration.site import HOLD, KEY, InProcess, shell, until

NEW = f"whsec_{base64.b64encode(b'n' * 32).decode()}"
OLD = f"whsec_{base64.b64encode(b'o' * 32).decode()}"
PUBLIC = "https://jobs.example.org"
READER = "the-key-of-a-reader-of-jobs"
TOKEN = "Bearer token-of-the-receiver-0123456789"
TRUE = shell("true")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def site(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    endpoints = [
        {
            "name": "ci",
            "url": receiver.url(),
            "secret": NEW,
            "old_secret": OLD,
            "headers": {"Authorization": TOKEN},
        },
        {"name": "gone", "url": receiver.url("/gone"), "labels": {"to": "gone"}},
        {"name": "shaky", "url": receiver.url("/shaky"), "labels": {"to": "shaky"}},
    ]
    targets = [
        {
            "name": kind,
            "url": receiver.url(f"/{kind}"),
            "kind": kind,
            "min_seconds": 0,
            "labels": {"to": "me"},
        }
        for kind in ("slack", "ntfy", "json")
    ]
    keys = [{"name": "sub", "key": READER, "scopes": ["submit"]}]
    site = InProcess(
        tmp_path_factory.mktemp("site"),
        {
            "webhooks": {"endpoints": endpoints, "allow_hosts": [receiver.host]},
            "notify": {"targets": targets},
            "api": {"port": 0, "api_key": KEY, "keys": keys, "public_url": PUBLIC},
        },
    )
    yield site
    site.stop()


def deliveries(site: InProcess, job_id: str, state: str = "") -> list[dict[str, Any]]:
    query = f"?job={job_id}" + (f"&state={state}" if state else "")
    found: list[dict[str, Any]] = site.get(f"/webhooks/deliveries{query}")["deliveries"]
    return found


def test_the_end_of_a_job_is_signed_and_delivered(site: InProcess, receiver: Receiver) -> None:
    job_id = site.run("Build it\nnow", [TRUE], labels={"team": "a"})["job_id"]

    (got,) = until(lambda: receiver.about(job_id), "the message has arrived")

    for secret in (NEW, OLD):
        Webhook(secret).verify(got.raw, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(f"whsec_{base64.b64encode(b'x' * 32).decode()}").verify(got.raw, got.headers)
    assert got.headers["authorization"] == TOKEN
    data = got.body["data"]
    assert got.body["type"] == "job.ended"
    assert (data["job_id"], data["status"], data["counts"]["success"]) == (job_id, "completed", 1)
    assert data["request"] == "Build it now" and data["labels"] == {"team": "a"}
    assert data["links"]["self"] == f"{PUBLIC}/api/v1/jobs/{job_id}"
    assert got.id == f"msg_{job_id}_{data['seq']}_ci"


def test_a_delivery_is_listed_with_its_result(site: InProcess) -> None:
    job_id = site.run("Do it", [TRUE])["job_id"]

    (entry,) = until(lambda: deliveries(site, job_id, "delivered"), "it is delivered")

    assert (entry["endpoint"], entry["event"], entry["status"]) == ("webhook:ci", "job_ended", 200)
    assert json.loads(entry["answer"]) == {"seen": "it"}


def test_deliveries_of_an_unknown_endpoint_or_job_are_no_empty_list(site: InProcess) -> None:
    unknown = site.call("GET", "/webhooks/deliveries?endpoint=zz")
    assert unknown.status_code == 422
    assert "unknown endpoint 'zz'; known: " in unknown.json()["detail"]
    assert "webhook:ci" in unknown.json()["detail"]
    assert site.call("GET", "/webhooks/deliveries?job=nope").status_code == 404
    assert site.call("GET", "/webhooks/deliveries?endpoint=callback").status_code == 200
    assert site.call("GET", "/webhooks/deliveries?endpoint=webhook:shaky").status_code == 200


def test_a_job_calls_its_own_address_back(site: InProcess, receiver: Receiver) -> None:
    url = receiver.url("/resume?signature=0123456789abcdef")
    body = {"request": "Do it", "tasks": [TRUE], "callback_url": url}
    job_id = site.call("POST", "/orchestrate", body).json()["job_id"]
    site.wait(job_id)

    until(lambda: receiver.about(job_id, "/resume?signature=0123456789abcdef"), "it called back")

    entry = until(
        lambda: [e for e in deliveries(site, job_id, "delivered") if e["endpoint"] == "callback"],
        "it is delivered",
    )
    for shown in (site.get(f"/jobs/{job_id}"), site.status(job_id), entry):
        assert "signature" not in json.dumps(shown)
    for path in site.folder.rglob("*"):
        if path.is_file() and not path.name.startswith("orchestrator.db"):
            assert b"0123456789abcdef" not in path.read_bytes(), path


def test_only_admins_may_set_an_address(site: InProcess, receiver: Receiver) -> None:
    body = {"request": "Do it", "tasks": [TRUE], "callback_url": receiver.url()}

    answer = site.call("POST", "/orchestrate", body, key=READER)
    assert answer.status_code == 403
    assert "may not set callback_url; use a key with the scope admin" in answer.json()["detail"]


def test_a_worker_may_not_set_an_address(
    site: InProcess, receiver: Receiver, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    job_id = site.submit("Hold", [shell(HOLD, env={"RELEASE": str(release)})])
    body = {"request": "Child", "tasks": [TRUE], "callback_url": receiver.url()}
    try:
        answer = site.call("POST", "/orchestrate", body, key=site.key_of(job_id))
    finally:
        release.touch()

    assert answer.status_code == 403, answer.text
    assert "a worker may not set callback_url" in answer.json()["detail"]
    site.wait(job_id)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://169.254.169.254/x", "file:///x"])
def test_a_private_address_is_refused_and_no_job_is_stored(site: InProcess, url: str) -> None:
    before = site.get("/jobs")["total"]
    body = {"request": "Do it", "tasks": [TRUE], "callback_url": url}

    answer = site.call("POST", "/orchestrate", body)

    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (422, "forbidden-url")
    [error] = answer.json()["errors"]
    assert (error["pointer"], error["type"]) == ("/callback_url", "forbidden-url")
    assert site.get("/jobs")["total"] == before


def test_a_refused_message_is_sent_again_with_its_id(site: InProcess, receiver: Receiver) -> None:
    receiver.answers["/shaky"] = [500]
    job_id = site.run("Do it", [TRUE], labels={"to": "shaky"})["job_id"]

    def of_shaky() -> dict[str, Any] | None:
        found = [e for e in deliveries(site, job_id) if e["endpoint"] == "webhook:shaky"]
        return found[0] if found and found[0]["attempts"] else None

    entry = until(of_shaky, "the first attempt is recorded")
    assert (entry["state"], entry["error"]) == ("pending", "HTTP 500 Internal Server Error")

    again = f"/webhooks/deliveries/{entry['id']}/redeliver"
    first, second = until(
        lambda: len(found := receiver.about(job_id, "/shaky")) == 2 and found, "it is repeated"
    )
    assert first.id == second.id
    until(lambda: (of_shaky() or {}).get("state") == "delivered", "it is delivered")
    assert site.call("POST", again).status_code == 202
    until(lambda: len(receiver.about(job_id, "/shaky")) == 3, "it is sent once more")


def test_a_message_that_waits_for_its_retry_can_be_sent_at_once(
    site: InProcess, receiver: Receiver
) -> None:
    receiver.answers["/shaky"] = [503]
    receiver.answer_headers = {"Retry-After": "3600"}

    def entry() -> dict[str, Any] | None:
        found = [e for e in deliveries(site, job_id) if e["endpoint"] == "webhook:shaky"]
        return found[0] if found and found[0]["attempts"] else None

    try:
        job_id = site.run("Do it", [TRUE], labels={"to": "shaky"})["job_id"]
        waiting = until(entry, "the first attempt is recorded")
    finally:
        receiver.answer_headers = {}

    answer = site.call("POST", f"/webhooks/deliveries/{waiting['id']}/redeliver")

    assert answer.status_code == 202, answer.text
    until(lambda: (entry() or {}).get("state") == "delivered", "it is delivered")
    assert [each.id for each in receiver.about(job_id, "/shaky")] == [waiting["id"]] * 2


def test_gone_turns_an_endpoint_off_until_a_test_succeeds(
    site: InProcess, receiver: Receiver
) -> None:
    def off() -> str:
        found = site.get("/webhooks")["endpoints"]
        return str(next(each["off"] for each in found if each["name"] == "gone"))

    receiver.answers["/gone"] = [410]
    site.run("Do it", [TRUE], labels={"to": "gone"})
    until(off, "the endpoint is off")
    quiet = site.run("Do it", [TRUE], labels={"to": "gone"})["job_id"]
    assert "webhook:gone" not in {each["endpoint"] for each in deliveries(site, quiet)}

    assert site.call("POST", "/webhooks/gone/test").json()["delivered"]

    assert not off()


def test_an_undelivered_message_is_logged_with_the_command_for_it(
    site: InProcess, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers["/gone"], receiver.answers["/shaky"] = [410], [500]
    gone = site.run("Do it", [TRUE], labels={"to": "gone"})["job_id"]
    shaky = site.run("Do it", [TRUE], labels={"to": "shaky"})["job_id"]

    def entry(job_id: str) -> dict[str, Any]:
        [found] = [e for e in deliveries(site, job_id) if e["endpoint"] != "webhook:ci"]
        return found

    try:
        until(lambda: entry(gone)["state"] == "failed", "the message failed")
        until(lambda: entry(shaky)["state"] == "delivered", "the retry is delivered")
    finally:
        site.call("POST", "/webhooks/gone/test")
    assert [each.getMessage() for each in caplog.records if shaky in each.getMessage()] == [
        f"job_ended of job {shaky} was not delivered to webhook:shaky: HTTP 500 Internal Server "
        f"Error; the server retries; list messages: "
        f"bin/orchestrator webhooks deliveries --job {shaky}"
    ]
    assert [each.getMessage() for each in caplog.records if gone in each.getMessage()] == [
        f"job_ended of job {gone} was not delivered to webhook:gone: HTTP 410 Gone; send it again: "
        f"bin/orchestrator webhooks redeliver {entry(gone)['id']}"
    ]


def test_the_list_of_deliveries_shows_an_error_to_its_end(
    site: InProcess,
    receiver: Receiver,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    environ = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}
    receiver.answers["/shaky"] = [307]
    receiver.answer_headers = {"Location": receiver.url("/elsewhere")}
    try:
        job_id = site.run("Do it", [TRUE], labels={"to": "shaky"})["job_id"]
        until(lambda: any(e["error"] for e in deliveries(site, job_id)), "the attempt is recorded")
    finally:
        receiver.answer_headers = {}
    context = CliContext(folder=site.folder, environ=environ)
    execute(("webhooks", "deliveries", "--job", job_id), context)

    shown = capsys.readouterr().out
    assert "set the final address); next attempt " in " ".join(shown.split())


def test_a_redirect_is_not_followed(site: InProcess, receiver: Receiver) -> None:
    # The delivery of an earlier test may be repeated now, and get one of the answers.
    receiver.answers["/hook"] = [307] * 20
    receiver.answer_headers = {"Location": receiver.url("/elsewhere")}
    try:
        answer = site.call("POST", "/webhooks/ci/test").json()
    finally:
        receiver.answer_headers = {}
        del receiver.answers["/hook"]

    assert answer["error"] == "HTTP 307 (redirects are not followed; set the final address)"
    assert not [each for each in receiver.received if each.path == "/elsewhere"]


def test_the_calls_need_an_admin_and_show_no_secret(site: InProcess) -> None:
    for path in ("/webhooks", "/webhooks/deliveries"):
        answer = site.call("GET", path, key=READER)
        assert answer.status_code == 403
        assert "may not list or change webhooks" in answer.json()["detail"]
    found = site.get("/webhooks")

    text = json.dumps(found)
    assert not [each for each in (NEW, OLD, TOKEN, "/hook") if each in text]


def test_people_are_notified_once_of_a_job_that_ended_with_a_need(
    site: InProcess, receiver: Receiver
) -> None:
    question = {"id": "ask", "approve": "Deploy?"}
    failing = [shell("exit 1") for _ in range(4)]
    job_id = site.submit("Ship <it>", [question, *failing], labels={"to": "me"})

    (slack,) = until(lambda: receiver.about(job_id, "/slack"), "slack was notified")
    (push,) = until(lambda: receiver.about(job_id, "/ntfy"), "ntfy was notified")
    (plain,) = until(lambda: receiver.about(job_id, "/json"), "the JSON target was notified")

    assert "Needs you: Ship &lt;it&gt;" in slack.body["text"]
    assert slack.body["blocks"][0]["type"] == "section"
    assert (push.headers["priority"], push.headers["title"]) == ("high", "Needs you: Ship <it>")
    assert plain.body["needs_you"] is True and "Deploy?" in plain.body["text"]

    assert site.call("POST", f"/jobs/{job_id}/tasks/ask/approve").status_code == 202
    site.wait(job_id)
    (_, ended) = until(
        lambda: len(found := receiver.about(job_id, "/json")) == 2 and found, "the end is sent"
    )
    assert ended.body["title"] == "Partial: Ship <it>" and not ended.body["needs_you"]


def test_a_server_that_stops_sends_its_last_messages(receiver: Receiver, tmp_path: Path) -> None:
    target = {"name": "me", "url": receiver.url("/last"), "kind": "json", "min_seconds": 0}
    site = InProcess(
        tmp_path,
        {"notify": {"targets": [target]}, "webhooks": {"allow_hosts": [receiver.host]}},
    )
    try:
        job_id = site.run("Do it", [TRUE])["job_id"]
        assert not receiver.about(job_id, "/last"), "notifications are sent after a short delay"
    finally:
        site.stop()

    assert len(receiver.about(job_id, "/last")) == 1


def test_the_commands_show_test_and_repeat_messages(
    site: InProcess, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}

    def command(*arguments: str) -> tuple[int, str]:
        code = execute(arguments, CliContext(folder=site.folder, environ=environ))
        return code, capsys.readouterr().out

    job_id = site.run("Do it", [TRUE])["job_id"]
    (entry,) = until(lambda: deliveries(site, job_id, "delivered"), "it is delivered")

    assert entry["id"] in command("webhooks", "deliveries", "--job", job_id)[1]
    assert command("webhooks", "redeliver", entry["id"])[0] == 0
    until(lambda: len(receiver.about(job_id)) == 2, "it is sent again")
    listed = command("webhooks", "list")[1]
    assert f"ci           webhook      http://{receiver.host}  job_ended" in listed
    code, shown = command("webhooks", "test", "ci")
    assert (code, shown.startswith("ci: delivered (")) == (0, True)
    receiver.answers["/slack"] = [403]
    code, shown = command("notify", "test")
    assert code == 1 and "slack: failed: HTTP 403 Forbidden" in shown and "ntfy: delivered" in shown
    assert command("webhooks", "test", "unknown")[0] == 3


def test_without_receivers_nothing_runs_and_nothing_is_stored(tmp_path: Path) -> None:
    site = InProcess(tmp_path, {})
    try:
        before = {each.name for each in threading.enumerate()}
        job_id = site.run("Do it", [TRUE])["job_id"]
        after = {each.name for each in threading.enumerate()} - before

        assert "outbox" not in after
        assert deliveries(site, job_id) == []
        assert site.manager.parts.outbox_service.dispatcher._thread is None
    finally:
        site.stop()


def test_parts_of_an_address_that_look_like_tokens_are_secrets() -> None:
    url = "https://me:pass word@hooks.slack.com/services/T0123456789ABCDEF/x?key=abcdef0123456789"

    assert list(tokens_of(url)) == ["pass word", "T0123456789ABCDEF", "abcdef0123456789"]
    assert list(tokens_of("https://ci.example/webhooks/orchestrator-events")) == []
