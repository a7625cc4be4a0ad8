"""The tools of ``POST /mcp``: their answers, and their errors for wrong arguments."""

import json
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from orchestrator.api.mcp import summaries
from orchestrator.api.mcp.tool_execution import LOG_CHARACTERS, REPORT_CHARACTERS
from orchestrator.api.mcp.tool_table import TOOLS
from orchestrator.core.errors import Refused
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.human_input.question import Question
from orchestrator.core.model.job_facts import JobFacts, LossCause, Missing
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.model.submission import Submission
from orchestrator.core.model.worker_result import CandidateRank, Criterion, WorkerResult
from orchestrator.core.ports.read_models import JobDetail
from orchestrator.schemas.requests.mcp_tool_arguments import WaitArguments
from tests.unit.api.fake_service import KEY, LEFT, READ_KEY, TIP, FakeService
from tests.unit.api.mcp_calls import Answer, call, error_text, message, post, submitted, values


@pytest.fixture
def app(shared_app: Flask, service: FakeService) -> Flask:
    shared_app.extensions["orchestrator.service"] = service
    return shared_app


def test_a_job_is_started_with_its_tasks_and_config(
    client: FlaskClient, service: FakeService
) -> None:
    answer = values(
        client,
        "orchestrate",
        request="Check",
        tasks=[{"command": "true", "agent": "shell"}],
        config={"max_workers": 2},
        workdir="project",
    )

    [submission] = service.submitted
    [task] = submission.tasks
    assert (task.command, submission.config.values.max_workers) == ("true", 2)
    assert (task.workdir, task.locks) == ("project", ("project",)), "the same fields as in the API"
    [tool] = [each for each in TOOLS if each.name == "orchestrate"]
    assert "workdir" in tool.definition()["inputSchema"]["properties"]
    assert answer["its_workers_have_left"] == LEFT
    assert answer["next"] == f'wait {{"job_id": "{answer["job_id"]}"}}'


def test_the_same_idempotency_key_starts_one_job(client: FlaskClient, service: FakeService) -> None:
    body = message("tools/call", {"name": "orchestrate", "arguments": {"request": "x"}})
    texts = [
        post(client, body, **{"Idempotency-Key": "k"}).get_json()["result"]["content"][0]["text"]
        for _ in range(2)
    ]

    assert len(service.submitted) == 1
    assert [json.loads(text).get("duplicate") for text in texts] == [None, True]


@pytest.mark.parametrize(
    ("tool", "arguments", "hint"),
    [
        ("orchestrate", {}, 'request: is required. Example of a call: {"request":'),
        ("orchestrate", {"request": 7}, "must be text"),
        ("orchestrate", {"request": " "}, "must not be blank"),
        ("orchestrate", {"request": "x", "taks": []}, "did you mean 'tasks'?"),
        ("orchestrate", {"request": "x", "tasks": "a, b"}, "must be a list"),
        (
            "orchestrate",
            {"request": "x", "tasks": [{}]},
            "the task needs `title`, `prompt`, `command`, or `approve`",
        ),
        ("orchestrate", {"request": "x", "config": {"max_worker": 1}}, "'max_workers'"),
        ("status", {"job_id": ["a"]}, 'Example of a call: {"job_id":"abc123"}'),
        ("wait", {}, "job_id: is required"),
        ("wait", {"job_id": "a", "timeout_seconds": "long"}, "must be a number"),
        ("logs", {"job_id": "a"}, "worker_id: is required"),
        ("logs", {"job_id": "a", "worker_id": "worker_1", "lines": 0}, "at least 1"),
        ("results", {"job_id": "a"}, "did you mean 'result'?"),
    ],
)
def test_wrong_arguments_are_rejected_with_a_correct_example(
    client: FlaskClient, service: FakeService, tool: str, arguments: Answer, hint: str
) -> None:
    assert hint in error_text(client, tool, **arguments)
    assert not service.submitted


@pytest.mark.parametrize("arguments", [[], "job", 7, True])
def test_arguments_that_are_no_object_are_rejected(client: FlaskClient, arguments: Any) -> None:
    body = message("tools/call", {"name": "status", "arguments": arguments})

    assert post(client, body).get_json()["result"]["isError"]


