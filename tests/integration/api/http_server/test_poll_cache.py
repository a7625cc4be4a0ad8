"""Repeated identical polls. The server's loop answers them while the job does not change."""

import gzip
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from orchestrator.api.http_messages.poll_answer import ANSWER_SOURCE, HEAD, PollAnswer
from orchestrator.api.http_server.app import close_app, create_app
from orchestrator.api.http_server.poll_cache import MOST_REPEATED, PollCache
from orchestrator.api.http_server.waitress_server import serve
from orchestrator.api.serializers.status_cache import MOST_QUICK_CHANGES
from orchestrator.api.server_options import ApiOptions
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.submission import Submission
from orchestrator.core.ports.read_models import ListedJob
from orchestrator.security.secrets.api_keys import hash_key
from tests.integration.api.wire import Connection
from tests.unit.api.fake_service import KEY, FakeJobLists, FakeService

READS_PER_MINUTE = 30
HANG_SECONDS = 30.0


class _Versioned(FakeJobLists):
    """Queries of a store that has changed ``number`` times."""

    number = 1

    def version(self, job: Job | ListedJob) -> int:
        return self.number


class _Polled:
    """A server, and the number of requests that its application answered."""

    def __init__(self, folder: Path) -> None:
        self.service = FakeService(folder)
        self.job_lists = self.service.job_lists = _Versioned(self.service)
        self.app = create_app(self.service, ApiOptions(reads_per_minute=READS_PER_MINUTE))
        self.answered = 0
        self.app.before_request(self._count)
        self.server = serve(self.app, host="127.0.0.1", port=0, threads=2)
        self.server.start()
        caller = self.service.callers.of_key(KEY)
        self.job = self.service.submissions.submit(caller, Submission(request="poll me")).job
        self.path = f"/api/v1/jobs/{self.job.id}/status"

    def _count(self) -> None:
        self.answered += 1

    def poll(self, *headers: str, path: str = "") -> tuple[int, dict[str, str], bytes]:
        with Connection(self.server) as client:
            return poll(client, path or self.path, *headers)

    def counted(self) -> dict[int, int]:
        """The number of polls that the metrics count, by status."""
        text = self.app.extensions["orchestrator.metrics"].text({}).decode()
        route = 'method="GET",route="/api/v1/jobs/<job_id>/status"'
        found = re.findall(rf'requests_total{{{route},status="(\d+)"}} (\d+)', text)
        return {int(status): int(count) for status, count in found}

    def workers(self, number: int) -> Sequence[Worker]:
        """The workers of a new job."""
        tasks = tuple(TaskSpec(id=f"t{at}", command="true") for at in range(number))
        submission = Submission(request="poll me, too", tasks=tasks)
        job = self.service.submissions.submit(self.service.callers.of_key(KEY), submission).job
        return self.service.workers_of(job)

    def close(self) -> None:
        close_app(self.app)
        self.server.close()
        assert self.server.wait(10)


