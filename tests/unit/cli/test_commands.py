"""Commands against a server, and their exit codes."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from orchestrator import __version__
from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.command_group import CommandGroup
from orchestrator.cli.command_line.command_table import COMMANDS, GROUPS
from orchestrator.cli.command_line.main import commands
from orchestrator.cli.output import exit_codes
from orchestrator.cli.output.error_messages import report_error
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.server import serve_command
from orchestrator.cli.server.background_server import project_line
from orchestrator.cli.setup import shell_completion
from orchestrator.core.errors import NotFound
from orchestrator.security.files.product_files import FOLDER
from tests.support.programs import needs_full_device
from tests.unit.cli.conftest import Orchestrator
from tests.unit.cli.fake_api import FakeApi, FakeJob, running

Capture = pytest.CaptureFixture[str]


def test_the_first_line_has_the_number_of_workers_that_auto_means(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("workers: {max_workers: auto}\n")
    environ = {"ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT": str(tmp_path)}
    line = project_line(CliContext(folder=tmp_path, environ=environ))
    number = re.fullmatch(r"project: \S+; (\d+) workers? at a time \(.*: auto\)", line)
    assert number and int(number[1]) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://[::1]:1", "http://0.0.0.0:1", "https://0.0.0.0:1"]
)
def test_the_start_line_warns_if_other_machines_reach_the_server(url: str, capsys: Capture) -> None:
    serve_command._print_address(url, Path("/shop"))
    err = capsys.readouterr().err
    assert err.startswith(f"serving at {url} for the project /shop")
    assert ("other machines can reach this address" in err) is ("0.0.0.0" in url)
    assert ("plain HTTP" in err) is (url == "http://0.0.0.0:1")


def test_the_start_line_states_that_only_proxies_may_call_the_server(capsys: Capture) -> None:
    serve_command._print_address("http://0.0.0.0:1", Path("/shop"), True)
    err = capsys.readouterr().err
    assert err.endswith("; only the proxies of api.trusted_proxies may call this address\n")
    assert "plain HTTP" not in err


def test_submit_prints_the_id_and_nothing_else(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    nasty = "a \"b\" 'c' $(d) `e`\nf 🚀"

    assert orchestrator("submit", nasty, "--max-workers", "2", "--agent", "shell") == ExitCode.OK

    out, err = capsys.readouterr()
    assert (out, err) == ("j1\n", "")
    body = served.jobs["j1"].body
    assert body == {"request": nasty, "config": {"max_workers": 2, "agent": "shell"}}


@pytest.mark.parametrize("command", ["run", "submit"])
def test_limits_that_are_not_held_exactly_are_named_once(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture, command: str
) -> None:
    served.accepted = {
        "limits_notice": "this machine does not enforce these limits exactly: workers.limits.cpu"
    }
    assert orchestrator(command, "Say this") == ExitCode.OK
    out, err = capsys.readouterr()
    assert err.count("workers.limits.cpu\n") == 1 and "workers.limits" not in out


@pytest.mark.parametrize("arguments", [["pause"], ["pause", "j1", "--all"], ["resume"]])
def test_a_pause_is_of_one_job_or_of_all(
    orchestrator: Orchestrator, capsys: Capture, arguments: list[str]
) -> None:
    assert orchestrator(*arguments) == ExitCode.USAGE
    assert "pass either a job or --all; list jobs: " in capsys.readouterr().err


def test_a_request_may_look_like_an_option_after_two_dashes(
    served: FakeApi, orchestrator: Orchestrator
) -> None:
    assert orchestrator("submit", "--", "--help") == ExitCode.OK
    assert served.jobs["j1"].body["request"] == "--help"


def test_submit_accepts_a_plan_file_and_options_override_it(
    served: FakeApi, orchestrator: Orchestrator, tmp_path: Path
) -> None:
    plan = tmp_path / "my plan.yaml"
    plan.write_text(
        "request: Build\nconfig: {max_workers: 9, max_retries: 1}\n"
        "tasks:\n- {id: a, agent: shell, command: 'true'}\n"
    )

    assert orchestrator("submit", "--plan", str(plan), "--max-workers", "2") == ExitCode.OK

    body = served.jobs["j1"].body
    assert body["request"] == "Build"
    assert body["config"] == {"max_workers": 2, "max_retries": 1}
    assert body["tasks"] == [{"id": "a", "agent": "shell", "command": "true"}]


@pytest.mark.parametrize(("tasks", "is_shown"), [("tasks: []\n", True), ("", False)])
def test_a_plan_whose_tasks_are_empty_is_split_with_a_note(
    served: FakeApi,
    orchestrator: Orchestrator,
    tmp_path: Path,
    capsys: Capture,
    tasks: str,
    is_shown: bool,
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"request: Build\n{tasks}")

    assert orchestrator("submit", "--plan", str(plan)) == ExitCode.OK

    assert served.jobs["j1"].body["request"] == "Build"
    note = "plan.yaml: 'tasks' is empty, so a planner splits the request into tasks\n"
    assert capsys.readouterr().err == (note if is_shown else "")


def test_a_plan_is_read_from_standard_input(
    served: FakeApi,
    orchestrator: Orchestrator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    for text in ("\ufeffrequest: Build é\ntasks: [{command: 'true'}]", "tasks: 7"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        ended = orchestrator("submit", "--plan", "-")
        assert ended == (ExitCode.USAGE if "7" in text else ExitCode.OK)

    assert served.jobs["j1"].body["request"] == "Build é"
    assert "standard input:1:8: " in capsys.readouterr().err


def test_the_group_job_names_the_command_that_shows_a_job(
    orchestrator: Orchestrator, capsys: Capture
) -> None:
    assert orchestrator("job", "bcb80250") == ExitCode.USAGE
    assert capsys.readouterr().err.endswith(
        "Error: unknown command 'bcb80250'; show a job: bin/orchestrator status bcb80250\n"
    )
    assert orchestrator("job", "stauts", "bcb80250") == ExitCode.USAGE
    assert capsys.readouterr().err.endswith("; did you mean 'status'?\n")


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        (["stauts"], "Error: unknown command 'stauts'; did you mean 'status'?"),
        (["zzzz"], "Error: unknown command 'zzzz'; list all commands: bin/orchestrator help"),
        (
            ["keys", "zzzz"],
            "Error: unknown command 'zzzz'; known: new",
        ),
        (["status", "--jsn"], "Error: no such option '--jsn'; did you mean '--json'?"),
        (["logs"], "Error: missing argument 'JOB'"),
        (
            ["status", ".."],
            "Error: invalid value for 'JOB': must be the id of a job, such as abc123, or 'last'",
        ),
        (["completion"], "Error: missing argument; use bash, zsh, or fish"),
        (["plan", "--plan", "no"], "Error: invalid value for '--plan': file 'no' does not exist"),
        (["completion", "sh"], "Error: invalid value: 'sh' is not one of 'bash', 'zsh', 'fish'"),
        (
            ["jobs", "--limit", "0"],
            "Error: invalid value for '--limit': 0 is out of range; use 1 to 1000",
        ),
        (
            ["retry", "j", "--max-retries", "-1"],
            "Error: invalid value for '--max-retries': -1 is out of range; use 0 or more",
        ),
        (
            ["wait", "j", "--timeout", "-1"],
            "Error: invalid value for '--timeout': -1.0 is out of range; use 0 or more",
        ),
    ],
)
def test_an_error_for_a_mistyped_command_names_the_nearest(
    orchestrator: Orchestrator, capsys: Capture, typed: list[str], error: str
) -> None:
    assert orchestrator(*typed) == ExitCode.USAGE
    assert capsys.readouterr().err.rstrip().endswith(error)


@pytest.mark.parametrize(
    "text",
    [
        "tasks:\n- {agent: shell, command: 'true'}",
        '{"tasks": [{"agent": "shell", "command": "true"}]}',
    ],
    ids=["YAML", "JSON"],
)
def test_a_request_on_the_command_line_completes_a_plan_without_one(
    served: FakeApi, orchestrator: Orchestrator, tmp_path: Path, text: str
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(text)

    orchestrator("submit", "Say: #this", "--plan", str(plan))
    orchestrator("submit", "--plan", str(plan))

    requests = [job.body["request"] for job in served.jobs.values()]
    assert requests == ["Say: #this", "The tasks of plan.yaml"]


@pytest.mark.parametrize("text", ["", "# later", "config: {max_workers: 2}", "tasks: []"])
def test_a_plan_with_nothing_to_do_is_refused(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture, tmp_path: Path, text: str
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(text)

    assert orchestrator("submit", "--plan", str(plan)) == ExitCode.USAGE
    assert "neither 'request' nor 'tasks'" in capsys.readouterr().err
    assert orchestrator("submit", "Say this", "--plan", str(plan)) == ExitCode.OK


def test_an_error_in_a_plan_is_named_with_its_line_and_nothing_is_submitted(
    served: FakeApi, orchestrator: Orchestrator, tmp_path: Path, capsys: Capture
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("request: x\ntasks:\n- agent: shell\n  comand: 'true'\n")

    assert orchestrator("submit", "--plan", str(plan)) == ExitCode.USAGE

    assert "plan.yaml:4" in capsys.readouterr().err
    assert not served.jobs


@pytest.mark.parametrize("command", ["run", "submit", "plan"])
def test_a_request_without_quotes_is_a_usage_error_that_has_them(
    orchestrator: Orchestrator, capsys: Capture, command: str
) -> None:
    assert orchestrator(command, "Survey", "this", "repository") == ExitCode.USAGE
    assert "put it in quotes: 'Survey this repository'" in capsys.readouterr().err


def test_a_plan_shows_who_runs_a_command(
    orchestrator: Orchestrator, capsys: Capture, tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml").write_text("request: x\ntasks: [{id: a, command: ls}]\n")
    assert orchestrator("plan", "--plan", str(tmp_path / "plan.yaml")) == ExitCode.OK
    assert capsys.readouterr().out.splitlines()[1].split() == ["a", "shell", "-", "ls"]


@pytest.mark.parametrize("command", ["run", "submit", "plan"])
@pytest.mark.parametrize("request_words", [[], [""], ["  \n"]])
def test_an_empty_request_is_a_usage_error(
    orchestrator: Orchestrator, command: str, request_words: list[str]
) -> None:
    assert orchestrator(command, *request_words) == ExitCode.USAGE


@pytest.mark.parametrize(
    ("status", "code"), [("completed", 0), ("failed", 1), ("cancelled", 1), ("partial", 6)]
)
def test_wait_exits_like_the_job(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture, status: str, code: int
) -> None:
    served.outcome = status
    orchestrator("submit", "x")
    capsys.readouterr()

    assert orchestrator("wait", "j1") == code
    assert capsys.readouterr().out == f"{status}\n"


def test_wait_that_runs_out_of_time_exits_124(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    served.end_at_once = False
    orchestrator("submit", "x")

    assert orchestrator("wait", "j1", "--timeout", "0.2") == ExitCode.TIMED_OUT
    assert "j1 is still running" in capsys.readouterr().err


def test_wait_that_runs_out_of_time_shows_why_workers_wait(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    served.end_at_once = False
    orchestrator("submit", "x")
    served.jobs["j1"].worker_reason = "waiting for disk space"
    capsys.readouterr()

    assert orchestrator("wait", "j1", "--timeout", "0.2") == ExitCode.TIMED_OUT

    out, err = capsys.readouterr()
    assert out == "running\n"
    assert err.endswith("  worker_1 running: waiting for disk space\n")


def test_wait_reports_until_when_it_retries_a_missing_server(
    orchestrator: Orchestrator, capsys: Capture
) -> None:
    nobody, began = "http://127.0.0.1:1", time.monotonic()

    code = orchestrator("wait", "j1", "--timeout", "2", ORCHESTRATOR_API_URL=nobody)

    out, err = capsys.readouterr()
    assert code == ExitCode.UNREACHABLE
    assert not out and time.monotonic() - began < 30
    awaited = rf"^no answer from {nobody}; retrying until \d{{4}}-"
    assert len(re.findall(awaited, err, re.MULTILINE)) == 1
    assert "start it" not in err


def test_wait_names_the_command_that_starts_a_server_that_has_stopped(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    served.end_at_once = False
    orchestrator("submit", "x")
    threading.Timer(0.2, stop, (served,)).start()

    assert orchestrator("wait", "j1", "--timeout", "2") == ExitCode.UNREACHABLE

    assert "; if the server has stopped, start it: " in capsys.readouterr().err


def test_wait_continues_at_the_next_server_of_the_folder_with_another_port(
    served: FakeApi, orchestrator: Orchestrator, folder: Path
) -> None:
    served.end_at_once = False
    orchestrator("submit", "x")
    with running(FakeApi()) as following:
        following.jobs = served.jobs

        def restart() -> None:
            stop(served)
            following.jobs["j1"].end()
            (folder / "workspace" / "server.json").write_text(
                f'{{"url": "{following.url}", "pid": {os.getpid()}, "started_at": 9999999999}}'
            )

        threading.Timer(0.2, restart).start()

        assert orchestrator("wait", "j1", "--timeout", "20") == ExitCode.OK
        assert following.calls_of("GET", "wait")


def stop(api: FakeApi) -> None:
    api.shutdown()
    api.server_close()
    api.drop_connections()


def test_wait_waits_until_the_job_has_ended(served: FakeApi, orchestrator: Orchestrator) -> None:
    served.end_at_once = False
    orchestrator("submit", "x")
    threading.Timer(0.2, served.jobs["j1"].end).start()

    assert orchestrator("wait", "j1") == ExitCode.OK


@pytest.mark.parametrize("command", ["wait", "logs", "status", "diff"])
def test_without_a_server_an_unknown_job_is_not_found(
    orchestrator: Orchestrator, capsys: Capture, command: str
) -> None:
    assert orchestrator(command, "nope") == ExitCode.NOT_FOUND
    assert "there is no job nope in " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("jobs", "--limit", "x"), "whole number"),
        (("run", "x", "--max-cost", "two"), "number"),
        (("run", "x", "--timeout", "5s"), "number of seconds"),
    ],
)
def test_a_value_of_another_kind_is_named(
    orchestrator: Orchestrator, capsys: Capture, arguments: tuple[str, ...], kind: str
) -> None:
    assert orchestrator(*arguments) == ExitCode.USAGE
    assert f"'{arguments[-1]}' is not a valid {kind}\n" in capsys.readouterr().err


def test_a_long_value_does_not_widen_the_table_of_settings(
    orchestrator: Orchestrator, capsys: Capture
) -> None:
    assert orchestrator("config", "show", "--origin") == ExitCode.OK

    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert len(lines["workers.max_workers"]) < 100
    assert max(map(len, lines.values())) > 100, "every value is printed in full"


def test_cancelling_a_job_that_has_ended_reports_that_nothing_was_cancelled(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    orchestrator("submit", "x")
    assert orchestrator("cancel", "j1") == ExitCode.OK

    out, err = capsys.readouterr()
    assert out == "j1\ncompleted\n"
    assert err == "job j1 has already ended; nothing was cancelled\n"


def test_watch_into_a_pipe_prints_only_what_is_new(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.end_at_once = False
    orchestrator("submit", "x")
    waits = iter((lambda: None, lambda: None, served.jobs["j1"].end))
    monkeypatch.setattr("time.sleep", lambda _: next(waits)())

    assert orchestrator("status", "j1", "--watch") == ExitCode.OK

    assert capsys.readouterr().out.count("job j1: ") == 2


def test_cancel_and_retry_print_the_status(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    served.end_at_once = False
    orchestrator("submit", "x")

    assert orchestrator("cancel", "j1") == ExitCode.OK
    assert orchestrator("retry", "j1", "--timeout", "9", "--max-retries", "0") == ExitCode.OK

    out, err = capsys.readouterr()
    assert out == "j1\nrunning\nrunning\n"
    assert err.splitlines() == [
        "stopping job j1; wait for its end: bin/orchestrator wait j1",
        "wait for the job: bin/orchestrator wait j1",
    ]
    body = served.calls_of("POST", "retry")[0].body
    assert body == {"config": {"default_timeout": 9.0, "max_retries": 0}}


@pytest.mark.parametrize("name", ["j1", "job_j1", "/some/where/workspace/job_j1/"])
def test_a_job_can_be_named_by_its_directory(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture, name: str
) -> None:
    orchestrator("submit", "x")

    assert orchestrator("status", name, "--json") == ExitCode.OK
    assert '"job_id": "j1"' in capsys.readouterr().out


@pytest.mark.parametrize("name", ["job_j1", "/some/where/workspace/job_j1/"])
@pytest.mark.parametrize("command", ["cancel", "pause", "resume", "open", "status"])
def test_commands_with_an_optional_job_accept_the_name_of_its_directory(
    served: FakeApi, orchestrator: Orchestrator, command: str, name: str
) -> None:
    orchestrator("submit", "x")
    submissions = len(served.calls)

    orchestrator(command, name)

    assert served.calls[submissions].path.split("/")[:5] == ["", "api", "v1", "jobs", "j1"]


@pytest.mark.parametrize("command", ["pause", "resume", "open", "status", "top"])
def test_an_empty_job_is_a_usage_error(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture, command: str
) -> None:
    assert orchestrator(command, "") == ExitCode.USAGE
    assert "must be the id of a job, such as abc123" in capsys.readouterr().err
    assert not served.calls


def test_status_shows_workers_and_where_the_result_is(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    served.output = "# Heading\n\nwhat it found \x1b[31m"
    orchestrator("submit", "x")
    capsys.readouterr()

    orchestrator("status", "j1")

    out = capsys.readouterr().out
    assert "job j1: completed after 0.0 s; 1 worker, 1 succeeded" in out
    assert "worker_1             success           Heading" in out
    assert "Result: /w/job_j1/FINAL_RESULT.md" in out
    assert "\x1b" not in out


def test_jobs_lists_more_jobs_than_a_page_of_the_server_has(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    for number in range(450):
        served.submit({"request": "x"}, str(number))

    for limit, shown in ((200, 200), (201, 201), (430, 430), (1000, 450)):
        assert orchestrator("jobs", "--json", "--limit", str(limit)) == ExitCode.OK
        answer = json.loads(capsys.readouterr().out)
        names = [job["job_id"] for job in answer["jobs"]]
        assert names == [f"j{number + 1}" for number in range(shown)]
        assert (answer["total"], answer["page"], answer["page_size"]) == (450, 1, limit)


def test_jobs_lists_what_the_server_has(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    orchestrator("submit", "x")
    capsys.readouterr()

    assert orchestrator("jobs", "--json", "--status", "completed") == ExitCode.OK
    assert [job["job_id"] for job in json.loads(capsys.readouterr().out)["jobs"]] == ["j1"]
    assert orchestrator("jobs", "--status", "bogus") == ExitCode.USAGE


def test_a_report_goes_to_standard_output(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    orchestrator("submit", "x")
    capsys.readouterr()

    orchestrator("report", "j1", "tree.txt")
    assert capsys.readouterr().out == "# tree.txt\n"


def test_logs_of_a_remote_job_come_from_the_server(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    orchestrator("submit", "x")
    capsys.readouterr()

    assert orchestrator("logs", "j1", "worker_1", "-n", "2") == ExitCode.OK
    assert capsys.readouterr().out == "line 0\nline 1\n"


@pytest.mark.parametrize("command", ["status", "wait", "cancel", "retry", "report", "logs"])
def test_an_unknown_job_exits_3_and_names_the_next_command(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture, command: str
) -> None:
    assert orchestrator(command, "nope") == ExitCode.NOT_FOUND

    out, err = capsys.readouterr()
    assert out == ""
    assert "nope" in err and "orchestrator jobs" in err


def test_the_list_of_jobs_is_no_way_to_a_report_that_is_not_there(capsys: Capture) -> None:
    error = NotFound("job j1 has no report 'x'")

    assert report_error(error, as_json=False) == ExitCode.NOT_FOUND
    assert capsys.readouterr().err == "Error: job j1 has no report 'x'\n"


@pytest.mark.parametrize("arguments", [["submit", "x"], ["cancel", "j1"], ["pause", "j1"]])
def test_without_a_server_commands_exit_5_and_name_the_command_that_starts_one(
    orchestrator: Orchestrator, capsys: Capture, arguments: list[str]
) -> None:
    assert orchestrator(*arguments) == ExitCode.UNREACHABLE
    assert "orchestrator serve" in capsys.readouterr().err


def test_a_record_of_a_dead_server_is_no_server(
    served: FakeApi, folder: Path, orchestrator: Orchestrator
) -> None:
    record = folder / "workspace" / "server.json"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    record.write_text(json.dumps({"url": served.url, "pid": ended.pid, "started_at": 9e9}))

    assert orchestrator("submit", "x") == ExitCode.UNREACHABLE
    assert not served.jobs


def test_a_process_that_began_after_the_record_is_another_one(
    served: FakeApi, folder: Path, orchestrator: Orchestrator
) -> None:
    record = folder / "workspace" / "server.json"
    record.write_text(json.dumps({"url": served.url, "pid": os.getpid(), "started_at": 1e9}))

    assert orchestrator("submit", "x") == ExitCode.UNREACHABLE


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "x"])
@pytest.mark.parametrize("command", ["run", "submit", "wait", "retry"])
def test_a_time_that_is_none_is_a_usage_error(
    served: FakeApi, orchestrator: Orchestrator, command: str, seconds: str
) -> None:
    assert orchestrator(command, "j1", "--timeout", seconds) == ExitCode.USAGE


@pytest.mark.parametrize("amount", ["nan", "inf", "0", "x"])
@pytest.mark.parametrize("command", ["run", "submit", "retry", "budget"])
def test_a_cost_that_is_none_is_a_usage_error(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture, command: str, amount: str
) -> None:
    assert orchestrator(command, "j1", "--max-cost", amount) == ExitCode.USAGE
    assert "invalid value for '--max-cost'" in capsys.readouterr().err


def test_a_wrong_key_exits_4(served: FakeApi, orchestrator: Orchestrator, capsys: Capture) -> None:
    code = orchestrator("submit", "x", ORCHESTRATOR_API_KEY="wrong")

    assert code == ExitCode.KEY_REFUSED
    assert "send X-API-Key" in capsys.readouterr().err


def test_a_reached_limit_exits_7_with_the_remaining_quota(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    problem = {"type": "limit-workers", "detail": "too many", "left": {"workers": 3}}
    served.faults.append((422, problem, {}))

    assert orchestrator("submit", "x") == ExitCode.LIMIT
    err = capsys.readouterr().err
    assert "too many" in err and "remaining: workers 3" in err


@pytest.mark.parametrize(
    ("typed", "detail"),
    [
        (["submit", "", "--json"], "REQUEST is empty; describe the work"),
        (["status", "--json", "--watc"], "no such option '--watc'; did you mean '--watch'?"),
        (["wait", "--json"], "missing argument 'JOB'"),
        (["stauts", "--json"], "unknown command 'stauts'; did you mean 'status'?"),
    ],
)
def test_with_json_wrong_usage_is_a_problem_object(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture, typed: list[str], detail: str
) -> None:
    assert orchestrator(*typed) == ExitCode.USAGE

    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {
        "type": "invalid-request",
        "title": "The request is invalid.",
        "detail": detail,
    }


def test_ctrl_c_during_an_import_is_no_crash(
    orchestrator: Orchestrator, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Field:
        def __set_name__(self, *_: object) -> None:
            raise KeyboardInterrupt

    def import_models(*_: object) -> None:
        # Python 3.11 raises a RuntimeError here.
        type("Model", (), {"field": Field()})

    monkeypatch.setattr("orchestrator.cli.jobs.list_jobs.show_jobs", import_models)

    assert orchestrator("jobs") == ExitCode.INTERRUPTED
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "kind"),
    [((422, {"type": "limit-workers"}, {}), "limit-workers"), (None, "no-server")],
)
def test_with_json_an_error_is_a_problem_object(
    api: FakeApi,
    orchestrator: Orchestrator,
    capsys: Capture,
    request: pytest.FixtureRequest,
    fault: tuple[int, dict[str, str], dict[str, str]] | None,
    kind: str,
) -> None:
    if fault:
        request.getfixturevalue("served").faults.append(fault)

    orchestrator("submit", "x", "--json")

    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["type"] == kind


def test_in_a_worker_its_own_server_is_used(api: FakeApi, orchestrator: Orchestrator) -> None:
    assert orchestrator("submit", "x", ORCHESTRATOR_API_URL=api.url) == ExitCode.OK
    assert api.jobs


def test_last_is_the_newest_job(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    assert orchestrator("wait", "last", "--json") == ExitCode.NOT_FOUND
    assert "no jobs yet" in json.loads(capsys.readouterr().err)["detail"]
    orchestrator("submit", "x")
    served.jobs["child"] = FakeJob("child", {"request": "y"}, depth=1)
    assert orchestrator("undo", "last") == ExitCode.NOT_FOUND
    assert "there is no job j1" in capsys.readouterr().err
    assert orchestrator("cancel", "last") == ExitCode.OK
    assert "job j1" in capsys.readouterr().err


def test_a_worker_without_child_jobs_learns_which_jobs_it_sees(
    api: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    worker = {"ORCHESTRATOR_API_URL": api.url, "ORCHESTRATOR_WORKER_ID": "worker_1"}
    assert orchestrator("jobs", **worker) == ExitCode.OK
    assert (
        "no child jobs; a worker sees only its child jobs; start one: " in capsys.readouterr().err
    )
    assert orchestrator("jobs", **worker, ORCHESTRATOR_API_KEY="wrong") == ExitCode.KEY_REFUSED
    assert "origin of the key" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "http://[", "http://my host:80", "http://a..b", f"https://{'a' * 64}.org"],
)
def test_an_invalid_server_address_is_reported(
    orchestrator: Orchestrator, capsys: Capture, url: str
) -> None:
    assert orchestrator("jobs", ORCHESTRATOR_API_URL=url) == ExitCode.USAGE
    assert capsys.readouterr().err == (
        f"Error: ORCHESTRATOR_API_URL: invalid api_url {url!r}; use an address such as "
        "http://localhost:8000\n"
    )


def test_a_closed_pipe_is_no_crash(served: FakeApi, orchestrator: Orchestrator) -> None:
    shown = run_program("--help", pipe="head -1")

    assert shown.stderr == ""


def test_help_without_a_reader_is_no_failure() -> None:
    shown = run_program("--help", pipe="true; echo ${PIPESTATUS[0]}")

    assert (shown.stdout, shown.stderr) == ("0\n", "")


def run_program(*arguments: str, pipe: str = "cat") -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")}
    return subprocess.run(
        ["bash", "-c", f'"$@" | {pipe}', "-", sys.executable, "-m", "orchestrator", *arguments],
        env={**environ, "PYTHONPATH": str(FOLDER)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_reader_that_stops_early_is_no_failure(folder: Path) -> None:
    logs = folder / "workspace" / "job_a" / "logs"
    logs.mkdir(parents=True)
    folder.chmod(0o700)
    (logs / "depth_0_worker_1.log").write_text("a line\n" * 100_000)
    (logs.parent / "status.json").write_text('{"job_id": "a", "status": "completed"}')

    shown = run_program("--home", str(folder), "logs", "a", pipe="head -1; echo ${PIPESTATUS[0]}")

    assert (shown.stdout, shown.stderr) == ("worker_1     | a line\n0\n", "")


@needs_full_device
def test_a_full_disk_below_the_output_is_an_error_without_a_traceback() -> None:
    program = [sys.executable, "-m", "orchestrator", "config", "template"]
    environ = {**os.environ, "PYTHONPATH": str(FOLDER)}
    with open("/dev/full", "w") as full:
        shown = subprocess.run(program, env=environ, stdout=full, stderr=-1, text=True)

    assert shown.stderr == "Error: cannot write the output: No space left on device\n"
    assert shown.returncode == ExitCode.FAILED


@needs_full_device
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["nonsense"], ExitCode.USAGE), (["config", "nonsense"], ExitCode.USAGE)],
)
def test_a_full_disk_below_standard_error_does_not_change_the_exit_code(
    arguments: list[str], code: int
) -> None:
    environ = {**os.environ, "PYTHONPATH": str(FOLDER)}
    with open("/dev/full", "w") as full:
        shown = subprocess.run(
            [sys.executable, "-m", "orchestrator", *arguments], env=environ, stderr=full
        )

    assert shown.returncode == code


@needs_full_device
def test_a_run_goes_on_if_the_disk_below_standard_error_is_full(
    folder: Path, served: FakeApi, environ: dict[str, str]
) -> None:
    folder.chmod(0o700)
    command = ["--home", str(folder), "run", "x", "--project", str(folder)]
    with open("/dev/full", "w") as full:
        shown = subprocess.run(
            [sys.executable, "-m", "orchestrator", *command],
            env={**environ, "PYTHONPATH": str(FOLDER)},
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            timeout=60,
        )

    assert shown.returncode == ExitCode.OK
    assert "job j1: completed" in shown.stdout


def listed(shown: str) -> list[str]:
    """Return the commands in a help text: the first word of each line below a title."""
    return re.findall(r"^  ([a-z]+) +[A-Z]", shown, re.MULTILINE)


def test_help_names_at_most_twelve_commands_and_every_exit_code(
    orchestrator: Orchestrator, capsys: Capture
) -> None:
    assert orchestrator("--help") == ExitCode.OK

    out = capsys.readouterr().out
    assert {"run", "job", "help"} < set(listed(out)) <= set(COMMANDS)
    assert len(listed(out)) <= 12
    assert exit_codes.table().replace(" ", "") in out.replace(" ", "")


def test_every_command_is_in_the_list_of_help_and_in_completions(
    orchestrator: Orchestrator, capsys: Capture
) -> None:
    assert orchestrator("help") == ExitCode.OK
    assert listed(capsys.readouterr().out) == list(COMMANDS)
    offered = ShellComplete(commands, {}, "orchestrator", "_X").get_completions([], "")
    assert {each.value for each in offered} == set(COMMANDS)
    offered = ShellComplete(commands, {}, "orchestrator", "_X").get_completions(["job"], "st")
    assert [each.value for each in offered] == ["status"]


@pytest.mark.parametrize(
    ("names", "usage"),
    [
        (["status"], "bin/orchestrator status [OPTIONS] [JOB]"),
        (["job", "status"], "bin/orchestrator job status [OPTIONS] [JOB]"),
        (["config", "show"], "bin/orchestrator config show [OPTIONS]"),
    ],
)
def test_help_of_a_command_is_what_its_own_option_prints(
    orchestrator: Orchestrator, capsys: Capture, names: list[str], usage: str
) -> None:
    assert orchestrator("help", *names) == ExitCode.OK
    shown = capsys.readouterr().out
    assert orchestrator(*names, "--help") == ExitCode.OK
    assert shown == capsys.readouterr().out
    assert shown.startswith(f"Usage: {usage}\n")


def test_the_commands_of_a_group_are_those_of_the_top_level(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    root = click.Context(commands)
    for name in GROUPS:
        group = commands.get_command(root, name)
        assert isinstance(group, CommandGroup) and name not in group.modules
        assert all(group.modules[each] == COMMANDS[each] for each in group.modules)
    orchestrator("submit", "x")
    capsys.readouterr()

    assert orchestrator("job", "wait", "j1") == orchestrator("wait", "j1") == ExitCode.OK
    assert capsys.readouterr().out == "completed\ncompleted\n"
    assert orchestrator("job", "stauts") == ExitCode.USAGE
    assert capsys.readouterr().err.endswith("; did you mean 'status'?\n")


@pytest.mark.parametrize("group", [(), ("job",), ("worker",), ("config",), ("keys",)])
def test_a_group_without_a_command_prints_its_help_as_a_usage_error(
    orchestrator: Orchestrator, capsys: Capture, group: list[str]
) -> None:
    assert orchestrator(*group, "--help") == ExitCode.OK
    shown = capsys.readouterr().out
    assert orchestrator(*group) == ExitCode.USAGE
    assert capsys.readouterr().err == shown


@pytest.mark.parametrize("group", [(), ("help",), ("job",), ("worker",), ("config",), ("keys",)])
def test_help_describes_commands_in_whole_sentences(
    orchestrator: Orchestrator, capsys: Capture, monkeypatch: pytest.MonkeyPatch, group: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert orchestrator(*group, *[] if group == ("help",) else ["--help"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert listed(out)
    assert "..." not in re.sub(r"^Usage: .*|\[.*?\]\.\.\.", "", out)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(orchestrator: Orchestrator, capsys: Capture, name: str) -> None:
    if name in ("spawn", "lock", "mcp"):
        with pytest.raises(SystemExit):
            orchestrator(name, "-h")
    else:
        assert orchestrator(name, "-h") == ExitCode.OK
    assert f"orchestrator {name}" in capsys.readouterr().out


def test_the_version_is_the_packages(orchestrator: Orchestrator, capsys: Capture) -> None:
    orchestrator("--version")
    assert capsys.readouterr().out == f"orchestrator, version {__version__}\n"


def test_the_help_of_spawn_loads_the_standard_library_alone() -> None:
    program = FOLDER / "orchestrator" / "cli" / "worker" / "spawn.py"
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['spawn', '--help']\n"
        f"try: runpy.run_path({str(program)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'click', 'requests', 'yaml', 'pydantic', 'flask', 'sqlalchemy', 'jinja2'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert "--wait" in done.stdout


def test_lock_loads_the_standard_library_alone() -> None:
    program = FOLDER / "orchestrator" / "cli" / "worker" / "lock.py"
    command = [sys.executable, "-S", "-E", "-X", "importtime", str(program), "lock", "--help"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert not loaded & {"click", "requests", "http.client", "urllib.request", "typing"}
    assert "--check" in done.stdout


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom orchestrator.cli.command_line.main import execute\n"
        "from orchestrator.cli.command_context import CliContext\n"
        "execute(['--help'], CliContext())\n"
        "heavy = {'requests', 'yaml', 'pydantic', 'flask', 'sqlalchemy', 'jinja2'}\n"
        "heavy.add('importlib.metadata')\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(FOLDER)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_short_command_spends_no_time_on_garbage() -> None:
    code = (
        "import atexit, gc, runpy, sys\n"
        "at_start = [gc.get_stats()[0]['collections']]\n"
        "def show():\n"
        "    done = gc.get_stats()[0]['collections'] - at_start[0]\n"
        "    print(done < 5, gc.get_freeze_count() > 1000, file=sys.stderr)\n"
        "atexit.register(show)\n"
        "sys.argv = ['orchestrator', '--version']\n"
        "runpy.run_module('orchestrator', run_name='__main__')"
    )

    assert _loaded(code) == {"True"}


#: Third-party packages, and packages of the product, that a light command may load.
_LIGHT = {"click", "api", "cli", "core", "launchers", "security", "system"}
#: More packages that a command may load, by command.
_COMMANDS: dict[tuple[str, ...], set[str]] = {
    ("status",): set(),
    ("jobs",): set(),
    ("job", "--help"): {"workspace"},
    ("diff", "--help"): set(),
    ("wait", "x"): set(),
    ("logs", "x"): set(),
    ("submit", "a request"): set(),
    ("run", "--help"): set(),
}
#: Modules of the standard library whose import takes as long as a short command.
_SLOW = {"asyncio", "email.parser", "http.client", "importlib.metadata", "secrets", "ssl"}


@pytest.mark.parametrize("words", _COMMANDS, ids=" ".join)
def test_a_light_command_loads_little(words: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from orchestrator.cli.command_line.main import execute\n"
        "from orchestrator.cli.command_context import CliContext\n"
        f"execute({list(words)}, CliContext(environ=os.environ))\n"
        "own = {each.split('.')[1] for each in sys.modules if each.startswith('orchestrator.')}\n"
        "others = {each.partition('.')[0] for each in sys.modules} - sys.stdlib_module_names\n"
        f"slow = {_SLOW} & set(sys.modules)\n"
        "print(*own | others | slow, file=sys.stderr)"
    )

    loaded = _loaded(code, ORCHESTRATOR_HOME=str(tmp_path / "home"))

    assert loaded - {"orchestrator", "__main__"} <= _LIGHT | _COMMANDS[words]


def test_a_plan_that_the_server_checks_loads_no_models(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("tasks: [{command: 'true'}]")
    code = (
        "import sys; from pathlib import Path\n"
        "from orchestrator.cli.plan.plan_file import unchecked_plan\n"
        f"assert unchecked_plan(Path({str(plan)!r}), None)\n"
        "print(*{each.partition('.')[0] for each in sys.modules}, file=sys.stderr)"
    )

    assert not _loaded(code) & {"pydantic", "requests"}


@pytest.mark.parametrize("module", ["status", "submit"])
def test_calling_a_server_on_this_machine_loads_no_requests(module: str) -> None:
    code = (
        f"import sys, orchestrator.cli.jobs.{module}\n"
        "import orchestrator.api.client.client, orchestrator.cli.offline.server_liveness\n"
        "print(*{each.partition('.')[0] for each in sys.modules}, file=sys.stderr)"
    )

    assert not _loaded(code) & {"requests", "urllib3", "pydantic", "yaml"}


#: Modules that only some servers need, or that a server needs only after it listens.
_LATER = (
    *("alembic", "sqlalchemy.dialects.postgresql", "orchestrator.api.openapi"),
    *("requests", "orchestrator.cli.jobs", "orchestrator.cli.follow"),
)


@pytest.mark.slow
def test_the_server_loads_what_only_some_servers_need_later() -> None:
    code = (
        "import sys, orchestrator.cli.server.server_process\n"
        f"print(*(each for each in sys.modules if each.startswith({_LATER})), file=sys.stderr)"
    )

    assert _loaded(code) == set()


@pytest.mark.slow
def test_the_first_imports_of_a_server_are_modules_that_it_needs() -> None:
    code = (
        "import sys, orchestrator.cli.server.server_process\n"
        "from orchestrator.cli.server.serve_command import FIRST_IMPORTS\n"
        "print(*(each for each in FIRST_IMPORTS if each not in sys.modules), file=sys.stderr)"
    )

    assert _loaded(code) == set()


def test_a_command_that_starts_a_server_loads_no_models(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("api: {api_key: 0a1b2c3d4e5f60718293, port: 9000}\n")
    (tmp_path / "main.py").touch()
    folder = f"Path({str(tmp_path)!r})"
    code = (
        "import os, sys; from pathlib import Path\n"
        "import orchestrator.cli.jobs.run, orchestrator.cli.plan.plan_review\n"
        "import orchestrator.cli.follow.follow, orchestrator.cli.follow.display\n"
        "from orchestrator.cli.server.background_server import project_at_start, start_settings\n"
        f"assert start_settings({folder}, {{}}, print).port == 9000\n"
        f"project_at_start({folder}, os.environ)\n"
        "print(*{each.partition('.')[0] for each in sys.modules}, file=sys.stderr)"
    )

    environ = {"ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT": str(tmp_path)}
    assert not _loaded(code, **environ) & {"pydantic", "requests", "yaml", "jinja2"}


def test_processes_above_workers_load_nothing_slow() -> None:
    code = (
        "import sys, orchestrator.launchers.spawner.early_fork\n"
        "print(*sys.modules, file=sys.stderr)"
    )

    slow = {"traceback", "tokenize", "urllib", "tempfile", "subprocess", "dataclasses", "inspect"}
    assert not _loaded(code) & slow


def test_settings_load_no_scheduler_and_no_git() -> None:
    code = (
        "import sys, orchestrator.config, orchestrator.cli.server.background_server\n"
        "later = ('orchestrator.core.scheduler', 'orchestrator.git', 'sqlalchemy', 'flask')\n"
        "print(*(each for each in sys.modules if each.startswith(later)), file=sys.stderr)"
    )

    assert _loaded(code) == set()


def _loaded(code: str, **environ: str) -> set[str]:
    """Return the modules that the last line of standard error names."""
    # -S: without modules that files of site-packages load at every start.
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys\nsys.path = {sys.path!r}\n{code}"],
        env={**os.environ, "PYTHONPATH": str(FOLDER), **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split()) if done.stderr else set()


def test_completion_knows_the_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator"],
        env={
            **os.environ,
            "PYTHONPATH": str(FOLDER),
            "_ORCHESTRATOR_COMPLETE": "bash_complete",
            "COMP_WORDS": "orchestrator sub",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout == "plain,submit\n"


@pytest.mark.parametrize(
    ("shell", "check"), [("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])]
)
def test_the_completion_of_a_shell_is_printed_for_it(
    orchestrator: Orchestrator, capsys: Capture, tmp_path: Path, shell: str, check: list[str]
) -> None:
    assert orchestrator("completion", shell) == ExitCode.OK
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    assert f"_ORCHESTRATOR_COMPLETE={shell}_complete" in script.read_text()
    if program := shutil.which(shell):
        assert subprocess.run([program, *check, script], timeout=60).returncode == 0


@pytest.mark.needs("fish")
def test_the_completion_of_fish_works_for_a_program_that_is_not_on_the_path(
    orchestrator: Orchestrator, capsys: Capture, tmp_path: Path
) -> None:
    assert orchestrator("completion", "fish") == ExitCode.OK
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    command = f"source {script}; complete -C 'bin/orchestrator stat'"

    shown = subprocess.run(
        ["fish", "--no-config", "-c", command], capture_output=True, text=True, timeout=60
    )

    assert (shown.stdout, shown.stderr) == (
        "status\tShow the status of JOB, or the latest jobs.\n",
        "",
    )


#: The program's path, as a shell needs it.
PROGRAM = shlex.quote(f"{FOLDER}/bin/orchestrator")


def test_completions_start_the_program_by_its_path(
    orchestrator: Orchestrator, capsys: Capture
) -> None:
    for shell in ("zsh", "fish"):
        assert orchestrator("completion", shell) == ExitCode.OK
        assert f" {PROGRAM})" in capsys.readouterr().out
    assert orchestrator("completion", "--help") == ExitCode.OK
    assert f'eval "$({PROGRAM} completion zsh)"' in capsys.readouterr().out


def test_the_help_of_completions_is_right_in_another_directory(tmp_path: Path) -> None:
    program = FOLDER / "bin/orchestrator"
    for arguments in (("completion", "--help"), ("help", "completion")):
        shown = subprocess.run(
            [program, *arguments], cwd=FOLDER.parent, capture_output=True, text=True, check=True
        )
        assert f'eval "$({PROGRAM} completion zsh)"' in shown.stdout


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("uvx --from /d/a.whl orchestrator", "uvx --from /d/a.whl orchestrator"),
        ("orchestrator", "orchestrator"),
        ("'/a b/bin/orchestrator'", "'/a b/bin/orchestrator'"),
    ],
)
def test_completions_work_for_each_form_of_the_command(command: str, program: str) -> None:
    assert shell_completion.program_of(command) == program


def test_a_request_that_is_a_bulleted_list_is_text_and_no_option(
    orchestrator: Orchestrator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orchestrator("plan", "- first thing\n- second thing", "--json") == ExitCode.OK

    tasks = json.loads(capsys.readouterr().out)["tasks"]
    assert [task["title"] for task in tasks] == ["first thing", "second thing"]


def test_jobs_lists_root_jobs_and_all_of_them_when_asked(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    orchestrator("submit", "root")
    orchestrator("submit", "child")
    served.jobs["j2"].depth = 1
    capsys.readouterr()

    def listed(*options: str, **variables: str) -> list[str]:
        orchestrator("jobs", "--json", *options, **variables)
        return [job["job_id"] for job in json.loads(capsys.readouterr().out)["jobs"]]

    assert listed() == ["j1"]
    assert listed("--all") == ["j1", "j2"]
    # A worker sees only child jobs.
    assert listed(ORCHESTRATOR_WORKER_ID="worker_1") == ["j1", "j2"]


def test_a_request_is_read_from_standard_input(
    served: FakeApi, orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (b"Fix \xf0\x9f\x9a\x80\nall", b"\xff", b"\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        code = orchestrator("submit", "-")
        assert code == (ExitCode.OK if b"Fix" in content else ExitCode.USAGE)

    assert [job.body["request"] for job in served.jobs.values()] == ["Fix 🚀\nall"]


def test_ctrl_c_while_it_loads_shows_no_traceback() -> None:
    program = """