@pytest.mark.parametrize("job_id", ["nosuch", "../../etc", "a/b", "x" * 150, "ü"])
def test_an_unknown_job_is_not_found(client: FlaskClient, job_id: str) -> None:
    for tool in ("status", "wait", "cancel", "result", "report"):
        assert error_text(client, tool, job_id=job_id).startswith("not-found: ")


def test_a_reached_limit_is_reported_with_the_remaining_quota(
    client: FlaskClient, service: FakeService
) -> None:
    service.failure = Refused("the tree is too deep", kind="limit-depth", left={"depth": 0})

    assert error_text(client, "orchestrate", request="x") == (
        'limit-depth: the tree is too deep; remaining: {"depth":0}'
    )


def test_an_internal_error_hides_its_cause(client: FlaskClient, service: FakeService) -> None:
    service.failure = RuntimeError("secret place")

    assert error_text(client, "orchestrate", request="x") == (
        "internal: internal server error; read the cause in logs/orchestrator.log"
    )


def test_status_names_the_workers_and_the_remaining_quota(
    client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service)

    answer = values(client, "status", job_id=f"job_{job.id}")

    assert (answer["job_id"], answer["status"], answer["retry"]) == (job.id, "pending", True)
    assert [one["worker_id"] for one in answer["by_name"]] == ["worker_1"]
    assert answer["left"] == LEFT


def test_status_without_a_job_lists_the_newest(client: FlaskClient, service: FakeService) -> None:
    jobs = [submitted(client, service).id for _ in range(12)]

    answer = values(client, "status")

    assert [one["job_id"] for one in answer["jobs"]] == jobs[:1:-1]
    assert answer["total"] == 12
    rest = values(client, "status", page=2)
    assert [one["job_id"] for one in rest["jobs"]] == jobs[1::-1]


def test_the_list_of_jobs_names_what_each_job_needs(
    client: FlaskClient, service: FakeService
) -> None:
    idle, asks = submitted(client, service), submitted(client, service)
    service.change(asks, awaits_approval=True)

    shown = {one["job_id"]: one.get("needs") for one in values(client, "status")["jobs"]}

    assert shown == {idle.id: None, asks.id: ["approval"]}


def test_the_workers_of_a_large_job_are_listed_by_page(
    client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service, tasks=[{"command": "true"}] * 120)
    service.finish(service.workers_of(job)[110], status=WorkerStatus.FAILED)

    pages = [values(client, "status", job_id=job.id, page=page) for page in (1, 2, 3, 4)]

    names = [[one["worker_id"] for one in page["by_name"]] for page in pages]
    assert [len(each) for each in names] == [50, 50, 20, 0]
    assert len({name for each in names for name in each}) == 120
    assert "worker_111" in names[0]
    assert [page.get("more_workers") for page in pages] == [70, 20, None, None]


def test_waiting_is_over_after_its_time(client: FlaskClient, service: FakeService) -> None:
    job = submitted(client, service)

    for seconds in (0, 0.05):
        answer = values(client, "wait", job_id=job.id, timeout_seconds=seconds)
        assert (answer["status"], answer["retry"]) == ("pending", True)


def test_waiting_ends_before_clients_time_out() -> None:
    assert WaitArguments(job_id="a").seconds == 40
    assert WaitArguments(job_id="a", timeout_seconds=1e9).seconds == 44


def test_waiting_for_what_has_ended_answers_with_its_results(
    client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service)
    service.finish(service.workers_of(job)[0], "all of it", files=("a.txt",))
    service.end(job)

    for tool in ("wait", "result"):
        answer = values(client, tool, job_id=job.id)
        assert (answer["status"], answer["retry"]) == ("completed", False)
        [one] = answer["results"]
        assert (one["output"], one["files_created"]) == ("all of it", ["a.txt"])
        assert one["log"].endswith("/logs/depth_0_worker_1.log")
        assert answer["final_report"].endswith("/FINAL_RESULT.md")


@pytest.mark.parametrize(("place", "chosen"), [(1, True), (2, False), (None, None)])
def test_results_mark_the_chosen_candidate(
    client: FlaskClient, service: FakeService, place: int | None, chosen: bool | None
) -> None:
    job = submitted(client, service)
    standing = CandidateRank(place=place, by=Criterion.SIZE, why="3 more lines") if place else None
    service.finish(service.workers_of(job)[0], standing=standing)
    service.end(job)

    [result] = values(client, "result", job_id=job.id)["results"]

    assert result.get("chosen") is chosen