def poll(client: Connection, path: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
    client.ask("GET", path, *headers)
    status, found = client.head()
    return status, found, b"" if status == 304 else client.body(found)


@pytest.fixture
def polled(tmp_path: Path) -> Iterator[_Polled]:
    found = _Polled(tmp_path)
    yield found
    found.close()


def without_date(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "date"}


def test_equal_polls_of_an_unchanged_job_reach_the_application_once(polled: _Polled) -> None:
    with Connection(polled.server) as client:
        first, *more = [poll(client, polled.path) for _ in range(3)]
    others = [*more, polled.poll()]
    assert polled.answered == 1
    for status, headers, body in others:
        assert (status, body) == (first[0], first[2])
        assert without_date(headers) == without_date(first[1])
        assert headers["content-security-policy"].startswith("default-src 'none'")


def test_a_changed_job_is_read_by_the_application(polled: _Polled) -> None:
    assert json.loads(polled.poll()[2])["counts"] == {"pending": 1}
    polled.service.finish(polled.service.workers_of(polled.job)[0])
    polled.job_lists.number += 1
    assert json.loads(polled.poll()[2])["counts"] == {"success": 1}
    assert json.loads(polled.poll()[2])["counts"] == {"success": 1}
    assert polled.answered == 2


@pytest.mark.parametrize("query", ["", "?tasks=changed&since_seq=1"])
def test_a_few_changed_rows_are_encoded_without_the_application(
    polled: _Polled, query: str
) -> None:
    first, second = polled.workers(2)
    path = f"/api/v1/jobs/{first.job_id}/status{query}"
    polled.service.finish(first)
    polled.poll(path=path)
    polled.service.finish(second, output="changed")
    polled.job_lists.number += 1
    changed, again = polled.poll(path=path), polled.poll(path=path)
    assert polled.answered == 1
    fresh = polled.poll(path=f"/api/v1/jobs/{first.job_id}/status?tasks=all")
    assert polled.answered == 2
    assert without_date(changed[1]) == without_date(again[1])
    assert changed[2] == again[2]
    if not query:
        assert (changed[1]["etag"], changed[2]) == (fresh[1]["etag"], fresh[2])
    assert json.loads(changed[2])["results"]["tasks"][-1]["output"] == "changed"


def test_many_changed_rows_are_encoded_by_the_application(polled: _Polled) -> None:
    first, *others = polled.workers(MOST_QUICK_CHANGES + 2)
    path = f"/api/v1/jobs/{first.job_id}/status"
    polled.service.finish(first)
    polled.poll(path=path)
    for worker in others:
        polled.service.finish(worker)
    polled.job_lists.number += 1
    body = polled.poll(path=path)[2]
    assert polled.answered == 2
    assert json.loads(body)["counts"] == {"success": len(others) + 1}


def test_a_repeated_answer_has_the_present_remaining_quota(polled: _Polled) -> None:
    polled.poll()
    polled.service.left = {"depth": 1}
    deadline = time.monotonic() + HANG_SECONDS
    while json.loads(polled.poll()[2])["left"] != {"depth": 1}:  # it is read once a second
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert polled.answered == 1


def test_repeated_polls_count_to_the_rate_limit_of_the_key(polled: _Polled) -> None:
    found = [polled.poll()[0] for _ in range(READS_PER_MINUTE + 2)]
    assert found.count(200) == READS_PER_MINUTE
    assert found[-2:] == [429, 429]


def test_a_repeated_answer_can_be_compressed(polled: _Polled) -> None:
    polled.service.finish(polled.service.workers_of(polled.job)[0], output="long " * 2000)
    first, second = (polled.poll("Accept-Encoding: gzip") for _ in range(2))
    assert polled.answered == 1
    assert second[1]["content-encoding"] == "gzip"
    assert gzip.decompress(first[2]) == gzip.decompress(second[2])


def test_a_client_that_has_the_answer_gets_no_second_one(polled: _Polled) -> None:
    tag = polled.poll()[1]["etag"]
    polled.poll(f"If-None-Match: {tag}")
    answered = polled.answered
    assert polled.poll(f"If-None-Match: {tag}")[0] == 304
    assert polled.answered == answered
    polled.service.finish(polled.service.workers_of(polled.job)[0])
    polled.job_lists.number += 1
    assert polled.poll(f"If-None-Match: {tag}")[0] == 200


def test_a_client_gets_a_change_that_another_client_has_read(polled: _Polled) -> None:
    tag = polled.poll()[1]["etag"]
    assert polled.poll(f"If-None-Match: {tag}")[0] == 304
    polled.service.finish(polled.service.workers_of(polled.job)[0])
    polled.job_lists.number += 1
    changed = polled.poll("Accept-Language: en")
    status, headers, body = polled.poll(f"If-None-Match: {tag}")
    assert (status, headers["etag"], body) == (200, changed[1]["etag"], changed[2])
    assert polled.poll()[1]["etag"] == changed[1]["etag"] != tag


def test_polls_for_changed_rows_share_the_work(polled: _Polled) -> None:
    job, service = polled.job, polled.service
    service.finish(service.workers_of(job)[0])
    polled.job_lists.number += 1
    path = f"{polled.path}?tasks=changed&since_seq="

    def changed(since: int) -> list[str]:
        status, headers, body = polled.poll(path=f"{path}{since}")
        assert (status, int(headers["content-length"])) == (200, len(body))
        return [each["worker_id"] for each in json.loads(body)["results"]["tasks"]]

    latest = json.loads(polled.poll(path=f"{path}0")[2])["seq"]
    assert [changed(0), changed(latest)] == [["worker_1"], []]
    assert polled.answered == 1
    assert polled.poll(path=f"{path}{'9' * 20}")[0] == 422


def test_an_answer_larger_than_the_sockets_buffer_arrives_whole(polled: _Polled) -> None:
    polled.service.finish(polled.service.workers_of(polled.job)[0], output="0123456789" * 1_000_000)
    first = polled.poll()
    with Connection(polled.server) as client:
        for _ in range(3):
            status, headers, body = poll(client, polled.path)
            assert (status, int(headers["content-length"])) == (200, len(body))
            assert body == first[2]
    assert polled.answered == 1


@pytest.mark.parametrize("header", ["Content-Length: 5", "Connection: close", "Expect: x"])
def test_a_request_whose_head_is_not_all_of_it_is_not_repeated(
    polled: _Polled, header: str
) -> None:
    for _ in range(2):
        with Connection(polled.server) as client:
            client.ask("GET", polled.path, header)
            client.socket.sendall(b"01234" if "Length" in header else b"")
            client.head()
    assert polled.answered == 2


def test_another_key_does_not_get_the_answer(polled: _Polled) -> None:
    polled.poll()
    with Connection(polled.server) as client:
        text = f"GET {polled.path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: wrong\r\n\r\n"
        client.socket.sendall(text.encode())
        assert client.head()[0] == 401


def test_a_browser_session_is_checked_for_each_request(polled: _Polled) -> None:
    sessions = polled.app.extensions["orchestrator.sessions"]
    cookie = sessions.start(hash_key(KEY)).cookie
    text = (
        f"GET {polled.path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Cookie: orchestrator_session={cookie}\r\n\r\n"
    )

    def status() -> int:
        with Connection(polled.server) as client:
            client.socket.sendall(text.encode())
            return client.head()[0]

    assert [status(), status()] == [200, 200]
    sessions.end(cookie)
    assert status() == 401


def test_a_removed_job_is_not_found(polled: _Polled) -> None:
    polled.poll()
    del polled.service._jobs[polled.job.id]
    assert polled.poll()[0] == 404


def test_an_ended_job_is_answered_by_the_application(polled: _Polled) -> None:
    polled.service.finish(polled.service.workers_of(polled.job)[0])
    polled.service.end(polled.job)
    polled.poll()
    polled.poll()
    assert polled.answered == 2, "files of a merge may change without an event"


def test_the_requests_that_were_repeated_last_are_remembered() -> None:
    def application(environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        environ[ANSWER_SOURCE] = lambda *_: PollAnswer("tag", [b"again"])
        start("200 OK", [])
        return [b"first"]

    cache = PollCache(application)
    heads = [b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(MOST_REPEATED + 5)]
    for head in heads:
        request = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "::1"}
        cache({**request, HEAD: head}, lambda *_: lambda _: None)
        assert cache.answer(heads[0], "::1")
    known = [head for head in heads if cache.answer(head, "::1")]
    assert known == [heads[0], *heads[-MOST_REPEATED + 1 :]]


def test_repeated_polls_are_counted(polled: _Polled) -> None:
    for _ in range(3):
        polled.poll()
    assert polled.counted() == {200: 3}


def test_repeated_polls_without_a_change_are_counted_as_such(polled: _Polled) -> None:
    tag = polled.poll()[1]["etag"]
    for _ in range(3):
        assert polled.poll(f"If-None-Match: {tag}")[0] == 304
    assert polled.answered == 2
    assert polled.counted() == {200: 1, 304: 3}


def test_a_poll_that_the_application_answers_after_a_change_is_counted_once(
    polled: _Polled,
) -> None:
    tag = polled.poll()[1]["etag"]
    polled.poll(f"If-None-Match: {tag}")
    polled.service.finish(polled.service.workers_of(polled.job)[0])
    polled.job_lists.number += 1
    polled.poll("Accept-Language: en")  # reads the change
    assert polled.poll(f"If-None-Match: {tag}")[0] == 200
    assert polled.counted() == {200: 3, 304: 1}
    found = [polled.poll()[0] for _ in range(READS_PER_MINUTE - 3)]
    assert found == [200] * (READS_PER_MINUTE - 4) + [429]
