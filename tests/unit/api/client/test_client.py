"""The Python client: errors from ``responses``, everything else against a real HTTP server."""

import io
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

import orchestrator.api.client as client_package
from orchestrator.api.client import (
    ApiError,
    AuthError,
    ClientError,
    ConflictError,
    InvalidError,
    NoServer,
    NotFoundError,
    OrchestratorClient,
    QuotaError,
    RefusedError,
    ServerUnreachable,
    server_discovery,
)
from orchestrator.api.client.errors import ConnectionLost
from orchestrator.api.client.follow import events_of, text_lines
from orchestrator.api.client.loopback_session import LoopbackResponse
from orchestrator.api.client.transport import READ_TIMEOUT_SECONDS
from orchestrator.system.http_client import silence
from tests.unit.cli.fake_api import KEY, FakeApi, running

URL = "http://orchestrator.test:8000"
STATUS = f"{URL}/api/v1/jobs/j1/status"
POST = f"{URL}/api/v1/orchestrate"
ACCEPTED = {"job_id": "j1", "status": "pending", "links": {}}
REFUSED = requests.exceptions.ConnectionError("Connection refused")


@pytest.fixture
def net() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def client() -> Iterator[OrchestratorClient]:
    with OrchestratorClient(URL, "secret", retry_seconds=2) as made:
        yield made


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with running(FakeApi()) as server:
        yield server


def test_every_call_carries_the_key(net: responses.RequestsMock, client: Any) -> None:
    net.get(STATUS, json={"job_id": "j1", "status": "running"})

    assert client.status("j1")["status"] == "running"
    assert net.calls[0].request.headers["X-API-Key"] == "secret"


def test_the_config_of_a_submission_is_sent_unchanged(
    net: responses.RequestsMock, client: Any
) -> None:
    body = {"request": "x", "config": {"max_workers": 4, "enable_recursion": True}}
    net.post(POST, json=ACCEPTED, status=202, match=[responses.matchers.json_params_matcher(body)])

    result = client.orchestrate(
        request="x", max_workers=4, enable_recursion=True, default_timeout=None
    )

    assert (result["job_id"], result["status"]) == ("j1", "pending")


@pytest.mark.parametrize("fault", [REFUSED, requests.exceptions.ReadTimeout("slow")])
def test_a_submission_is_tried_again_with_the_same_key(
    net: responses.RequestsMock, client: Any, fault: Exception
) -> None:
    net.post(POST, body=fault)
    net.post(POST, status=502)
    net.post(POST, json=ACCEPTED, status=202)

    client.orchestrate("x")

    assert len({call.request.headers["Idempotency-Key"] for call in net.calls}) == 1


def test_two_submissions_have_keys_of_their_own(net: responses.RequestsMock, client: Any) -> None:
    net.post(POST, json=ACCEPTED, status=202)

    client.orchestrate("x")
    client.orchestrate("x")
    client.orchestrate("x", idempotency_key="mine")

    keys = [call.request.headers["Idempotency-Key"] for call in net.calls]
    assert len(set(keys)) == 3 and keys[2] == "mine"


def test_the_client_retries_a_busy_server_after_its_retry_after(
    net: responses.RequestsMock, client: Any
) -> None:
    net.get(STATUS, status=503, headers={"Retry-After": "1"}, json={"detail": "busy"})
    net.get(STATUS, json={"status": "running"})
    began = time.monotonic()

    client.status("j1")

    assert time.monotonic() - began >= 1


def test_a_server_that_stays_busy_longer_than_the_call_may_take_is_an_error(
    net: responses.RequestsMock, client: Any
) -> None:
    net.get(STATUS, status=503, headers={"Retry-After": "3600"}, json={"detail": "busy"})

    with pytest.raises(ApiError, match="busy") as caught:
        client.status("j1")
    assert caught.value.status == 503