def test_results_are_bounded_whatever_workers_leave(
    client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service, tasks=[{"command": "true"}] * 60)
    for number, worker in enumerate(service.workers_of(job)):
        service.finish(
            worker,
            "short" if number % 2 else "é" * 100_000,
            WorkerStatus.FAILED,
            tuple(f"{'folder/' * 10}file_{n}" for n in range(500)),
        )
    service.end(job, JobStatus.FAILED)

    result = call(client, "result", job_id=job.id)
    answer = json.loads(result["content"][0]["text"])

    assert len(result["content"][0]["text"]) < 60_000
    assert (len(answer["results"]), answer["more_workers"]) == (50, 10)
    assert answer["results"][0]["output_cut"] and len(answer["results"][0]["output"]) > 400
    assert answer["results"][1]["output"] == "short"
    assert answer["results"][0]["more_files"] == 494


def test_a_long_output_is_shown_with_its_beginning_and_its_end(
    client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service)
    [worker] = service.workers_of(job)
    service.finish(worker, "first line\n" + "x" * 100_000 + "\n1 failed", WorkerStatus.FAILED)

    [row] = values(client, "result", job_id=job.id)["results"]

    assert row["output"].startswith("first line\n") and row["output"].endswith("\n1 failed")
    assert row["output_cut"] and len(row["output"]) < summaries.OUTPUT_CHARACTERS + 100


@pytest.mark.parametrize(("tool", "names"), [("wait", "results"), ("status", "by_name")])
def test_failed_workers_of_a_large_job_are_shown_first(
    client: FlaskClient, service: FakeService, tool: str, names: str
) -> None:
    job = submitted(client, service, tasks=[{"command": "true"}] * 60)
    for number, worker in enumerate(service.workers_of(job)):
        failed = number == 58
        service.finish(worker, status=WorkerStatus.FAILED if failed else WorkerStatus.SUCCESS)
    service.end(job, JobStatus.PARTIAL)

    answer = values(client, tool, job_id=job.id)

    shown = {each["worker_id"]: each["status"] for each in answer[names]}
    assert (len(shown), shown["worker_59"], answer["more_workers"]) == (50, "failed", 10)
    assert answer["all_workers"] == f"GET /api/v1/jobs/{job.id}/workers?page=1&order=attention"


def test_the_answer_names_the_need_of_a_job_that_waits_for_a_person(
    client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service, tasks=[{"id": "ok", "command": "true"}])
    assert "needs" not in values(client, "status", job_id=job.id)

    [worker] = service.workers_of(job)
    service.ask(worker, Question(text="Deploy?", asked_at=1.0))

    answer = values(client, "wait", job_id=job.id, timeout_seconds=0)
    assert (answer["retry"], answer["needs"]) == (
        True,
        [
            {
                "kind": "question",
                "job_id": job.id,
                "task_id": "ok",
                "worker_id": "worker_1",
                "text": "Deploy?",
                "command": f"bin/orchestrator approve {job.id} ok",
            }
        ],
    )
    assert answer["next"].startswith("the job waits for a person")


def test_the_answer_for_an_ended_job_names_its_needs_and_how_to_retry(
    client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service)
    missing = Missing(
        worker_id="worker_1", job_id=job.id, cause=LossCause.CONFLICT, why="conflict in a.txt"
    )
    service.change(job, facts=JobFacts(missing=(missing,)))
    service.end(job, JobStatus.PARTIAL)

    for tool in ("wait", "status", "result"):
        answer = values(client, tool, job_id=job.id)
        [need] = answer["needs"]
        assert (need["kind"], need["worker_id"]) == ("conflict", "worker_1"), tool
        assert answer["next"].startswith("show the user what the job needs; to run the")

    service.change(job, facts=JobFacts())
    # A person who cancelled a job or rejected its plan does not want a retry.
    for status in (JobStatus.COMPLETED, JobStatus.CANCELLED):
        service.end(job, status)
        assert not {"needs", "next"} & set(values(client, "wait", job_id=job.id))


def test_a_worker_gets_no_advice_to_call_a_tool_that_it_may_not_call(
    client: FlaskClient, anonymous: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service)
    service.end(job, JobStatus.FAILED)
    anonymous.environ_base["HTTP_X_API_KEY"] = READ_KEY

    assert "next" not in values(anonymous, "wait", job_id=job.id)


