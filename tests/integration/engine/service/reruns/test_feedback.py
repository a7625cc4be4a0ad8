"""Comments on a worker's change start another attempt on its branch."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from tests.integration.conftest import MakeSite
from tests.integration.engine.service.reruns.reviewed import (
    comments,
    make_reviewed_site,
    prompt,
    tip,
    write,
)
from tests.integration.site import KEY, Answer, InProcess, shell, until
from tests.support.examples import nightly
from tests.support.project import Project


def _give(site: InProcess, job: str, body: Answer, worker: str = "worker_1", **more: Any) -> Any:
    return site.call("POST", f"/jobs/{job}/workers/{worker}/feedback", body, **more)


def _refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]


def _at(project: Project, job: str) -> str:
    return project.show(f"orchestrator/{job}/result", "answer.txt")


def test_a_comment_is_corrected_by_a_second_attempt_and_merged(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, project = make_reviewed_site(make_site, tmp_path)
    ended = site.run("x", [write()])
    job, first = ended["job_id"], tip(project, ended["job_id"])
    assert (ended["status"], ended["run"]) == ("completed", 1), ended

    response = _give(site, job, comments(first))

    assert response.status_code == 202, response.text
    answer = response.json()
    fields = {name: answer[name] for name in ("job_id", "worker_id", "attempt", "run", "landed")}
    assert fields == {
        "job_id": job,
        "worker_id": "worker_1",
        "attempt": 2,
        "run": 2,
        "landed": [],
    }
    again = site.wait(job)
    assert (again["status"], again["run"], again["reason"]) == ("completed", 2, "")
    assert _at(project, job) == "# made by attempt 2\nanswer = 42\nend = 1"
    assert first in project.git("rev-list", f"orchestrator/{job}/result").split()
    prompt_text = prompt(site, job, 2)
    for each in ("## Review comments", "`answer.txt`, line 2", "answer = 41", "use 42"):
        assert each in prompt_text
    [worker] = site.get(f"/jobs/{job}")["workers"]
    assert (worker["status"], len(worker["attempts"])) == ("success", 2)
    [round] = worker["feedback"]
    assert (round["commit"], round["attempt"], round["answered_by"]) == (first, 2, 2)
    assert round["comments"][0]["code"] == "answer = 41"


def test_comments_are_never_attached_to_other_code(make_site: MakeSite, tmp_path: Path) -> None:
    site, project = make_reviewed_site(make_site, tmp_path)
    job = site.run("x", [write()])["job_id"]
    first = tip(project, job)
    assert _give(site, job, comments(first[:8])).status_code == 202
    site.wait(job)

    late = _give(site, job, comments(first))

    assert _refused(late) == (409, "outdated")
    assert late.json()["commit"] == tip(project, job) != first
    assert site.status(job)["run"] == 2


@pytest.mark.usefixtures("spawning")
def test_a_worker_with_a_child_job_gets_comments_on_its_latest_commit(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, project = make_reviewed_site(make_site, tmp_path)
    task = write()
    job = site.run("x", [{**task, "prompt": f"{task['prompt']} and delegate a part"}])["job_id"]
    [worker] = site.get(f"/jobs/{job}")["workers"]
    # The merge added the child job's result to the branch.
    assert worker["commit"] != tip(project, job)

    response = _give(site, job, comments(worker["commit"]))

    assert response.status_code == 202, response.text
    assert site.wait(job)["status"] == "completed"
    assert _at(project, job) == "# made by attempt 2\nanswer = 42\nend = 1"
    assert project.show(f"orchestrator/{job}/result", "child.txt") == "c"
    [worker] = site.get(f"/jobs/{job}")["workers"]
    assert worker["feedback"][0]["answered_by"] == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"line": 9}, "has 3 lines"),
        ({"path": "none.txt"}, "has no text file 'none.txt'"),
        ({"text": " "}, "blank"),
        *nightly(
            ({"side": "old"}, "the worker's base commit has no text file"),
            ({"side": "left"}, "side"),
            ({"line": 3, "end_line": 2}, "end_line 2 is before line 3"),
        ),
    ],
)
def test_lines_that_are_not_there_are_refused_and_nothing_runs(
    made: tuple[InProcess, str, str], body: Answer, expected: str
) -> None:
    site, job, first = made
    content = comments(first)
    content["comments"] = [{**content["comments"][0], **body}]
    answer = _give(site, job, content)
    assert answer.status_code == 422, answer.text
    assert expected in answer.text
    assert site.status(job)["run"] == 1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An ended job of two tasks, which no test changes."""
    folder = tmp_path_factory.mktemp("made")
    found: list[InProcess] = []

    def make(**changes: Any) -> InProcess:
        found.append(InProcess(folder / "site", changes))
        return found[-1]

    site, project = make_reviewed_site(make, folder)
    job = site.run("x", [write(), shell("echo s", id="shell")])["job_id"]
    yield site, job, tip(project, job)
    site.stop()