def test_no_answer_is_server_unreachable_and_names_the_server(
    net: responses.RequestsMock,
) -> None:
    net.get(STATUS, body=REFUSED)
    client = OrchestratorClient(URL, "k", retry_seconds=0)

    with pytest.raises(ServerUnreachable, match=r"http://orchestrator\.test:8000"):
        client.status("j1")


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (401, "unauthorized", AuthError),
        (403, "forbidden-host", AuthError),
        (404, "not-found", NotFoundError),
        (409, "conflict", ConflictError),
        (422, "invalid-request", InvalidError),
        (413, "too-large", InvalidError),
        (422, "limit-depth", RefusedError),
        (422, "https://host/problems/cycle", RefusedError),
        (500, "error", ApiError),
    ],
)
def test_errors_are_typed_and_carry_the_problem(
    net: responses.RequestsMock, client: Any, status: int, kind: str, error: type[ApiError]
) -> None:
    net.get(STATUS, status=status, json={"type": kind, "detail": "why", "left": {"depth": 1}})

    with pytest.raises(error) as caught:
        client.status("j1")
    assert type(caught.value) is error
    assert (caught.value.status, caught.value.type, caught.value.detail) == (status, kind, "why")
    if isinstance(caught.value, RefusedError):
        assert caught.value.left == {"depth": 1}


def test_an_error_without_a_problem_object_names_the_status(
    net: responses.RequestsMock, client: Any
) -> None:
    net.get(STATUS, status=404, body="<html>nginx</html>")

    with pytest.raises(NotFoundError, match="the server answered 404"):
        client.status("j1")


@pytest.mark.parametrize("body", ["<html>", "[]", ""])
def test_an_answer_of_another_program_is_an_error(
    net: responses.RequestsMock, client: Any, body: str
) -> None:
    net.get(STATUS, body=body)

    with pytest.raises(ClientError, match="check the address"):
        client.status("j1")


def test_wait_asks_again_until_the_job_has_ended(net: responses.RequestsMock, client: Any) -> None:
    url = f"{URL}/api/v1/jobs/j1/wait"
    net.get(url, json={"status": "running", "timed_out": True})
    net.get(url, body=REFUSED)
    net.get(url, json={"status": "failed", "timed_out": False})

    assert client.wait("j1") == {"status": "failed", "timed_out": False}


def test_wait_ends_at_its_timeout(api: FakeApi) -> None:
    api.end_at_once = False
    with OrchestratorClient(api.url, KEY) as client:
        job_id = client.orchestrate("x")["job_id"]

        answer = client.wait(job_id, timeout=0.3)

    assert (answer["status"], answer["timed_out"]) == ("running", True)


@pytest.mark.parametrize("name", ["j1", "job_j1"])
def test_events_come_in_order_until_the_job_has_ended(api: FakeApi, name: str) -> None:
    with OrchestratorClient(api.url, KEY) as client:
        client.orchestrate("x")

        kinds = [event["kind"] for event in client.events(name)]

    assert kinds == ["job_submitted", "worker_started", "worker_ended", "job_ended"]


def test_events_continue_after_an_interrupted_stream(api: FakeApi) -> None:
    api.stream_breaks_after = 2
    with OrchestratorClient(api.url, KEY) as client:
        client.orchestrate("x")

        seqs = [event["seq"] for event in client.events("j1")]

    assert seqs == [1, 2, 3, 4]
    last_ids = [call.headers["Last-Event-ID"] for call in api.calls_of("GET", "events")]
    assert last_ids == ["0", "2"]


def test_events_continue_after_a_restart_of_the_server() -> None:
    first = FakeApi()
    first.end_at_once = False
    client = OrchestratorClient(first.url, KEY)
    with running(first):
        client.orchestrate("x")
        stream = client.events("j1")
        seen = [next(stream)["seq"], next(stream)["seq"]]
    second = FakeApi(first.server_address[1])
    second.jobs = first.jobs
    with running(second):
        second.jobs["j1"].end()
        seen += [event["seq"] for event in stream]

    assert seen == [1, 2, 3, 4]
    client.close()


def test_a_client_of_a_folder_finds_the_next_server_at_another_port(tmp_path: Path) -> None:
    record = tmp_path / "workspace" / "server.json"
    record.parent.mkdir()
    (tmp_path / "config.yaml").write_text(CONFIGS[0])
    first, second = FakeApi(), FakeApi()
    first.end_at_once = False
    record.write_text(f'{{"url": "{first.url}", "pid": 1}}')
    client = OrchestratorClient.from_env(tmp_path, environ={})
    with running(first):
        client.orchestrate("x")
        stream = client.events("j1")
        seen = [next(stream)["seq"], next(stream)["seq"]]
    second.jobs = first.jobs
    with running(second):
        second.jobs["j1"].end()
        record.write_text(f'{{"url": "{second.url}", "pid": 1}}')
        seen += [event["seq"] for event in stream]

        assert seen == [1, 2, 3, 4]
        assert client.wait("j1")["status"] == "completed"
        assert client.api_url == second.url
    client.close()