def test_a_plan_that_waits_for_approval_is_shown(client: FlaskClient, service: FakeService) -> None:
    tasks = [
        {"id": "a", "title": "Docs", "prompt": "Write the docs." + "x" * 20_000, "writes": ["a"]},
        {"id": "b", "command": ["make", "test all"], "depends_on": ["a"]},
        {"id": "c", "approve": "Deploy?", "depends_on": ["b"]},
    ]
    job = submitted(client, service, tasks=tasks)
    assert "plan" not in values(client, "wait", job_id=job.id, timeout_seconds=0)
    service.change(job, awaits_approval=True)

    answer = values(client, "wait", job_id=job.id, timeout_seconds=0)

    [docs, test, question] = answer["plan"]
    assert (docs["id"], docs["title"], docs["writes"]) == ("a", "Docs", ["a"])
    assert docs["prompt"].startswith("Write the docs.xxx") and docs["prompt"].endswith(" ...")
    assert (test["command"], test["depends_on"]) == ("make 'test all'", ["a"])
    assert question["approve"] == "Deploy?"
    assert answer["needs"][0]["kind"] == "approval"


def test_a_large_plan_is_bounded_in_size(client: FlaskClient, service: FakeService) -> None:
    tasks = [{"id": f"t{number}", "prompt": "word " * 100} for number in range(300)]
    job = submitted(client, service, tasks=tasks)
    service.change(job, awaits_approval=True)

    text = call(client, "status", job_id=job.id)["content"][0]["text"]

    assert len(text) < 30_000
    assert json.loads(text)["more_tasks"] == 250


def test_short_outputs_leave_their_room_to_long_ones() -> None:
    assert summaries._longest_output([]) == summaries.OUTPUT_CHARACTERS
    assert summaries._longest_output([10, 20]) == summaries.OUTPUT_CHARACTERS
    assert summaries._longest_output([0, 10**6]) == summaries.OUTPUT_CHARACTERS
    assert summaries._longest_output([10**6, 10**6]) == summaries.OUTPUT_CHARACTERS // 2
    assert summaries._longest_output([10**6] * 10_000) >= summaries.SHORTEST_OUTPUT


def test_usage_is_in_the_answer_if_it_is_known(client: FlaskClient, service: FakeService) -> None:
    job = submitted(client, service)
    [worker] = service.workers_of(job)
    used = replace(worker, result=WorkerResult(usage=Usage(steps=3, input_tokens=10)))
    detail = JobDetail(job=job, tasks=[], workers=[worker])

    def usage_of(shown: JobDetail) -> Answer:
        return summaries._usage_field(service, service.callers.of_key(KEY), shown)

    assert usage_of(detail) == {}
    assert usage_of(replace(detail, workers=[used])) == {"used": {"steps": 3, "input_tokens": 10}}
    assert usage_of(replace(detail, workers=[used], planner=used, reviewers=[used])) == {
        "used": {"steps": 9, "input_tokens": 30}
    }


def test_usage_includes_child_jobs(client: FlaskClient, service: FakeService) -> None:
    job = submitted(client, service)
    [worker] = service.workers_of(job)
    parent = service.callers.of_key(service.worker_key(worker))
    child = service.submissions.submit(parent, Submission(request="part")).job
    for each in (worker, *service.workers_of(child)):
        service.use(each, Usage(steps=3, input_tokens=10))

    for tool in ("status", "result"):
        answer = values(client, tool, job_id=job.id)
        assert answer["used"] == {"steps": 6, "input_tokens": 20}, tool


def test_cancelling_stops_the_job(client: FlaskClient, service: FakeService) -> None:
    job = submitted(client, service)

    assert values(client, "cancel", job_id=job.id)["job_id"] == job.id
    assert service.access.job(service.callers.of_key(KEY), job.id).cancelled_by


def test_one_worker_is_cancelled(client: FlaskClient, service: FakeService) -> None:
    job = submitted(client, service)

    assert values(client, "cancel", job_id=job.id, worker_id="worker_1")["cancelled"] == "worker_1"
    assert not service.access.job(service.callers.of_key(KEY), job.id).cancelled_by


