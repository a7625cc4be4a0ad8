"""Tasks that wait for a person, with real processes, and across a killed server."""

import json
from pathlib import Path

import pytest

from orchestrator.core.text.command_name import COMMAND
from tests.faults.zygote import Zygote
from tests.integration.conftest import MakeServer
from tests.integration.site import HOLD, Answer, InProcess, ServerProcess, Site, shell, until
from tests.support.project import Project

ASK: Answer = {"id": "ok", "approve": "Deploy?", "depends_on": ["build"]}


def a_deployment(effects: Path) -> list[Answer]:
    return [
        shell("echo v2 > built; echo built v2", id="build"),
        ASK,
        shell(
            f"cat .orchestrator/dependencies.json > {effects} || cp dependencies.json {effects}",
            id="deploy",
            depends_on=["ok"],
        ),
    ]


def is_asked(site: Site, job: str) -> bool:
    return bool(site.status(job)["workers"].get("waiting"))


def test_a_person_sees_what_was_made_and_the_comment_reaches_what_follows(
    site: InProcess, effects: Path
) -> None:
    job = site.submit("x", a_deployment(effects))
    until(lambda: is_asked(site, job), "the question is asked")

    question = site.get(f"/jobs/{job}/tasks/ok/question")
    assert (question["question"], question["by"], "decision" in question) == ("Deploy?", "", False)
    [made] = question["made"]
    assert (made["task_id"], made["worker_id"], made["files_created"]) == (
        "build",
        "worker_1",
        ["built"],
    )
    assert "built v2" in made["output"]
    [need] = site.get("/needs")["needs"]
    assert (need["kind"], need["task_id"]) == ("question", "ok")
    assert need["command"].endswith(f"approve {job} ok")
    worker = site.get(f"/jobs/{job}/workers/worker_2")
    assert worker["can"] == ["approve", "reject", "cancel"]
    assert worker["waiting_for"]["kind"] == "answer"
    assert (worker["attempts"], "log" in worker) == ([], False)
    message = site.call("POST", f"/jobs/{job}/workers/worker_2/message", {"text": "yes"})
    assert message.status_code == 409
    assert message.json()["detail"].endswith(f"answer the question: {COMMAND} approve {job} ok")

    answered = site.call("POST", f"/jobs/{job}/tasks/ok/approve", {"comment": "staging only"})

    assert answered.status_code == 202, answered.text
    ended = site.wait(job)
    assert ended["status"] == "completed"
    inputs = json.loads(effects.read_text())
    assert inputs["ok"]["output"].endswith("approved by key 'default': staging only")
    assert inputs["build"]["files_created"] == ["built"]
    row = site.status_file(job)["results"]["tasks"][1]
    assert (row["question"]["by"], row["question"]["comment"]) == ("default", "staging only")
    report = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "Question: Deploy?" in report
    assert "Answer: approved by key 'default': staging only" in report
    again = site.call("POST", f"/jobs/{job}/tasks/ok/reject")
    assert again.status_code == 409
    assert site.get("/needs")["needs"] == []


def test_a_rejected_question_skips_what_follows(site: InProcess, effects: Path) -> None:
    job = site.submit("x", a_deployment(effects))
    until(lambda: is_asked(site, job), "the question is asked")
    assert site.call("POST", f"/jobs/{job}/tasks/no/approve").status_code == 404
    assert site.call("POST", f"/jobs/{job}/tasks/build/approve").status_code == 409

    site.call("POST", f"/jobs/{job}/tasks/ok/reject", {"comment": "the totals are wrong"})

    ended = site.wait(job)
    assert ended["status"] == "partial"
    assert [row["status"] for row in ended["results"]["tasks"]] == ["success", "failed", "skipped"]
    assert (
        ended["results"]["tasks"][1]["reason"] == "rejected by key 'default': the totals are wrong"
    )
    report = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "rejected by key 'default': the totals are wrong" in report


