"""Later attempts of a worker resume its session. A stand-in with sessions replaces the tool."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.output.status_lines import status_lines
from orchestrator.core.errors import ContainmentUnavailable
from tests.integration.agents.conftest import KEY
from tests.integration.conftest import MakeServer, MakeSite
from tests.integration.site import Answer, InProcess, complete_lines, until
from tests.integration.site import Site as AnySite
from tests.support.examples import nightly
from tests.support.project import Project

TOOL = Path(__file__).with_name("session_tool.py")
TASK = "Paint the house, all four sides of it."
MakeHost = Callable[..., InProcess]


@pytest.fixture
def make_host(make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeHost:
    """Create a site where ``claude`` is the stand-in, in a project that is a repository."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)

    def make(**workers: Any) -> InProcess:
        project = Project(tmp_path / "project").begin({"a.txt": "one\n"})
        root = {
            "project_root": str(project.path),
            "claude_command": shlex.join([sys.executable, str(TOOL)]),
        }
        return make_site(orchestrator=root, workers=workers)

    return make


@pytest.fixture
def site(make_host: MakeHost) -> InProcess:
    return make_host()


def task(runs: str, **more: Any) -> Answer:
    return {"agent": "claude", "prompt": TASK, "env": {"SESSION_TOOL": runs}, **more}


def runs_of(site: AnySite, job_id: str, worker: str = "worker_1") -> list[Answer]:
    path = site.directory(job_id) / "depth_0" / worker / "runs.jsonl"
    return [json.loads(line) for line in complete_lines(path)]


def worker_of(site: InProcess, job_id: str, index: int = 0) -> Answer:
    return dict(site.get(f"/jobs/{job_id}")["workers"][index])


def sessions_of(worker: Mapping[str, Any]) -> list[tuple[str, bool]]:
    found = [each["session"] for each in worker["attempts"]]
    return [(each["id"], each["resumed"]) for each in found]


def gate(path: str) -> Answer:
    return {"name": "painted", "run": f"test -f {path} || {{ echo no {path} here; exit 1; }}"}


def test_a_refused_gate_resumes_with_the_finding_and_what_is_committed(site: InProcess) -> None:
    runs = "writes=first.txt:1 answers|writes=second.txt:2 answers"
    ended = site.run("x", [task(runs, retries=1, gates=[gate("second.txt")], title="Paint")])

    job_id = ended["job_id"]
    worker = worker_of(site, job_id)
    assert worker["status"] == "success", worker["reason"]
    [first, second] = runs_of(site, job_id)
    assert second["resumed"] == first["session"]
    assert sessions_of(worker) == [(first["session"], False), (first["session"], True)]
    prompt = second["prompt"]
    assert "no second.txt here" in prompt
    assert " Paint\n" in prompt and "first.txt | 1 +" in prompt
    assert TASK in first["prompt"] and TASK not in prompt
    assert len(prompt) < len(first["prompt"]) / 2
    assert f"resumed session {first['session']}" in site.log(job_id, "worker_1")
    [row] = ended["results"]["tasks"]
    assert row["session"] == {"id": first["session"], "attempt": 2, "resumed": True}
    stored = json.loads((site.directory(job_id) / "status.json").read_text())
    assert stored["results"]["tasks"][0]["session"] == row["session"]
    note = f"attempt 2: resumed session {first['session']}"
    assert note in "\n".join(each.strip() for each in status_lines(ended, 100))
    report = (site.directory(job_id) / "depth_0" / "LEVEL_0_REPORT.md").read_text()
    assert f"worker_1, attempt 2: resumed session {first['session']}." in report
    # The tool reports the totals of the whole session.
    assert worker["usage"]["input_tokens"] == 200
    assert worker["usage"]["cost_usd"] == pytest.approx(1.0)


