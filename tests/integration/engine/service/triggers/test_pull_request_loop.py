"""A label on an issue starts a job; a review or failed check of its pull request is feedback."""

import hashlib
import hmac
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.conftest import MakeServer
from tests.integration.engine.service.reruns.reviewed import WRITER
from tests.integration.site import ServerProcess, until
from tests.support.project import Project

SECRET = "the-secret-of-the-webhook"
FIXTURES = Path(__file__).parents[4] / "fixtures" / "github"
ISSUES = {
    "verify": "github",
    "secret": SECRET,
    "when": {"event": "issues", "$.action": "labeled", "$.label.name": "agent"},
    "request": "Write the answer in the file answer.txt\nIssue: {{title}}\n{{body}}",
    "params": {"title": "$.issue.title", "body": "$.issue.body"},
    "config": {"agent": "writer"},
    "labels": {"issue": "{{title}}"},
    "pull_request": True,
}
#: A stand-in for GitHub's program. A created pull request is open.
GH = """#!/bin/sh
echo "$1 $2" >> {calls}
case $2 in
  list) [ -e {calls}.open ] && cat {calls}.open || true ;;
  create) cat > /dev/null; echo https://example.org/pull/9 | tee {calls}.open ;;
esac
"""
REVIEWS = {"verify": "github", "secret": SECRET, "action": "feedback", "settle_seconds": 1}


def deliver(
    server: ServerProcess, trigger: str, name: str, id: str, **values: str
) -> tuple[int, dict[str, Any]]:
    """Send a payload as GitHub does."""
    text = (FIXTURES / f"{name}.json").read_text()
    for old, new in values.items():
        text = text.replace(old, new)
    body = text.encode()
    signed = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    answer = requests.post(
        f"{server.url}/api/v1/triggers/{trigger}",
        data=body,
        headers={
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/044aadd",
            "X-GitHub-Delivery": id,
            "X-GitHub-Event": name.partition(".")[0],
            "X-Hub-Signature-256": f"sha256={signed}",
        },
        timeout=60,
    )
    return answer.status_code, answer.json()