def test_workers_without_a_change_reject_comments_with_a_command(
    made: tuple[InProcess, str, str],
) -> None:
    site, job, first = made
    no_branch = _give(site, job, comments(first), "worker_2")
    assert _refused(no_branch) == (409, "no-repository")
    no_retry = site.call("POST", f"/jobs/{job}/workers/worker_2/retry")
    for refused in (no_branch, no_retry):
        detail = refused.json()["detail"]
        assert detail.endswith('change as a new request: bin/orchestrator submit "..."')
    no_retry = site.call("POST", f"/jobs/{job}/workers/worker_1/retry")
    assert no_retry.json()["detail"].endswith(f": bin/orchestrator feedback {job} worker_1 --edit")
    assert _give(site, job, comments(first), "worker_9").status_code == 404
    assert _give(site, job, {"commit": first}).status_code == 422
    unknown = _give(site, job, comments(first, agent="nobody"))
    assert _refused(unknown) == (422, "unknown-agent")
    no_prompt = _give(site, job, comments(first, agent="shell"))
    assert no_prompt.status_code in (409, 422), no_prompt.text
    assert site.status(job)["run"] == 1


def test_a_repeated_call_begins_no_second_attempt(make_site: MakeSite, tmp_path: Path) -> None:
    site, project = make_reviewed_site(make_site, tmp_path)
    job = site.run("x", [write()])["job_id"]
    body, key = comments(tip(project, job)), {"Idempotency-Key": "once"}
    first = _give(site, job, body, headers=key)
    again = _give(site, job, body, headers=key)
    assert (first.status_code, again.status_code) == (202, 202), again.text
    assert (first.json()["duplicate"], again.json()["duplicate"]) == (False, True)
    site.wait(job)
    assert _give(site, job, body, headers=key).json()["attempt"] == 2
    other = _give(site, job, comments(body["commit"], "use 43"), headers=key)
    assert _refused(other) == (422, "idempotency-mismatch")
    [worker] = site.get(f"/jobs/{job}")["workers"]
    assert len(worker["attempts"]) == 2