@pytest.mark.nightly
def test_without_resuming_the_whole_prompt_names_what_is_committed(make_host: MakeHost) -> None:
    site = make_host(resume_sessions=False)
    runs = "writes=first.txt:1 answers|writes=second.txt:2 answers"
    ended = site.run("x", [task(runs, retries=1, gates=[gate("second.txt")], title="Paint")])

    [first, second] = runs_of(site, ended["job_id"])
    assert (second["resumed"], first["session"] == second["session"]) == ("", False)
    assert TASK in second["prompt"]
    assert " Paint\n" in second["prompt"] and "first.txt | 1 +" in second["prompt"]
    assert "What is already committed" not in first["prompt"]


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("writes=a.txt:2 words dies", "the process was killed"),
        *nightly(("writes=a.txt:2 words fails=500", "the model's service failed")),
    ],
)
def test_an_interruption_resumes_with_a_short_prompt(
    site: InProcess, first: str, words: str
) -> None:
    ended = site.run("x", [task(f"{first}|answers", retries=1)])

    assert worker_of(site, ended["job_id"])["status"] == "success"
    [before, after] = runs_of(site, ended["job_id"])
    assert after["resumed"] == before["session"]
    assert words in after["prompt"] and "## Your task" not in after["prompt"]


@pytest.mark.nightly
def test_a_stall_resumes(make_host: MakeHost) -> None:
    site = make_host(stall_seconds=0.5)
    ended = site.run("x", [task("writes=a.txt:2 words hangs|answers", retries=1)])

    [before, after] = runs_of(site, ended["job_id"])
    assert after["resumed"] == before["session"]
    assert worker_of(site, ended["job_id"])["status"] == "success"


@pytest.mark.nightly
def test_a_question_resumes_with_the_answer_that_there_is_none(site: InProcess) -> None:
    ended = site.run("x", [task("words asks|writes=a.txt:2 answers", retries=1, writes=["a.txt"])])

    [before, after] = runs_of(site, ended["job_id"])
    assert after["resumed"] == before["session"]
    assert "No person will answer" in after["prompt"]


@pytest.mark.nightly
def test_a_killed_driver_leaves_the_session_to_the_next_attempt(site: InProcess) -> None:
    job_id = site.submit("x", [task("writes=a.txt:2 words hangs|answers", retries=1)])
    until(lambda: bool(runs_of(site, job_id)), "the tool is at work")
    log = site.directory(job_id) / "logs" / "depth_0_worker_1.log"
    until(lambda: "I begin" in log.read_text(), "its model has answered")
    os.kill(runs_of(site, job_id)[0]["parent"], signal.SIGKILL)
    site.wait(job_id)

    [before, after] = runs_of(site, job_id)
    assert after["resumed"] == before["session"]
    assert worker_of(site, job_id)["status"] == "success"


