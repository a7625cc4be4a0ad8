"""``orchestrator spawn``, as workers run it."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import orchestrator
import orchestrator.cli.worker.spawn as spawn_module
from orchestrator.cli.output import exit_codes
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.core.text import command_name
from orchestrator.system.http_client import http_exchange, http_retry, stdlib_client
from tests.unit.cli.fake_api import KEY, FakeApi, running

SPAWN = Path(spawn_module.__file__)
PRODUCT = Path(spawn_module.PRODUCT)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-S", "-E", str(SPAWN), *arguments]


def worker(api: FakeApi, **extra: str) -> dict[str, str]:
    known = {"ORCHESTRATOR_API_URL": api.url, "ORCHESTRATOR_API_KEY": KEY}
    return {"PATH": os.environ["PATH"], **known, "ORCHESTRATOR_DEPTH": "1", **extra}


def spawn(
    arguments: Sequence[str], environ: dict[str, str], **options: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        **({"stdin": subprocess.DEVNULL} | options),
    )


def test_spawn_prints_the_id_of_the_child_job(api: FakeApi) -> None:
    done = spawn(["Do $(this) \"and\" that 'too'\n🚀"], worker(api))

    assert (done.returncode, done.stdout, done.stderr) == (0, "j1\n", "")
    assert api.jobs["j1"].body["request"] == "Do $(this) \"and\" that 'too'\n🚀"


def test_the_depth_of_a_child_job_is_one_more_than_that_of_the_worker(api: FakeApi) -> None:
    spawn(["x", "--max-workers", "3", "--timeout", "7.5", "--agent", "shell"], worker(api))

    assert api.jobs["j1"].body["config"] == {
        "max_workers": 3,
        "default_timeout": 7.5,
        "agent": "shell",
        "current_depth": 2,
    }


def test_waiting_prints_a_summary_and_exits_like_the_job(api: FakeApi) -> None:
    api.outcome, api.output = "partial", "first line\n\x1b[2Jsecond"

    done = spawn(["x", "--wait"], worker(api))

    assert done.returncode == ExitCode.PARTIAL
    assert "job j1: partial, 1 of 1 tasks succeeded" in done.stdout
    assert "[worker_1] success\n  first line\n  [2Jsecond\n" in done.stdout
    assert "\x1b" not in done.stdout


def test_long_outputs_are_cut_in_the_summary_only(api: FakeApi) -> None:
    api.output = "a line\n" * 1000

    shown = spawn(["x", "--wait"], worker(api))
    whole = spawn(["x", "--wait", "--json"], worker(api))

    assert len(shown.stdout.splitlines()) < 20
    assert json.loads(whole.stdout)["results"]["tasks"][0]["output"] == api.output


@pytest.mark.parametrize(
    ("outcome", "code"), [("completed", 0), ("failed", 1), ("cancelled", 1), ("partial", 6)]
)
def test_the_exit_code_follows_the_status_of_the_job(api: FakeApi, outcome: str, code: int) -> None:
    api.outcome = outcome

    assert spawn(["x", "--wait"], worker(api)).returncode == code


def test_the_last_line_of_an_unsuccessful_call_names_the_child_job(api: FakeApi) -> None:
    api.outcome = "partial"

    done = spawn(["x", "--wait"], worker(api))

    assert done.stderr.splitlines()[-1:] == [
        "orchestrator spawn: child job j1 ended with status partial"
    ]


def test_each_command_is_a_shell_task(api: FakeApi) -> None:
    spawn(["--command", "echo $HOME", "--command", "exit 3"], worker(api))

    assert api.jobs["j1"].body["request"] == "echo $HOME; exit 3"
    assert api.jobs["j1"].body["tasks"] == [
        {"agent": "shell", "command": "echo $HOME"},
        {"agent": "shell", "command": "exit 3"},
    ]


@pytest.mark.parametrize("form", ["list", "object"])
def test_tasks_come_from_standard_input_or_a_file(api: FakeApi, tmp_path: Path, form: str) -> None:
    tasks = [{"id": "a", "command": "true"}]
    file = tmp_path / "my tasks.json"
    file.write_text(json.dumps(tasks if form == "list" else {"tasks": tasks}))

    spawn(["x", "--tasks", str(file)], worker(api))
    spawn(["y", "--tasks", "-"], worker(api), stdin=None, input=file.read_text())

    assert [job.body["tasks"] for job in api.jobs.values()] == [tasks, tasks]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_plan_comes_from_standard_input_or_a_file(
    api: FakeApi, tmp_path: Path, form: str
) -> None:
    task = {"id": "a", "agent": ["shell"], "command": "true"}
    plan = {"request": "All of it", "config": {"max_workers": 4, "agent": "shell"}, "tasks": [task]}
    text = json.dumps(plan) if form == "json" else yaml.safe_dump(plan)
    file = tmp_path / f"a plan.{form}"
    file.write_text(text)

    done = spawn(["--plan", str(file), "--max-workers", "2"], worker(api))
    piped = spawn(["Another", "--plan", "-"], worker(api), stdin=None, input=text)

    assert (done.returncode, piped.returncode) == (0, 0), done.stderr + piped.stderr
    assert api.jobs["j1"].body == {
        "request": "All of it",
        "config": {"max_workers": 2, "agent": "shell", "current_depth": 2},
        "tasks": [task],
    }
    assert api.jobs["j2"].body["request"] == "Another"


@pytest.mark.parametrize("text", ['{"config": {"max_workers": 4}}', "config: {max_workers: 4}"])
def test_a_plan_with_nothing_to_do_needs_a_request(api: FakeApi, tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan"
    file.write_text(text)

    assert spawn(["--plan", str(file)], worker(api)).returncode == ExitCode.USAGE
    assert spawn(["Do it", "--plan", str(file)], worker(api)).returncode == 0
    body = {"request": "Do it", "config": {"max_workers": 4, "current_depth": 2}}
    assert [job.body for job in api.jobs.values()] == [body]


@pytest.mark.slow
def test_an_error_in_a_plan_is_named_with_its_place(api: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("request: x\ntasks:\n  - {id: a, promt: b}\n")
    alone = tmp_path / "orchestrator/cli/worker/spawn.py"
    for module in (orchestrator, command_name, http_exchange, http_retry, stdlib_client, None):
        needed = Path(str(module.__file__)) if module else SPAWN
        copy = tmp_path / "orchestrator" / needed.relative_to(PRODUCT / "orchestrator")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(needed.read_bytes())

    wrong = spawn(["--plan", str(file)], worker(api))
    away = subprocess.run(
        [sys.executable, "-S", "-E", str(alone), "--plan", str(file)],
        env=worker(api),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (wrong.returncode, away.returncode) == (ExitCode.USAGE, ExitCode.USAGE)
    assert f"{file}:3:20: " in wrong.stderr and "promt" in wrong.stderr
    assert "write the plan as JSON" in away.stderr
    assert not api.jobs


@pytest.mark.parametrize(
    "arguments",
    [
        ["x", "--tasks", "/does/not/exist"],
        ["x", "--tasks", "-"],
        ["x", "--tasks", "-", "--command", "true"],
        ["x", "--idempotency-key", "a\r\nX-API-Key: b"],
        ["x", "--bogus"],
        [""],
        [],
    ],
)
def test_wrong_arguments_are_rejected_and_nothing_is_submitted(
    api: FakeApi, arguments: list[str]
) -> None:
    done = spawn(arguments, worker(api))

    assert done.returncode == ExitCode.USAGE
    assert done.stderr and not done.stdout
    assert not api.jobs


def test_outside_of_a_worker_the_error_names_the_command_to_use() -> None:
    done = spawn(["x"], {"PATH": os.environ["PATH"]})

    assert done.returncode == ExitCode.USAGE
    assert "orchestrator submit" in done.stderr


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (422, "/problems/limit-depth", ExitCode.LIMIT),
        (422, "cycle", ExitCode.LIMIT),
        (422, "recursion-disabled", ExitCode.LIMIT),
        (422, "invalid-request", ExitCode.USAGE),
        (400, "invalid-request", ExitCode.USAGE),
        (401, "unauthorized", ExitCode.KEY_REFUSED),
        (404, "not-found", ExitCode.NOT_FOUND),
        (500, "error", ExitCode.FAILED),
    ],
)
def test_a_rejection_lists_the_remaining_quota(
    api: FakeApi, status: int, kind: str, code: ExitCode
) -> None:
    problem = {"type": kind, "detail": "deepest level reached", "left": {"depth": 0}}
    api.faults.append((status, problem, {}))

    done = spawn(["x"], worker(api))

    assert done.returncode == code
    assert "deepest level reached\nremaining: depth 0" in done.stderr


def test_a_rejection_shows_all_errors_of_the_request(api: FakeApi) -> None:
    errors = [
        {"pointer": "/tasks/0/shell", "detail": "unknown field"},
        {"pointer": "/tasks/1/shell", "detail": "unknown field"},
    ]
    detail = "/tasks/0/shell: unknown field (1 more error)"
    api.faults.append((422, {"type": "invalid-request", "detail": detail, "errors": errors}, {}))

    done = spawn(["x"], worker(api))

    assert "/tasks/0/shell: unknown field\n/tasks/1/shell: unknown field\n" in done.stderr
    assert "1 more error" not in done.stderr


def test_errors_are_the_problem_object_with_json(api: FakeApi) -> None:
    api.faults.append((422, {"type": "limit-depth", "detail": "too deep"}, {}))

    done = spawn(["x", "--json"], worker(api))

    assert json.loads(done.stderr)["type"] == "limit-depth"


def test_a_lost_answer_never_makes_a_second_job(api: FakeApi) -> None:
    api.faults += [(0, {}, {}), (503, {"detail": "busy"}, {"Retry-After": "1"})]

    done = spawn(["x", "--wait"], worker(api))

    assert done.returncode == 0
    keys = {call.headers["Idempotency-Key"] for call in api.calls_of("POST", "orchestrate")}
    assert len(keys) == 1 and len(api.jobs) == 1


def test_an_option_sets_the_idempotency_key(api: FakeApi) -> None:
    for _ in range(2):
        assert spawn(["x", "--idempotency-key", "k"], worker(api)).stdout == "j1\n"


def test_waiting_continues_through_a_restart_of_the_server() -> None:
    first = FakeApi()
    first.end_at_once = False
    port = first.server_address[1]
    with running(first):
        process = subprocess.Popen(
            command("x", "--wait"), env=worker(first), stdout=subprocess.PIPE, text=True
        )
        wait_until(lambda: first.calls_of("GET", "wait"))
        job = first.jobs["j1"]
    second = FakeApi(port)
    second.jobs["j1"] = job
    with running(second):
        wait_until(lambda: second.calls_of("GET", "wait"))
        job.end()
        output, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "job j1: completed" in output


def test_closed_standard_input_is_fine(api: FakeApi) -> None:
    done = subprocess.run(
        ["bash", "-c", 'exec "$@" <&-', "-", *command("x")],
        env=worker(api),
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert (done.returncode, done.stdout) == (0, "j1\n")


def test_a_job_that_is_slow_to_end_is_waited_for(api: FakeApi) -> None:
    api.end_at_once = False
    threading.Thread(target=end_when_waited_for, args=(api,), daemon=True).start()

    done = spawn(["x", "--wait"], worker(api))

    assert done.returncode == 0


def end_when_waited_for(api: FakeApi) -> None:
    wait_until(lambda: api.calls_of("GET", "wait"))
    api.jobs["j1"].end()


def test_spawn_starts_in_a_fraction_of_a_second() -> None:
    def seconds() -> float:
        """Return the processor time, because it does not depend on other load of the machine."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        spawn(["-h"], {"PATH": os.environ["PATH"]})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.1