def test_a_running_worker_gets_no_comments_and_its_key_sends_none(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, _ = make_reviewed_site(make_site, tmp_path)
    hold = "printenv ORCHESTRATOR_API_KEY > key; until [ -e go ]; do sleep 0.02; done"
    job = site.submit("x", [shell(hold)])
    key = site.key_of(job)
    body = comments("0" * 40)
    assert _refused(_give(site, job, body)) == (409, "running")
    assert _give(site, job, body, key=key).status_code in (403, 404)
    (site.directory(job) / "depth_0" / "worker_1" / "go").touch()
    site.wait(job)


def test_an_attempt_that_fails_leaves_the_branch_and_a_retry_continues(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, project = make_reviewed_site(make_site, tmp_path)
    job = site.run("x", [write()])["job_id"]
    first = tip(project, job)
    _give(site, job, comments(first, "use 42\nfail now"))
    failed = site.wait(job)
    assert failed["status"] == "failed"
    assert tip(project, job) == first
    site.call("POST", f"/jobs/{job}/workers/worker_1/retry")
    # It fails again, because the comment is still in its prompt.
    assert site.wait(job)["run"] == 3
    assert "use 42" in prompt(site, job, 3)
    taken = site.call("POST", f"/jobs/{job}/merge", {"include": ["worker_1"]})
    assert taken.status_code == 200, taken.text
    assert "answer = 41" in _at(project, job)


@pytest.mark.nightly
def test_the_reason_states_that_feedback_led_to_no_change(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, project = make_reviewed_site(make_site, tmp_path)
    job = site.run("x", [write()])["job_id"]
    _give(site, job, comments(tip(project, job), "leave it"))
    ended = site.wait(job)
    assert ended["status"] == "completed"
    [row] = ended["results"]["tasks"]
    assert row["reason"] == "the feedback led to no change"


@pytest.mark.nightly
def test_a_losing_candidate_that_is_corrected_may_win(make_site: MakeSite, tmp_path: Path) -> None:
    site, project = make_reviewed_site(make_site, tmp_path)
    gate = {"name": "is_42", "run": "grep -q 42 answer.txt", "required": False}
    task = write(agent=["writer", "other"], gates=[gate])
    job = site.run("x", [task])["job_id"]
    # The faster candidate is chosen.
    [loser] = {"worker_1", "worker_2"} - {site.get(f"/jobs/{job}")["tasks"][0]["chosen"]}
    _give(site, job, comments(tip(project, job, loser)), loser)
    site.wait(job)
    assert "answer = 42" in _at(project, job)
    assert site.get(f"/jobs/{job}")["tasks"][0]["chosen"] == loser


@pytest.mark.parametrize("how", [(), *nightly((("--squash",),))])
def test_a_result_that_has_landed_is_named_and_lands_again(
    make_site: MakeSite, tmp_path: Path, how: tuple[str, ...]
) -> None:
    site, project = make_reviewed_site(make_site, tmp_path)
    job = site.run("x", [write(), write("other.txt")])["job_id"]
    _run(site, "land", job, "--yes", *how)
    assert "answer = 41" in project.show("main", "answer.txt")

    answer = _give(site, job, comments(tip(project, job))).json()

    assert answer["landed"] == ["main"]
    ended = site.wait(job)
    assert "main has an earlier result" in ended["reason"]
    _run(site, "land", job, "--yes", *how)
    assert "answer = 42" in project.show("main", "answer.txt")
    assert "earlier result" not in site.status(job)["reason"]
    _run(site, "undo", job, "--yes")
    assert "main has an earlier result" in site.status(job)["reason"]


def _run(site: InProcess, *arguments: str) -> None:
    environ = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}
    code = execute(list(arguments), CliContext(folder=site.folder, environ=environ))
    assert code == 0, arguments


def test_the_command_line_sends_comments_and_controls_one_worker(
    make_site: MakeSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, project = make_reviewed_site(make_site, tmp_path)
    job = site.run("x", [write()])["job_id"]
    _run(site, "feedback", job, "worker_1", "--comment", "answer.txt:2:use 42", "-m", "Thanks.")
    output = capsys.readouterr().out
    assert "worker_1: attempt 2 gets 2 comments (run 2 of the job)" in output
    site.wait(job)
    assert "answer = 42" in _at(project, job)
    notes = tmp_path / "comments.md"
    notes.write_text("answer.txt:2: use 43\n")
    _run(site, "feedback", job, "worker_1", "-f", str(notes))
    site.wait(job)
    assert "answer = 43" in _at(project, job)
    assert "Thanks." in prompt(site, job, 2)


def test_comments_are_written_into_the_diff_in_an_editor(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, project = make_reviewed_site(make_site, tmp_path)
    job = site.run("x", [write()])["job_id"]
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i '/^+answer/a # use 44' \"$1\"\n")
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    _run(site, "feedback", job, "worker_1", "--edit")
    site.wait(job)
    assert "answer = 44" in _at(project, job)
    assert "`answer.txt`, line 2" in prompt(site, job, 2)


def test_one_worker_is_cancelled_and_retried(make_site: MakeSite, tmp_path: Path) -> None:
    site, _ = make_reviewed_site(make_site, tmp_path)
    hold = "touch begun; until [ -e go ]; do sleep 0.02; done"
    tasks = [shell(hold, id="a"), shell("echo b", id="b", depends_on=["a"]), shell(hold, id="c")]
    job = site.submit("x", tasks)
    first = site.directory(job) / "depth_0" / "worker_1"

    until(lambda: (first / "begun").exists(), "worker_1 runs")
    _run(site, "cancel", job, "worker_1")
    until(lambda: site.status(job)["workers"].get("skipped") == 1, "worker_2 is skipped")
    assert site.status(job)["status"] == "running"
    (first / "go").touch()
    _run(site, "retry", job, "worker_1")
    until(lambda: site.status(job)["workers"].get("success") == 2, "both have succeeded")
    (site.directory(job) / "depth_0" / "worker_3" / "go").touch()
    ended = site.wait(job)
    assert (ended["status"], ended["run"]) == ("completed", 1)
    refused = site.call("POST", f"/jobs/{job}/workers/worker_1/retry")
    assert refused.status_code == 409
    assert "new request" in refused.json()["detail"]


@pytest.mark.nightly
def test_a_question_is_answered_by_feedback_on_the_whole_change(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, project = make_reviewed_site(make_site, tmp_path)
    job = site.run("x", [write(writes=["answer.txt"], context="ask first")])["job_id"]
    assert site.status(job)["status"] == "failed"
    _run(site, "feedback", job, "worker_1", "-m", "use 42")
    assert site.wait(job)["status"] == "completed"
    assert "answer = 42" in _at(project, job)
    assert "### On the whole change" in prompt(site, job, 2)


def test_what_a_person_can_do_is_listed(made: tuple[InProcess, str, str]) -> None:
    site, job, _ = made
    can = site.get(f"/jobs/{job}/workers/worker_1")["can"]
    assert "feedback" in can
    assert not {"retry", "cancel"} & {*can}
