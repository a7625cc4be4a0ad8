"""The calls that list workers and show changes, on real jobs."""

import json
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from orchestrator.api.client import OrchestratorClient
from orchestrator.api.serializers import job as job_serializer
from orchestrator.schemas.requests.query_parameters import JobQuery
from tests.integration.conftest import MakeSite
from tests.integration.site import HOLD, KEY, Answer, InProcess, shell, until
from tests.support.project import Project, agents, edit

FILES = {"README.md": "hello\n", "src/app.py": "one\ntwo\nthree\n"}

Made = tuple[InProcess, Project, str]


@pytest.fixture
def conflicting(make_site: MakeSite, tmp_path: Path) -> Made:
    """A job of three workers, two of which changed the same line."""
    project = Project(tmp_path / "project").begin(FILES)
    site = make_site(orchestrator={"project_root": str(project.path)}, agents=agents(tmp_path))
    tasks = [
        edit("sed -i 's/two/2/' src/app.py", id="first", title="Number"),
        edit("sed -i 's/two/zwei/' src/app.py", id="second"),
        edit("echo third > third.txt", id="third", depends_on=["first"]),
    ]
    ended = site.run("change the same line", tasks, resolve="off", labels={"team": "red"})
    return site, project, str(ended["job_id"])


def test_a_report_of_a_running_job_does_not_exist_yet(site: InProcess, tmp_path: Path) -> None:
    job = site.submit("x", [shell(f"RELEASE={tmp_path}/release; {HOLD}")])

    answer = site.call("GET", f"/jobs/{job}/reports/FINAL_RESULT.md")

    assert answer.status_code == 404
    assert answer.json()["detail"].endswith(f" wait {job}")
    (tmp_path / "release").touch()
    site.wait(job)
    assert site.call("GET", f"/jobs/{job}/reports/FINAL_RESULT.md").status_code == 200


def test_everything_about_a_job_with_a_conflict_can_be_read(conflicting: Made) -> None:
    site, project, job = conflicting
    check_columns(site.get(f"/jobs/{job}/columns"), site, job)
    check_workers(site.get(f"/jobs/{job}/workers?order=attention"), job)
    check_one_worker(site.get(f"/jobs/{job}/workers/worker_1"), job)
    check_list(site, job)
    check_diffs(site, project, job)
    check_unknown_names(site, job)
    check_versions(site, job)