def test_a_timeout_decides(site: InProcess) -> None:
    tasks: list[Answer] = [
        {"id": "yes", "approve": "Go on?", "timeout": 0.2, "on_timeout": "approve"},
        {"id": "no", "approve": "Delete it?", "timeout": 0.2},
    ]
    ended = site.run("x", tasks)
    assert [row["status"] for row in ended["results"]["tasks"]] == ["success", "failed"]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"approve": "Go on?", "prompt": "do it"}, "of the task: prompt"),
        ({"approve": "Go on?", "command": "true", "retries": 1}, "of the task: command, retries"),
        ({"approve": "Go on?", "on_timeout": "reject"}, "on_timeout needs a timeout"),
        ({"command": "true", "on_timeout": "reject"}, "on_timeout needs a question"),
        ({"approve": " "}, "needs a question"),
        ({"approve": "Go on?", "timeout": 5, "on_timeout": "ask"}, "on_timeout"),
    ],
)
def test_a_question_with_other_fields_is_rejected(
    site: InProcess, task: Answer, expected: str
) -> None:
    answer = site.post("x", [task])
    assert answer.status_code == 422
    assert expected in answer.text


def test_workers_answer_nothing(site: InProcess) -> None:
    tasks: list[Answer] = [
        shell(f"RELEASE=/nonexistent; {HOLD}", id="a"),
        {**ASK, "depends_on": []},
    ]
    job = site.submit("x", tasks)
    until(lambda: is_asked(site, job), "the question is asked")
    answer = site.call("POST", f"/jobs/{job}/tasks/ok/approve", key=site.key_of(job))
    assert answer.status_code == 403
    site.call("POST", f"/jobs/{job}/cancel")
    assert site.wait(job)["status"] == "cancelled"


@pytest.mark.usefixtures("spawning")
def test_a_child_job_asks_and_its_worker_waits(site: InProcess, tmp_path: Path) -> None:
    plan = tmp_path / "tasks.json"
    plan.write_text(json.dumps([{**ASK, "depends_on": []}]))
    job = site.submit("x", [shell(f"orchestrator spawn 'ask' --tasks {plan} --wait")])
    [need] = until(lambda: site.get("/needs")["needs"], "the child job asks")
    assert need["root_job_id"] == job

    child = need["job_id"]
    assert site.call("POST", f"/jobs/{child}/tasks/ok/approve").status_code == 202
    assert site.wait(job)["status"] == "completed"


def test_a_question_and_its_answer_outlive_a_server_that_is_killed(
    make_server: MakeServer, effects: Path
) -> None:
    server: ServerProcess = make_server()
    job = server.submit("x", a_deployment(effects))
    until(lambda: is_asked(server, job), "the question is asked")

    server.kill()
    server.start()
    assert is_asked(server, job)
    server.call("POST", f"/jobs/{job}/tasks/ok/approve", {"comment": "yes"})
    server.kill()
    server.start()

    assert server.wait(job)["status"] == "completed"
    worker = server.get(f"/jobs/{job}/workers/worker_2")
    assert (worker["question"]["comment"], worker["status"]) == ("yes", "success")


def test_what_follows_an_approval_starts_from_what_was_approved(
    zygote: Zygote, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").begin({"a.txt": "one\n"})
    root = {"project_root": str(project.path)}
    server = ServerProcess(tmp_path / "server", {"orchestrator": root}, zygote)
    server.start()
    try:
        tasks: list[Answer] = [
            shell("echo two > b.txt", id="build", git="on"),
            ASK,
            shell("cat b.txt > c.txt", id="deploy", depends_on=["ok"], git="on"),
        ]
        job = server.submit("x", tasks)
        until(lambda: is_asked(server, job), "the question is asked")
        server.call("POST", f"/jobs/{job}/tasks/ok/approve")
        ended = server.wait(job)
        assert (ended["status"], ended["reason"]) == ("completed", "")
        merged = project.git("show", f"orchestrator/{job}/result:c.txt")
        assert merged.strip() == "two"
    finally:
        server.stop()