def test_an_issue_becomes_a_job_and_its_review_becomes_an_attempt(
    make_server: MakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "project").begin({"README.md": "one\n"})
    remote, calls = tmp_path / "remote.git", tmp_path / "calls"
    project.git("init", "-q", "--bare", str(remote))
    project.git("remote", "add", "origin", str(remote))
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gh").write_text(GH.format(calls=calls))
    (programs / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def pushed(job: str) -> str:
        return project.git(
            "-C",
            str(remote),
            "for-each-ref",
            "--format=%(objectname)",
            f"refs/heads/orchestrator/{job}/result",
        )

    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    server = make_server(
        orchestrator={"project_root": str(project.path)},
        agents={"writer": {"command": [sys.executable, str(script)]}},
        triggers={"issues": ISSUES, "reviews": REVIEWS},
    )

    status, answer = deliver(server, "issues", "issues.labeled", "d-1")
    assert (status, answer["status"]) == (202, "accepted"), answer
    job = answer["job_id"]
    assert deliver(server, "issues", "issues.labeled", "d-1")[1]["status"] == "duplicate"
    ended = server.wait(job)
    assert ended["status"] == "completed", ended
    found = server.get(f"/jobs/{job}")
    assert found["submitted_by"] == "trigger:issues"
    assert not Path("/tmp/owned").exists()

    # The trigger's pull_request pushes the result under this name, and opens a pull request.
    head = project.git("rev-parse", f"orchestrator/{job}/result")
    until(lambda: pushed(job) == head, "the result is pushed")
    until(lambda: (tmp_path / "calls.open").exists(), "the pull request is open")
    pull = {"HEAD_BRANCH": f"orchestrator/{job}/result", "HEAD_COMMIT": head}
    pull |= {
        "made.txt": "answer.txt",
        '"line": 1': '"line": 2',
        "Say who it was made for.": "use 42",
    }
    events = ("pull_request_review_comment.created", "pull_request_review.submitted")
    for number, name in enumerate((*events, "check_run.completed")):
        status, answer = deliver(server, "reviews", name, f"e-{number}", **pull)
        assert (status, answer["status"], answer["job_id"]) == (202, "queued", job), answer
    assert deliver(server, "reviews", events[0], "e-0", **pull)[1]["status"] == "duplicate"
    other = {**pull, "HEAD_BRANCH": "feature"}
    assert deliver(server, "reviews", events[0], "e-9", **other)[1]["status"] == "ignored"
    stranger = {**pull, '"author_association": "OWNER"': '"author_association": "NONE"'}
    refused = deliver(server, "reviews", events[0], "e-8", **stranger)[1]
    assert (refused["status"], "must be owner" in refused["reason"]) == ("ignored", True)

    until(lambda: server.get(f"/jobs/{job}")["run"] == 2, "the events begin an attempt")
    assert server.wait(job)["status"] == "completed"
    [worker] = server.get(f"/jobs/{job}")["workers"]
    [round] = worker["feedback"]
    assert (round["attempt"], round["answered_by"]) == (2, 2), "all events start one attempt"
    answer = project.show(f"orchestrator/{job}/result", "answer.txt")
    assert answer == "# made by attempt 2\nanswer = 42\nend = 1"
    prompt = (server.directory(job) / "depth_0/worker_1/seen-2.md").read_text()
    assert "`answer.txt`, line 2" in prompt and "answer = 41" in prompt
    assert "@Codertocat requests changes:" in prompt
    assert "The check unit tests failed (failure)" in prompt
    assert not any((server.workspace / ".events" / "sending" / job).iterdir())
    assert SECRET not in server.output() + (server.folder / "logs" / "audit.jsonl").read_text()

    second = project.git("rev-parse", f"orchestrator/{job}/result")
    until(lambda: pushed(job) == second, "the pull request is updated")
    until(lambda: calls.read_text().count("pr list") == 2, "the pull request is found")
    assert calls.read_text().count("pr create") == 1
    assert "pull request of job" in (server.folder / "logs" / "orchestrator.log").read_text()


@pytest.mark.nightly
def test_a_server_that_is_killed_loses_no_event_and_repeats_none(
    make_server: MakeServer, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").begin({"README.md": "one\n"})
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    server = make_server(
        orchestrator={"project_root": str(project.path)},
        agents={"writer": {"command": [sys.executable, str(script)]}},
        triggers={
            "issues": {**ISSUES, "pull_request": False},
            "reviews": {**REVIEWS, "settle_seconds": 2},
        },
    )
    job = deliver(server, "issues", "issues.labeled", "d-1")[1]["job_id"]
    server.kill()
    server.start()
    again = deliver(server, "issues", "issues.labeled", "d-1")[1]
    assert (again["status"], again["job_id"]) == ("duplicate", job)
    assert server.wait(job)["status"] == "completed"

    head = project.git("rev-parse", f"orchestrator/{job}/result")
    pull = {"HEAD_BRANCH": f"orchestrator/{job}/result", "HEAD_COMMIT": head}
    for number in range(3):
        check = {**pull, "unit tests": f"check {number}"}
        assert deliver(server, "reviews", "check_run.completed", f"e-{number}", **check)[0] == 202
        server.kill()
        server.start()
        repeated = deliver(server, "reviews", "check_run.completed", f"e-{number}", **check)[1]
        assert repeated["status"] == "duplicate"
    until(lambda: server.get(f"/jobs/{job}")["run"] >= 2, "the events begin an attempt")

    def summaries() -> str:
        [worker] = server.get(f"/jobs/{job}")["workers"]
        return "".join(each["summary"] for each in worker["feedback"])

    until(lambda: "check 2" in summaries(), "all events are in the feedback")
    assert server.wait(job)["status"] == "completed"
    assert [summaries().count(f"The check check {n} failed") for n in range(3)] == [1, 1, 1]