import os, runpy, signal, sys

class Interrupts:
    def find_spec(self, name, *_):
        if name == "orchestrator.cli.command_line.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
runpy.run_module("orchestrator", run_name="__main__")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (ExitCode.INTERRUPTED, b"")


def test_help_of_a_name_below_a_command_without_commands_is_an_error(
    orchestrator: Orchestrator, capsys: Capture
) -> None:
    assert orchestrator("help", "run", "foo") == ExitCode.USAGE

    printed = capsys.readouterr()
    assert "run has no command 'foo'" in printed.err and "help run" in printed.err
    assert printed.out == ""


def test_status_is_read_from_the_files_while_the_server_cannot_read_its_database(
    served: FakeApi, folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    directory = folder / "workspace" / "job_abc"
    directory.mkdir()
    answer = {"job_id": "abc", "status": "running", "request": "x", "results": {"tasks": []}}
    (directory / "status.json").write_text(json.dumps(answer))
    problem = {"type": "store-away", "detail": "the database does not answer", "status": 503}
    served.faults = [(503, problem, {})] * 20

    assert orchestrator("status", "abc", "--json") == ExitCode.OK
    printed = capsys.readouterr()
    assert json.loads(printed.out)["status"] == "running"
    assert "the database does not answer" in printed.err and "stored status" in printed.err


def test_an_error_before_the_command_is_read_is_json_too(
    orchestrator: Orchestrator, tmp_path: Path, capsys: Capture
) -> None:
    home = tmp_path / "open home"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    assert orchestrator("--home", str(home), "jobs", "--json") == ExitCode.USAGE
    assert "open to other users" in json.loads(capsys.readouterr().err)["detail"]