def test_a_client_with_a_given_url_stays_there(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    with running(FakeApi()) as other:
        record = f'{{"url": "{other.url}", "pid": 1}}'
        (tmp_path / "workspace" / "server.json").write_text(record)
        environ = {"ORCHESTRATOR_API_URL": "http://127.0.0.1:1", "ORCHESTRATOR_API_KEY": KEY}
        client = OrchestratorClient.from_env(tmp_path, environ=environ)

        with pytest.raises(ServerUnreachable):
            client.wait("j1", timeout=0.3)
        assert not other.calls


def test_a_stream_of_a_server_here_needs_no_requests(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "orchestrator.api.client.remote_session", None)

    with OrchestratorClient(api.url, KEY) as client:
        client.orchestrate("x")

        assert [event["seq"] for event in client.events("j1")] == [1, 2, 3, 4]


@pytest.mark.parametrize("body", [b"5\r\nabc", b"3\r\nabc\r\n"])
def test_an_incomplete_stream_is_a_lost_connection(body: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    stream = io.BufferedReader(io.BytesIO(answer))  # type: ignore[arg-type]
    pieces = LoopbackResponse(URL, stream, at_once=False).pieces()

    assert next(pieces) == b"abc"
    with pytest.raises(ConnectionLost):
        list(pieces)


def test_a_stream_that_stays_lost_is_server_unreachable(api: FakeApi) -> None:
    api.faults += [(0, {}, {})] * 20
    with (
        OrchestratorClient(api.url, KEY, retry_seconds=0, patience_seconds=0.5) as client,
        pytest.raises(ServerUnreachable),
    ):
        list(client.events("j1"))


def test_an_ended_job_has_no_event_after_its_last(api: FakeApi) -> None:
    with OrchestratorClient(api.url, KEY) as client:
        client.orchestrate("x")

        assert list(client.events("j1", last_event_id=4)) == []


def test_an_event_arrives_while_the_stream_stays_open(api: FakeApi) -> None:
    api.end_at_once = False
    with OrchestratorClient(api.url, KEY) as client:
        client.orchestrate("x")
        stream = client.events("j1")
        assert [next(stream)["kind"], next(stream)["kind"]] == ["job_submitted", "worker_started"]

        threading.Timer(0.05, api.jobs["j1"].emit, ("worker_waiting", "worker_1")).start()

        assert next(stream)["kind"] == "worker_waiting"
        stream.close()  # type: ignore[attr-defined]


def test_logs_and_reports_are_text(api: FakeApi) -> None:
    with OrchestratorClient(api.url, KEY) as client:
        client.orchestrate("x")

        assert client.logs("j1", "worker_1", tail=2) == "line 0\nline 1\n"
        followed = client.logs("j1", "worker_1", follow=True, tail=2)
        assert list(followed) == ["line 0", "line 1"]
        assert client.report("j1") == "# FINAL_RESULT.md\n"


def test_cancel_and_retry_answer_with_the_status(api: FakeApi) -> None:
    api.end_at_once = False
    with OrchestratorClient(api.url, KEY) as client:
        client.orchestrate("x")

        assert client.cancel("j1")["status"] == "running", "the job is still being stopped"
        assert client.status("j1")["status"] == "cancelled"
        assert client.retry("j1", default_timeout=9)["status"] == "running"

    assert api.calls_of("POST", "retry")[0].body == {"config": {"default_timeout": 9}}


def test_ids_cannot_change_the_path(net: responses.RequestsMock, client: Any) -> None:
    net.get(f"{URL}/api/v1/jobs/..%2F..%2Fstats%3Fx/status", status=404, json={"detail": "no"})

    with pytest.raises(NotFoundError):
        client.status("../../stats?x")


@pytest.mark.parametrize("url", ["localhost:8000", "", "ftp://x", "http://[", "http://h:65536"])
def test_an_invalid_address_is_rejected_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="http://localhost:8000"):
        OrchestratorClient(url)


def test_white_space_around_a_key_is_removed(net: responses.RequestsMock) -> None:
    net.get(STATUS, json={"job_id": "j1", "status": "running"})

    with OrchestratorClient(URL, " secret\r\n") as client:
        client.status("j1")
    assert net.calls[0].request.headers["X-API-Key"] == "secret"


def test_a_proxy_is_not_used_for_this_machine(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    with OrchestratorClient(api.url, KEY, retry_seconds=0) as client:
        assert client.health()["status"] == "ok"


def test_in_a_worker_its_own_server_and_key_are_used(api: FakeApi, tmp_path: Path) -> None:
    environ = {"ORCHESTRATOR_API_URL": api.url, "ORCHESTRATOR_API_KEY": KEY}

    with OrchestratorClient.from_env(tmp_path, environ=environ) as client:
        assert client.orchestrate("x")["job_id"] == "j1"


CONFIGS = [
    f'api:\n  host: localhost\n  api_key: "{KEY}"  # random\n',
    f"api: {{host: localhost, port: 8000, api_key: {KEY}}}\n",
    f"workers:\n  max_workers: 1\n# api_key: no\n\napi:\n  # api_key: no\n\n  api_key: '{KEY}'\n",
]


@pytest.mark.parametrize("config", CONFIGS)
def test_outside_of_workers_the_client_uses_the_server_of_the_folder(
    api: FakeApi, tmp_path: Path, config: str
) -> None:
    (tmp_path / "config.yaml").write_text(config)
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "server.json").write_text(f'{{"url": "{api.url}", "pid": 1}}')

    with OrchestratorClient.from_env(tmp_path, environ={}) as client:
        assert client.jobs()["total"] == 0


def test_a_configured_workspace_is_found(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("orchestrator:\n  workspace_root: ../elsewhere\n")

    found = server_discovery.workspace_of(tmp_path / "folder", {})
    configured = server_discovery.workspace_of(tmp_path, {})
    variable = {"ORCHESTRATOR_ORCHESTRATOR__WORKSPACE_ROOT": "/w"}

    assert found == tmp_path / "folder" / "workspace"
    assert configured == tmp_path.parent / "elsewhere"
    assert server_discovery.workspace_of(tmp_path, variable) == Path("/w")


@pytest.mark.parametrize("record", [None, "", "[]", '{"url": "http://h:1"}', '{"pid": "x"}'])
def test_without_a_server_the_error_names_a_command_that_starts_one_in_any_directory(
    tmp_path: Path, record: str | None
) -> None:
    folder = tmp_path / "my orchestrator"
    (folder / "workspace").mkdir(parents=True)
    if record is not None:
        (folder / "workspace" / "server.json").write_text(record)

    with pytest.raises(NoServer) as raised:
        OrchestratorClient.from_env(folder, environ={})

    command = str(raised.value).partition("start the server: ")[2]
    assert shlex.split(command) == [str(folder / "bin" / "orchestrator"), "serve"]


def test_the_package_exports_the_client_and_its_errors() -> None:
    exported = {getattr(client_package, name) for name in client_package.__all__}

    assert {OrchestratorClient, ApiError, QuotaError, RefusedError, NoServer} <= exported
    errors = {each for each in exported if issubclass(each, ClientError)}
    assert exported - errors == {OrchestratorClient}


def test_the_client_imports_only_requests() -> None:
    code = (
        "import sys, orchestrator.api.client.client\n"
        "heavy = {'flask', 'waitress', 'click', 'yaml', 'pydantic', 'sqlalchemy', 'jinja2'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    root = Path(server_discovery.__file__).parents[3]

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_lines_are_put_together_from_any_pieces() -> None:
    text = "a\r\nüber\n\nlast".encode()

    for cut in range(1, len(text)):
        pieces = [text[start : start + cut] for start in range(0, len(text), cut)]
        assert list(text_lines(pieces)) == ["a", "über", "", "last"]


def test_comments_and_unfinished_events_are_omitted() -> None:
    stream = b': hi\n\nid: 1\ndata: {"seq":\ndata: 1}\n\ndata: nonsense\n\ndata: {"seq": 2}\n'

    assert list(events_of([stream])) == [{"seq": 1}]


def test_a_call_without_an_answer_is_reported_except_a_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "SILENT_SECONDS", 0.05)
    reports: list[tuple[str, float]] = []
    reply = b'HTTP/1.0 200 OK\r\n\r\n{"status": "running"}'

    def answer_late(server: socket.socket) -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                time.sleep(0.3)
                connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_late, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with OrchestratorClient(url, on_silence=lambda *pair: reports.append(pair)) as client:
            client._wait_once("j1", 0.1, 1)
            assert reports == []
            client.health()
        thread.join()
    assert reports == [(url, READ_TIMEOUT_SECONDS)]