def test_comments_start_another_attempt_of_a_worker(
    client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service)
    service.end(job)
    arguments = {
        "job_id": job.id,
        "worker_id": "worker_1",
        "comments": [{"path": "a.py", "line": 3, "text": "Use the constant."}],
        "commit": TIP[:8],
    }

    answer = values(client, "feedback", **arguments)

    assert (answer["attempt"], answer["run"], answer["next"]) == (2, 2, "call wait")
    assert service.given and service.given.comments[0].line == 3
    service.end(job)
    text = call(client, "feedback", **{**arguments, "commit": "f" * 8})["content"][0]["text"]
    assert text.startswith("outdated: ")


def test_one_worker_is_retried(client: FlaskClient, service: FakeService) -> None:
    job = submitted(client, service)
    service.end(job, JobStatus.FAILED)

    answer = values(client, "retry", job_id=job.id, worker_id="worker_1")

    assert (answer["job_id"], answer["status"]) == (job.id, "running")


def test_a_job_is_retried_with_a_longer_timeout(client: FlaskClient, service: FakeService) -> None:
    job = submitted(client, service)
    service.end(job, JobStatus.FAILED)

    arguments = {"job_id": job.id, "default_timeout": 900, "max_retries": 0}
    wrong = error_text(client, "retry", **arguments, worker_id="worker_1")
    assert "omit worker_id" in wrong
    assert values(client, "retry", **arguments)["status"] == "running"

    config = service.access.job(service.callers.of_key(KEY), job.id).config
    assert (config.default_timeout, config.max_retries) == (900, 0)


def test_a_job_that_reached_its_cap_is_retried_with_a_higher_one(
    client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service, config={"max_cost_usd": 1})
    service.end(job, JobStatus.FAILED)

    values(client, "retry", job_id=job.id, max_cost_usd=5, max_tokens=10, max_steps=3)

    config = service.access.job(service.callers.of_key(KEY), job.id).config
    assert (config.max_cost_usd, config.max_tokens, config.max_steps) == (5, 10, 3)


def test_the_result_of_one_worker_is_shown_with_more_of_its_output(
    client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service, tasks=[{"command": "true"}] * 60)
    for worker in service.workers_of(job):
        service.finish(worker, output="x" * 5000)
    service.end(job)

    [row] = values(client, "result", job_id=job.id, worker_id="worker_7")["results"]

    assert (row["worker_id"], len(row["output"])) == ("worker_7", 5000)
    assert "no worker 'worker_99'" in error_text(
        client, "result", job_id=job.id, worker_id="worker_99"
    )


def test_logs_are_the_last_lines(client: FlaskClient, service: FakeService) -> None:
    job = submitted(client, service)
    path = service.job_details.workspace(job) / "logs" / "depth_0_worker_1.log"
    where = {"job_id": job.id, "worker_id": "worker_1"}

    assert "no output yet" in call(client, "logs", **where)["content"][0]["text"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(b"line %d \x1b[31mred\xff\n" % n for n in range(2000)))
    few = call(client, "logs", **where, lines=2)["content"][0]["text"]
    path.write_bytes(b"x" * 5_000_000)
    much = call(client, "logs", **where, lines=1000)["content"][0]["text"]

    assert few == "line 1998 [31mred\ufffd\nline 1999 [31mred\ufffd\n"
    assert len(much) < LOG_CHARACTERS + 10


def test_a_long_report_is_cut_with_the_path_of_the_whole(
    client: FlaskClient, service: FakeService
) -> None:
    job = submitted(client, service)
    path = service.job_details.final_report(job)

    assert "does not exist yet" in error_text(client, "report", job_id=job.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("# Report\n")
    assert call(client, "report", job_id=job.id)["content"][0]["text"] == "# Report\n"
    path.write_text("é" * 1_000_000)
    text = call(client, "report", job_id=job.id, name="FINAL_RESULT.md")["content"][0]["text"]
    assert len(text) < REPORT_CHARACTERS + 300
    assert text.endswith(f"(shortened; whole report: {path})")
    assert "not-found" in error_text(client, "report", job_id=job.id, name="../../config.yaml")


def test_a_report_that_is_a_link_is_not_followed(client: FlaskClient, service: FakeService) -> None:
    job = submitted(client, service)
    path = service.job_details.final_report(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/etc/passwd")

    assert "root:" not in error_text(client, "report", job_id=job.id)