def test_a_crash_of_server_and_tool_resumes(
    make_server: MakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    project = Project(tmp_path / "project").begin({"a.txt": "one\n"})
    command = {"claude_command": shlex.join([sys.executable, str(TOOL)])}
    server = make_server(orchestrator={"project_root": str(project.path), **command})
    job_id = server.submit("x", [task("writes=a.txt:2 words hangs|answers", retries=1)])
    log = server.directory(job_id) / "logs" / "depth_0_worker_1.log"
    until(lambda: log.exists() and "I begin" in log.read_text(), "its model has answered", 60)
    [first] = runs_of(server, job_id)
    server.kill()
    os.kill(first["parent"], signal.SIGKILL)
    # The shim ends the driver's leftover processes, possibly before this line.
    with suppress(ProcessLookupError):
        os.kill(first["pid"], signal.SIGKILL)
    server.start()
    ended = server.wait(job_id)

    assert ended["status"] == "completed"
    [_, second] = runs_of(server, job_id)
    assert second["resumed"] == first["session"]
    # The second attempt changes nothing: the changes are the first attempt's uncommitted work.
    assert project.show(f"orchestrator/{job_id}/result", "a.txt") == "2"


@pytest.mark.nightly
def test_a_missing_session_costs_no_retry(site: InProcess) -> None:
    runs = "writes=first.txt:1 answers forgets|never|writes=second.txt:2 answers"
    ended = site.run("x", [task(runs, retries=1, gates=[gate("second.txt")])])

    job_id = ended["job_id"]
    worker = worker_of(site, job_id)
    [first, lost, second] = runs_of(site, job_id)
    assert worker["status"] == "success", worker["reason"]
    assert (lost["resumed"], lost["known"]) == (first["session"], False)
    assert (second["resumed"], TASK in second["prompt"]) == ("", True)
    assert sessions_of(worker) == [(first["session"], False), (second["session"], False)]
    assert "starting a new session" in site.log(job_id, "worker_1")


def test_a_session_that_its_service_rejects_is_abandoned_at_once(site: InProcess) -> None:
    """For example, the service may reject the session's history every time."""
    runs = "writes=first.txt:1 answers|fails=400|writes=second.txt:2 answers"
    ended = site.run("x", [task(runs, retries=1, gates=[gate("second.txt")])])

    worker = worker_of(site, ended["job_id"])
    assert worker["status"] == "success", worker["reason"]
    assert [each["resumed"] != "" for each in runs_of(site, ended["job_id"])] == [
        False,
        True,
        False,
    ]


@pytest.mark.nightly
def test_a_service_that_is_down_costs_no_session(site: InProcess) -> None:
    """The new session has the same failure as the resumed session. The third attempt resumes."""
    runs = "writes=first.txt:1 words dies|fails=500|fails=500|answers"
    ended = site.run("x", [task(runs, retries=3)])

    found = runs_of(site, ended["job_id"])
    first = found[0]["session"]
    assert [each["resumed"] for each in found] == ["", first, "", first]
    assert worker_of(site, ended["job_id"])["status"] == "success"


@pytest.mark.nightly
def test_a_rollback_begins_a_new_session(site: InProcess) -> None:
    runs = "writes=first.txt:1 answers|writes=second.txt:2 answers"
    ended = site.run("x", [task(runs, retries=0, gates=[gate("second.txt")])])
    job_id = ended["job_id"]
    site.call("POST", f"/jobs/{job_id}/workers/worker_1/rollback", {"checkpoint": "start"})
    site.call("POST", f"/jobs/{job_id}/retry", {})
    site.wait(job_id)

    [_, second] = runs_of(site, job_id)
    assert (second["resumed"], TASK in second["prompt"]) == ("", True)


@pytest.mark.nightly
def test_a_retry_by_a_person_resumes(site: InProcess) -> None:
    runs = "writes=first.txt:1 answers|writes=second.txt:2 answers"
    ended = site.run("x", [task(runs, retries=0, gates=[gate("second.txt")])])
    job_id = ended["job_id"]
    site.call("POST", f"/jobs/{job_id}/retry", {})
    site.wait(job_id)

    [first, second] = runs_of(site, job_id)
    assert second["resumed"] == first["session"]


def test_a_conflict_resumes_with_both_sides(site: InProcess) -> None:
    tasks = [
        task("writes=a.txt:left answers", id="left"),
        task("writes=a.txt:right answers|writes=a.txt:both answers", id="right"),
    ]
    ended = site.run("x", tasks, max_retries=1)

    job_id = ended["job_id"]
    both = [runs_of(site, job_id, name) for name in ("worker_1", "worker_2")]
    [resolved] = [found for found in both if len(found) == 2]
    [before, after] = resolved
    assert after["resumed"] == before["session"]
    assert "a.txt" in after["prompt"] and "<<<<<<<" in after["prompt"]
    assert "left" in after["prompt"] and "right" in after["prompt"]
    assert "## Your task" not in after["prompt"]


def test_sessions_lie_with_the_job_and_hold_no_key(site: InProcess) -> None:
    ended = site.run("x", [task("writes=a.txt:2 answers")])

    store = site.directory(ended["job_id"]) / "attempts" / "worker_1.sessions"
    files = [path for path in store.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert store.stat().st_mode & 0o777 == 0o700
    assert KEY not in files[0].read_text()


def test_a_sandbox_lets_a_tool_keep_its_session(make_host: MakeHost) -> None:
    try:
        # The sandbox hides a repository below /tmp.
        site = make_host(containment="sandbox", sandbox={"writable": [str(TOOL.parent)]})
    except ContainmentUnavailable as error:
        pytest.skip(f"no sandbox here: {error}")
    runs = "writes=first.txt:1 answers|writes=second.txt:2 answers"
    ended = site.run("x", [task(runs, retries=1, gates=[gate("second.txt")])])

    [first, second] = runs_of(site, ended["job_id"])
    assert second["resumed"] == first["session"] and second["known"]