def test_its_codes_are_those_of_the_table() -> None:
    for name in ("OK", "FAILED", "USAGE", "NOT_FOUND", "KEY_REFUSED", "UNREACHABLE", "PARTIAL"):
        assert getattr(spawn_module, name) == ExitCode[name]
    assert spawn_module.LIMIT == ExitCode.LIMIT
    assert spawn_module.INTERRUPTED == ExitCode.INTERRUPTED
    for status, code in spawn_module.EXIT_BY_JOB_STATUS.items():
        assert exit_codes.of_job(status) == code


def test_an_invalid_server_address_is_reported(api: FakeApi) -> None:
    done = spawn(["x"], worker(api, ORCHESTRATOR_API_URL="localhost:8000"))

    assert done.returncode == ExitCode.USAGE
    assert "invalid ORCHESTRATOR_API_URL: 'localhost:8000'" in done.stderr


def wait_until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not true in time"
        time.sleep(0.01)


def test_context_is_passed_down_with_absolute_paths(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("a")
    (tmp_path / "b.md").write_text("b")
    files = ["--context-file", "a.md", "--context-file", str(tmp_path / "b.md")]

    done = spawn(["x", "--context", "In cents.", *files], worker(api), cwd=tmp_path)

    assert done.returncode == ExitCode.OK, done.stderr
    config = api.jobs["j1"].body["config"]
    assert config["context"] == "In cents."
    assert config["context_files"] == [str(tmp_path / "a.md"), str(tmp_path / "b.md")]


def test_a_context_file_that_is_not_there_is_wrong_usage(api: FakeApi) -> None:
    done = spawn(["x", "--context-file", "/nowhere/a.md"], worker(api))

    assert done.returncode == ExitCode.USAGE
    assert "--context-file /nowhere/a.md is not a file" in done.stderr
    assert not api.jobs


def test_the_digest_of_many_results_is_bounded_and_names_every_directory() -> None:
    task = {"status": "success", "output": "x" * 5000, "workspace": "/w/1", "log": "/l/1"}
    tasks = [{**task, "worker_id": f"worker_{number}"} for number in range(100)]
    answer = {"job_id": "j", "status": "completed", "results": {"tasks": tasks}}

    text = spawn_module.summary(answer)

    assert text.count("x") <= spawn_module.SHOWN_IN_ALL
    assert text.count("directory: /w/1") == 100
    assert "log: /l/1" in text


def test_candidates_count_as_one_task_and_the_chosen_one_is_marked() -> None:
    rows = [("success", False), ("recursive_success", True), ("failed", False)]
    tasks = [
        {"worker_id": f"worker_{at}", "task_id": "a", "status": status, "chosen": chosen}
        for at, (status, chosen) in enumerate(rows, 1)
    ]
    tasks.append({"worker_id": "worker_4", "task_id": "b", "status": "skipped"})
    answer = {"job_id": "j", "status": "partial", "results": {"tasks": tasks}}

    lines = spawn_module.summary(answer).splitlines()

    assert lines == [
        "job j: partial, 1 of 2 tasks succeeded",
        "[worker_1] success (not chosen: another candidate was chosen)",
        "[worker_2] recursive_success (chosen)",
        "[worker_3] failed (not chosen: another candidate was chosen)",
        "[worker_4] skipped",
    ]