def test_a_conflict_of_large_files_names_the_command_that_shows_a_version(
    make_site: MakeSite, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").begin({"big.txt": "x\n" * 600_000})
    site = make_site(orchestrator={"project_root": str(project.path)}, agents=agents(tmp_path))
    tasks = [edit("sed -i '1s/x/a/' big.txt"), edit("sed -i '1s/x/b/' big.txt")]
    job = site.run("change the same line", tasks, resolve="off")["job_id"]

    refused = site.call("GET", f"/jobs/{job}/conflicts/worker_2?path=big.txt")

    assert (refused.status_code, refused.json()["links"]) == (413, {})
    detail, _, blob = refused.json()["detail"].rpartition(" ")
    assert detail == (
        "big.txt: a version in conflict has more than 1,048,576 bytes, too many to show; read it "
        "with git: git cat-file blob"
    )
    assert project.git("cat-file", "blob", blob).startswith("x\nx\n")


def check_columns(found: Answer, site: InProcess, job: str) -> None:
    assert (found["n"], found["worker"]) == (3, None)
    assert found["task"] == ["first", "second", "third"]
    assert found["title"][0] == "Number"
    assert found["deps"] == [0, 0, [0]]
    assert found["chain"] == [0, 2]
    assert found["statuses"] == ["success"]
    events = site.call("GET", f"/jobs/{job}/events?fields=brief").text
    assert f"id: {found['seq']}\n" in events


def check_workers(found: Answer, job: str) -> None:
    assert (found["total"], found["page"]) == (3, 1)
    first = found["workers"][0]
    assert (first["job_id"], first["status"], first["title"]) == (job, "success", "Number")
    assert first["files"] == 1
    assert first["seconds"] > 0


def check_unknown_names(site: InProcess, job: str) -> None:
    unknown = site.call("GET", f"/jobs/{job}/workers?agent=nope")
    assert unknown.status_code == 422
    assert "unknown agent 'nope'; known: " in unknown.json()["detail"]
    assert "shell" in unknown.json()["detail"]
    # The agent is configured, although no worker has it.
    assert site.get(f"/jobs/{job}/workers?agent=claude")["total"] == 0
    for query in ("worker=nope", "worker=worker_1&against=nope"):
        missing = site.call("GET", f"/jobs/{job}/diff?{query}")
        assert missing.status_code == 404
        named = "has no worker 'nope'; its workers: worker_1, worker_2, worker_3"
        assert named in missing.json()["detail"]


def check_one_worker(found: Answer, job: str) -> None:
    assert (found["worker_id"], found["title"]) == ("worker_1", "Number")
    assert found["can"] == ["feedback", "rollback", "recount"]
    assert [each["number"] for each in found["attempts"]] == [1]
    assert found["log_url"] == f"/api/v1/jobs/{job}/logs/worker_1"


def check_list(site: InProcess, job: str) -> None:
    [card] = site.get("/jobs?q=SAME&label=team:red&needs=conflict&status=partial")["jobs"]
    assert (card["job_id"], card["counts"]["success"], card["counts"]["failed"]) == (job, 3, 0)
    [need] = card["needs"]
    assert (need["kind"], need["worker_id"]) == ("conflict", "worker_2")
    assert site.get("/needs")["needs"] == card["needs"]
    assert site.get("/jobs?needs=asked")["jobs"] == []


def check_diffs(site: InProcess, project: Project, job: str) -> None:
    whole = site.get(f"/jobs/{job}/diff")
    assert whole["commit"] == project.git("rev-parse", f"orchestrator/{job}/result")
    assert [file["path"] for file in whole["files"]] == ["src/app.py", "third.txt"]
    own = site.get(f"/jobs/{job}/diff?worker=worker_2&context=0")
    [hunk] = own["files"][0]["hunks"]
    assert hunk["lines"] == ["-two", "+zwei"]
    other = site.get(f"/jobs/{job}/diff?worker=worker_2&against=worker_1&path=src/app.py")
    assert other["files"][0]["hunks"][0]["lines"][1:3] == ["-2", "+zwei"]
    assert site.get(f"/jobs/{job}/diff?worker=worker_3&against=result&stat=1")["files"] == []
    patch = site.call("GET", f"/jobs/{job}/diff", headers={"Accept": "text/x-diff"})
    assert patch.headers["Content-Type"].startswith("text/x-diff")
    assert patch.text.startswith("diff --git a/src/app.py b/src/app.py\n")


def check_versions(site: InProcess, job: str) -> None:
    found = site.get(f"/jobs/{job}/conflicts/worker_2?path=src/app.py")
    assert (found["ours"], found["theirs"]) == ("one\n2\nthree\n", "one\nzwei\nthree\n")
    assert "<<<<<<< result\n2\n" in found["merged"]
    assert found["state"] == "unresolved"
    missing = site.call("GET", f"/jobs/{job}/conflicts/worker_2?path=nothing")
    assert missing.status_code == 404
    assert "src/app.py" in missing.json()["detail"]


def test_a_log_is_read_in_parts(site: InProcess) -> None:
    job = site.run("count", [shell("seq -f 'line %g' 1 100")])["job_id"]
    path = f"/jobs/{job}/logs/worker_1"

    part = site.call("GET", f"{path}?from=5&limit=7")
    assert (part.status_code, part.text) == (206, "1\nline ")
    size = int(part.headers["Content-Range"].removeprefix("bytes 5-11/"))
    end = site.call("GET", f"{path}?from=-9")
    assert (end.text, end.headers["Content-Range"]) == (
        "line 100\n",
        f"bytes {size - 9}-{size - 1}/{size}",
    )
    beyond = site.call("GET", f"{path}?from={size}")
    assert (beyond.status_code, beyond.text) == (200, "")
    assert beyond.headers["Content-Range"] == f"bytes */{size}"
    assert site.get(f"{path}?q=LINE 9") == {
        "lines": [9, *range(90, 100)],
        "total": 11,
    }
    assert site.call("GET", f"{path}?lines=2-3").text == "line 2\nline 3\n"


def test_usage_prompts_and_transcripts_can_be_read(site: InProcess) -> None:
    job = site.run("do", [shell("true"), shell("false")], labels={"team": "red"})["job_id"]

    [row] = site.get("/usage?by=label:team")["rows"]
    assert (row["key"], row["workers"], row["succeeded"]) == ("red", 2, 1)
    [row] = site.get("/usage?by=day")["rows"]
    assert row["at"].startswith(row["key"])
    for part in ("prompt", "transcript"):
        assert site.call("GET", f"/jobs/{job}/workers/worker_1/{part}").status_code == 404
    refusal = site.call("GET", f"/jobs/{job}/workers/worker_1/prompt").json()["detail"]
    assert refusal == "worker_1 has no prompt: it has not started, or its agent gets no prompt"


def test_a_status_can_have_only_what_changed(site: InProcess, tmp_path: Path) -> None:
    release = tmp_path / "go"
    hold = f'until [ -e "{release}" ]; do sleep 0.02; done'
    job = site.submit("two", [shell("true", id="quick"), shell(hold, id="slow")])
    path = f"/jobs/{job}/status"

    def ended() -> Answer | None:
        found = site.get(path)
        return found if found.get("results") else None

    first: Answer = until(ended, "the first worker has ended")
    quick, slow = first["results"]["tasks"]
    assert (quick["status"], slow["status"]) == ("success", "running")
    assert site.get(f"{path}?tasks=none")["results"]["tasks"] == []
    assert without_left(site.get(path)) == without_left(first)
    release.touch()
    last = site.wait(job)
    changed = site.get(f"{path}?tasks=changed&since_seq={first['seq']}")
    assert [row["worker_id"] for row in changed["results"]["tasks"]] == ["worker_2"]
    assert changed["results"]["tasks"][0] == last["results"]["tasks"][1]
    again = site.get(f"{path}?tasks=changed&since_seq={changed['seq']}")
    assert again["results"]["tasks"] == []
    assert site.get(path)["results"] == last["results"]


def test_rows_of_child_jobs_are_in_the_status_of_their_parent(site: InProcess) -> None:
    spawn = "orchestrator spawn part --wait --tasks tasks.json"
    tasks = json.dumps([shell("echo below")])
    job = site.run("above", [shell(f"echo '{tasks}' > tasks.json; {spawn}")])["job_id"]

    [row] = site.status(job)["results"]["tasks"]

    assert row["status"] == "recursive_success"
    assert [each["worker_id"] for each in row["child_results"]] == ["worker_1_1"]
    assert row["child_results"][0]["output"] == "below"


def test_a_job_can_be_read_by_page(site: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [shell("true", id=f"t{number}") for number in range(5)]
    job = site.run("many", tasks)["job_id"]
    whole = site.get(f"/jobs/{job}")

    page = site.get(f"/jobs/{job}?page=2&page_size=2")

    assert "total_workers" not in whole
    assert (page["page"], page["page_size"], page["total_workers"]) == (2, 2, 5)
    assert page["workers"] == whole["workers"][2:4]
    assert page["tasks"] == whole["tasks"][2:4]
    assert page["usage"] == whole["usage"]
    monkeypatch.setattr(job_serializer, "MOST_WORKERS_PER_ANSWER", 4)
    assert site.get(f"/jobs/{job}")["total_workers"] == 5
    assert site.get(f"/jobs/{job}?page=9")["workers"] == []
    monkeypatch.setattr(JobQuery.model_fields["page_size"], "default", 2)
    JobQuery.model_rebuild(force=True)
    with OrchestratorClient(site.url, KEY) as client:
        found = client.job(job)
    monkeypatch.undo()
    JobQuery.model_rebuild(force=True)
    assert (found["workers"], found["tasks"]) == (whole["workers"], whole["tasks"])


def test_one_stream_has_the_events_of_all_jobs(site: InProcess) -> None:
    with Watching(site) as watching:
        job = site.run("do", [shell("true"), shell("false")])["job_id"]
        until(lambda: "job_ended" in watching.kinds(job), "the end was streamed")
        until(lambda: watching.counts(job).get("failed") == 1, "figures were streamed")
        assert watching.kinds(job)[0] == "job_submitted"
        assert watching.counts(job)["success"] == 1
        waits = site.submit("plan", [shell("true")], approve=True)
        until(lambda: watching.needs(waits) == ["approval"], "the need was streamed")
        site.call("POST", f"/jobs/{waits}/approve", {})
        until(lambda: watching.needs(waits) == [], "the end of the need was streamed")
        last = watching.events[-1]

    with Watching(site, last["id"]) as resumed:
        again = site.run("again", [shell("true")])["job_id"]
        until(lambda: "job_ended" in resumed.kinds(again), "the rest was streamed")
    with Watching(site, "5") as unknown:
        until(lambda: unknown.events, "something was streamed")
        assert unknown.events[0]["event"] == "reset"


class Watching:
    """Reads the stream of all jobs in a background thread."""

    def __init__(self, site: InProcess, last: str = "") -> None:
        headers = {"X-API-Key": KEY, **({"Last-Event-ID": last} if last else {})}
        url = f"{site.url}/api/v1/events"
        self._response = requests.get(url, headers=headers, stream=True, timeout=60)
        assert self._response.status_code == 200
        self._lines = self._response.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(self._lines).startswith("retry")
        self.events: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Watching":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # While the thread reads, ``close`` would wait up to 15 s for the next heartbeat.
        with socket.socket(fileno=os.dup(self._response.raw.fileno())) as connection:
            connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)
        self._response.close()

    def _read(self) -> None:
        event: dict[str, Any] = {}
        with suppress(Exception):  # it is closed while it reads
            for line in self._lines:
                name, _, value = line.partition(": ")
                event[name] = json.loads(value) if name == "data" else value
                if name == "data":
                    self.events.append(event)
                    event = {}

    def of(self, job: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["data"].get("job_id") == job]

    def kinds(self, job: str) -> list[str]:
        return [event["event"] for event in self.of(job)]

    def counts(self, job: str) -> dict[str, int]:
        found = [
            event["data"]["tree_counts"] for event in self.of(job) if event["event"] == "usage"
        ]
        return dict(found[-1]) if found else {}

    def needs(self, job: str) -> list[str] | None:
        found = [event["data"]["needs"] for event in self.of(job) if event["event"] == "needs"]
        return [need["kind"] for need in found[-1]] if found else None


WRONG = [
    ("/usage?by=color", 422, "known: agent, model, day, job, label:NAME"),
    ("/usage?by=label", 422, "label:NAME"),
    ("/jobs/{job}/logs/worker_1?q=x&tail=3", 422, "cannot be combined"),
    ("/jobs/{job}/logs/worker_1?limit=5", 422, "limit needs from or lines"),
    ("/jobs/{job}/logs/worker_1?lines=3", 422, "/lines"),
    ("/jobs/{job}/logs/worker_1?lines=9-3", 422, "write 3-9"),
    ("/jobs/{job}/workers?status=done", 422, "must be 'pending', 'running'"),
    ("/jobs/{job}/workers?order=name", 422, "must be 'index', 'seconds', 'cost'"),
    ("/jobs/{job}/workers?page_size=501", 422, "at most 500"),
    ("/jobs?needs=money", 422, "must be 'approval', 'conflict'"),
    ("/jobs?label=team", 422, "/label"),
    ("/jobs?since=yesterday", 422, "/since: must be a time with a time zone, such as 2026-01-"),
    ("/jobs?since=2026-01-31", 422, "/since: must be a time with a time zone"),
    ("/usage?until=2026-01-31T12:00", 422, "/until: must be a time with a time zone"),
    ("/jobs/{job}/workers/worker_9", 404, "no worker 'worker_9'"),
    ("/jobs/{job}/diff", 409, "does not use git"),
    ("/jobs/{job}/diff?context=-1", 422, "/context"),
    ("/jobs/{job}/diff?path=%00", 422, "/path: must not contain a NUL character"),
    ("/jobs/{job}/diff?path=/etc/passwd", 422, "/path: must be a path relative to the root"),
    ("/jobs/{job}/diff?path=src/../../a", 422, "/path: must be a path relative to the root"),
    ("/jobs?q=a%00", 422, "/q: must not contain a NUL character"),
    ("/jobs?label=a:%00", 422, "/label: must not contain a NUL character"),
    ("/jobs/{job}/conflicts/worker_1?path=x", 409, "does not use git"),
    ("/jobs/none/columns", 404, "no job"),
]


def test_wrong_requests_are_rejected_with_what_is_right(site: InProcess) -> None:
    job = site.run("do", [shell("true")], git="off")["job_id"]

    for path, status, detail in WRONG:
        response = site.call("GET", path.format(job=job))
        assert response.status_code == status, (path, response.text)
        assert detail in response.json()["detail"], path
    assert site.call("GET", f"/jobs/{job}/diff").json()["type"] == "no-repository"
    beyond = site.get(f"/jobs/{job}/workers?page=99")
    assert (beyond["workers"], beyond["total"]) == ([], 1)


def test_a_worker_reads_its_own_tree_and_no_needs(site: InProcess, tmp_path: Path) -> None:
    release = tmp_path / "go"
    hold = f'printenv ORCHESTRATOR_API_KEY > key; until [ -e "{release}" ]; do sleep 0.02; done'
    job = site.submit("hold", [shell(hold)])
    key = site.key_of(job)

    try:
        assert site.call("GET", "/needs", key=key).status_code == 403
        assert site.call("GET", f"/jobs/{job}/columns", key=key).status_code == 404
        assert site.get("/jobs", key=key)["jobs"] == []
    finally:
        release.touch()
    site.wait(job)


def test_large_answers_are_compressed_for_callers_that_accept_it(site: InProcess) -> None:
    job = site.run("many", [shell("true") for _ in range(20)])["job_id"]

    plain = site.call("GET", f"/jobs/{job}/status", headers={"Accept-Encoding": "identity"})
    packed = site.call("GET", f"/jobs/{job}/status", headers={"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 3
    assert without_left(packed.json()) == without_left(plain.json())
    again = {"If-None-Match": packed.headers["ETag"]}
    assert site.call("GET", f"/jobs/{job}/status", headers=again).status_code == 304


def without_left(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that only changes of workers change, because other events raise seq."""
    changing = ("left", "remaining", "seq")
    return {name: value for name, value in answer.items() if name not in changing}
