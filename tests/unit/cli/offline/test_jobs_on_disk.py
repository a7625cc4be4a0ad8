"""Commands that read the files of jobs while no server runs."""

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.changes import clean
from orchestrator.cli.offline.jobs_on_disk import root_id_of
from orchestrator.cli.offline.log_files import tail_lines
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.core.errors import NotFound
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import JobStatus, WorkerKind
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import StateChange
from orchestrator.schemas.answers.job_list import JobSummary
from orchestrator.workspace import JobDirectories, StatusFiles
from tests.unit.cli.conftest import Orchestrator
from tests.unit.cli.fake_api import FakeApi

Capture = pytest.CaptureFixture[str]
LONG_AGO = "2020-01-02T03:04:05+00:00"


def task(worker: str, status: str = "success", **more: Any) -> dict[str, Any]:
    job = "c1" if worker.count("_") > 1 else "root"
    output = f"{worker} says"
    return {"worker_id": worker, "job_id": job, "status": status, "output": output, **more}


def write_job(folder: Path, job_id: str, status: str = "completed", **more: Any) -> Path:
    """A finished job's directory as the engine leaves it."""
    directory = folder / "workspace" / f"job_{job_id}"
    (directory / "logs").mkdir(parents=True)
    children = [task("worker_2_1"), task("worker_2_2", "failed", reason="exit code 3")]
    parent = task("worker_2", child_job_id="c1", child_job_ids=["c0", "c1"], child_results=children)
    answer: Mapping[str, Any] = {
        "job_id": job_id,
        "status": status,
        "request": f"request of {job_id}",
        "created_at": LONG_AGO,
        "ended_at": LONG_AGO if status != "running" else None,
        "results": {
            "tasks": [task("worker_1"), parent],
            "workspace": str(directory),
            "final_report": str(directory / "FINAL_RESULT.md"),
        },
        **more,
    }
    (directory / "status.json").write_text(json.dumps(answer))
    return directory


def test_status_and_jobs_are_read_from_the_files(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    write_job(folder, "old", created_at="2019-01-01T00:00:00+00:00")
    write_job(folder, "new", status="partial", counts={"success": 3, "failed": 1})

    assert orchestrator("status") == ExitCode.OK
    listed = capsys.readouterr().out
    assert listed.index("new ") < listed.index("old ")

    assert orchestrator("status", "last") == ExitCode.PARTIAL
    assert capsys.readouterr().out.startswith("job new: ")
    assert orchestrator("status", "new") == ExitCode.PARTIAL
    shown = capsys.readouterr().out
    assert "job new: partial after 0.0 s; 4 workers, 3 succeeded, 1 failed" in shown
    assert "    worker_2_2         failed            exit code 3" in shown


def test_the_usage_and_caps_of_a_job_and_of_its_child_job_are_shown_without_a_server(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    config = JobConfig(
        **{"max_workers": 2, "default_timeout": 10, "max_retries": 0, "max_depth": 3},
        max_wall_seconds=99,
        max_cost_usd=2.0,
    )
    root = Job(id="abc", root_id="abc", depth=0, request="x", config=config, created_at=1.0)
    child = replace(root, id="c1", parent_job_id="abc", parent_worker_id="worker_1", depth=1)
    worker = Worker(
        **{"id": "worker_1", "job_id": "abc", "root_id": "abc", "task_id": "a", "agent": "claude"},
        index=0,
        depth=0,
        child_job_ids=("c1",),
        result=WorkerResult(usage=Usage(steps=3, input_tokens=1200, cost_usd=0.25)),
    )
    below = replace(worker, id="worker_1_1", job_id="c1", depth=1, child_job_ids=())
    planner = replace(worker, id="planner", task_id="", kind=WorkerKind.PLANNER, child_job_ids=())
    files = StatusFiles(JobDirectories(folder / "workspace"), lambda root_id: None)

    files(StateChange(new_jobs=[root, child], new_workers=[worker, below, planner]))
    ended = [replace(each, status=JobStatus.FAILED) for each in (root, child)]
    files(StateChange(jobs=ended))

    orchestrator("status", "abc")
    shown = capsys.readouterr().out
    assert "Used:   9 steps, 3,600 input tokens, $0.7500\nCaps:   $2.00\n" in shown
    orchestrator("status", "c1")
    assert "Used:   3 steps, 1,200 input tokens, $0.2500\nCaps:" in capsys.readouterr().out


def test_workers_that_the_status_omits_are_read_from_the_file_of_all_workers(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    directory = write_job(folder, "big")
    whole = (directory / "status.json").read_text()
    some = json.loads(whole)
    some["results"]["tasks"] = some["results"]["tasks"][:1]
    omitted = {"job_id": "big", "count": 3, "all": "GET /api/v1/jobs/big/columns", "file": None}
    some |= {"workers_omitted": omitted, "child_jobs": [{"job_id": "c1", "status": "partial"}]}
    (directory / "status.json").write_text(json.dumps(some))
    orchestrator("status", "big")
    shown = capsys.readouterr()
    assert "worker_2_2" not in shown.out
    assert "3 workers are not in the files of job big until the job ends" in shown.err

    some["workers_omitted"]["file"] = "all_workers.json"
    (directory / "status.json").write_text(json.dumps(some))
    (directory / "all_workers.json").write_text(whole)
    orchestrator("status", "big")
    shown = capsys.readouterr()
    assert "worker_2_2" in shown.out and not shown.err
    orchestrator("status", "c1")
    assert "worker_2_2" in capsys.readouterr().out


@pytest.mark.parametrize("command", [("apply", "big", "--to", ".", "--dry-run"), ("diff", "big")])
def test_a_command_reports_omitted_workers_once(
    folder: Path, orchestrator: Orchestrator, capsys: Capture, command: tuple[str, ...]
) -> None:
    omitted = {"job_id": "big", "count": 3, "file": None}
    write_job(folder, "big", status="running", workers_omitted=omitted)
    orchestrator(*command)
    assert capsys.readouterr().err.count("3 workers are not in the files of job big") == 1


def test_unfinished_jobs_without_a_server_are_named_with_the_command_that_continues_them(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    write_job(folder, "ended")
    orchestrator("jobs")
    assert capsys.readouterr().err == ""

    write_job(folder, "open", status="running")
    for command in (["jobs"], ["status", "open"]):
        orchestrator(*command)
        assert capsys.readouterr().err == (
            "no server is running; unfinished jobs continue with: bin/orchestrator serve\n"
        )


def test_an_empty_list_names_its_filter(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    orchestrator("jobs")
    assert "no jobs yet" in capsys.readouterr().err
    write_job(folder, "done")

    orchestrator("jobs", "--status", "running")
    assert capsys.readouterr().err == "no job has the status running\n"


def test_jobs_lists_root_jobs_and_all_of_them_when_asked(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    child = {"job_id": "c1", "status": "failed", "request": "part", "created_at": LONG_AGO}
    write_job(folder, "root", created_at="2019-01-01T00:00:00+00:00", child_jobs=[child])

    orchestrator("jobs")
    assert "c1" not in capsys.readouterr().out
    orchestrator("jobs", "--all")
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["c1", "failed"],
        ["root", "completed"],
    ]
    orchestrator("jobs", "--all", "--status", "failed", "--json")
    assert [job["job_id"] for job in json.loads(capsys.readouterr().out)["jobs"]] == ["c1"]


def test_jobs_that_cannot_be_read_are_named(
    folder: Path, orchestrator: Orchestrator, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = write_job(folder, "theirs")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != hidden and access(path, mode))

    assert orchestrator("jobs") == orchestrator("status", "theirs") == ExitCode.FAILED
    first, second = capsys.readouterr().err.splitlines()
    assert f"cannot read {folder / 'workspace'}; run the command as the owner" in first
    assert f"cannot read {hidden}; run the command as the owner" in second

    write_job(folder, "mine")
    assert orchestrator("jobs") == ExitCode.OK
    out, err = capsys.readouterr()
    assert "mine" in out and f"cannot read {hidden}; run the command as" in err


def test_the_list_for_programs_has_the_shape_of_the_api(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    times = {"created_at": LONG_AGO, "started_at": LONG_AGO, "ended_at": "2020-01-02T03:04:07Z"}
    below = {"parent_job_id": "root", "parent_worker_id": "worker_2", "depth": 1}
    child = {"job_id": "c1", "status": "failed", "reason": "", "request": "part", **times, **below}
    write_job(folder, "root", request="x" * 400, child_jobs=[child], **times)
    orchestrator("jobs", "--all", "--json")

    by_id = {job["job_id"]: job for job in json.loads(capsys.readouterr().out)["jobs"]}

    # Neither job is paused.
    fields = JobSummary.model_fields.keys() - {"paused"}
    assert set(by_id["c1"]) == fields
    assert set(by_id["root"]) == fields - below.keys() | {"depth"}
    assert (by_id["c1"]["root_job_id"], by_id["c1"]["seconds"]) == ("root", 2.0)
    assert len(by_id["root"]["request"]) == 300


def test_a_child_job_is_found_in_its_roots_files(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    directory = write_job(folder, "root")

    assert orchestrator("status", "c1", "--json") == ExitCode.PARTIAL

    child = json.loads(capsys.readouterr().out)
    assert (child["status"], child["root_job_id"]) == ("partial", "root")
    assert child["results"]["final_report"] == str(directory / "reports" / "job_c1.md")


@pytest.mark.parametrize("job_id", ["root", "c1"])
def test_each_job_of_a_tree_leads_to_its_root(folder: Path, job_id: str) -> None:
    write_job(folder, "root")
    assert root_id_of(folder / "workspace", job_id) == "root"
    with pytest.raises(NotFound):
        root_id_of(folder / "workspace", "nope")


def test_a_half_written_or_foreign_directory_is_passed_over(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    write_job(folder, "good")
    (folder / "workspace" / "job_bad").mkdir()
    (folder / "workspace" / "job_bad" / "status.json").write_text("{")

    orchestrator("jobs", "--json")

    assert [job["job_id"] for job in json.loads(capsys.readouterr().out)["jobs"]] == ["good"]
    assert orchestrator("status", "bad") == ExitCode.NOT_FOUND


@pytest.mark.parametrize("command", ["status", "logs", "report"])
def test_an_unknown_job_exits_3(orchestrator: Orchestrator, command: str) -> None:
    assert orchestrator(command, "nope") == ExitCode.NOT_FOUND


def test_waiting_for_an_ended_job_needs_no_server(folder: Path, orchestrator: Orchestrator) -> None:
    write_job(folder, "a", status="partial")
    write_job(folder, "b", status="running")

    assert orchestrator("wait", "a") == ExitCode.PARTIAL
    assert orchestrator("wait", "b") == ExitCode.UNREACHABLE


def test_reports_are_read_from_their_places(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    directory = write_job(folder, "a")
    places = [
        "FINAL_RESULT.md",
        "depth_1/LEVEL_1_REPORT.md",
        "reports/tree.txt",
        "reports/job_c1.md",
    ]
    for place in places:
        (directory / place).parent.mkdir(exist_ok=True)
        (directory / place).write_text(f"{place}\n")

    orchestrator("report", "a")
    orchestrator("report", "a", "LEVEL_1_REPORT.md")
    orchestrator("report", "a", "tree.txt")
    orchestrator("report", "c1")

    assert capsys.readouterr().out.splitlines() == places


def test_the_report_of_an_unfinished_job_names_the_command_that_waits(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    write_job(folder, "a", status="running")

    assert orchestrator("report", "a") == ExitCode.NOT_FOUND
    assert " wait a" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../status.json", "/etc/passwd", ".hidden", "nothing.md"])
def test_a_report_is_never_read_from_outside_of_the_workspace(
    folder: Path, orchestrator: Orchestrator, name: str
) -> None:
    write_job(folder, "a")

    assert orchestrator("report", "a", name) == ExitCode.NOT_FOUND


def test_logs_name_the_worker_of_each_line(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    logs = write_job(folder, "a") / "logs"
    (logs / "depth_0_worker_1.log").write_text("one\ntwo\n")
    (logs / "depth_1_worker_2_1.log").write_text("three\x1b[2J\nno end")
    (logs / "orchestrator.log").write_text("not a worker\n")

    orchestrator("logs", "a", "-n", "1")
    orchestrator("logs", "a", "worker_2_1")
    orchestrator("logs", "c1", "-n", "1", "--json")

    assert capsys.readouterr().out == (
        "worker_1     | two\nworker_2_1   | no end\nthree[2J\nno end\n"
        '{"worker_id": "worker_2_1", "line": "no end"}\n'
    )
    assert orchestrator("logs", "a", "worker_9") == ExitCode.NOT_FOUND


def test_logs_are_in_the_order_of_the_workers_numbers(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    names = ("worker_1", "worker_2", "worker_10")
    directory = write_job(
        folder,
        "a",
        results={"tasks": [task(name) for name in names], "workspace": "", "final_report": ""},
    )
    for name in names:
        (directory / "logs" / f"depth_0_{name}.log").write_text("x\n")

    orchestrator("logs", "a")

    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [*names]


def test_followed_logs_show_new_lines_and_new_workers_until_the_end(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    directory = write_job(folder, "a", status="running")
    first = directory / "logs" / "depth_0_worker_1.log"
    first.write_text("one\n")
    status = json.loads((directory / "status.json").read_text())

    def work() -> None:
        with first.open("a") as log:
            log.write("two\n")
        (directory / "logs" / "depth_0_worker_2.log").write_text("three\nfour")
        (directory / "status.tmp").write_text(json.dumps({**status, "status": "completed"}))
        (directory / "status.tmp").rename(directory / "status.json")

    threading.Timer(0.3, work).start()

    assert orchestrator("logs", "a", "--follow") == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [
        "worker_1     | one",
        "worker_1     | two",
        "worker_2     | three",
        "worker_2     | four",
    ]


@pytest.mark.parametrize("follow", [(), ("--follow",)], ids=" ".join)
@pytest.mark.parametrize("tail", [2, 99])
def test_each_state_of_a_progress_bar_is_a_line(
    folder: Path, orchestrator: Orchestrator, capsys: Capture, follow: tuple[str, ...], tail: int
) -> None:
    log = write_job(folder, "a") / "logs" / "depth_0_worker_1.log"
    log.write_bytes("load\r\n\n\r 10%\r 99%\r\npage\u2028two\x0c\n".encode())

    assert orchestrator("logs", "a", "-n", str(tail), *follow) == ExitCode.OK

    lines = [line.partition("| ")[2] for line in capsys.readouterr().out.split("\n")[:-1]]
    assert lines == ["load", "", " 10%", " 99%", "page\u2028two"][-tail:]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 99])
@pytest.mark.parametrize("text", ["", "a", "a\n", "a\nb", "a\nb\n", "\n\n", "x" * 70000 + "\ny\n"])
def test_the_tail_is_that_of_the_lines(tmp_path: Path, count: int, text: str) -> None:
    path = tmp_path / "log"
    path.write_text(text)

    assert tail_lines(path, count) == text.splitlines()[len(text.splitlines()) - count :][
        :count
    ] or (count >= len(text.splitlines()) and tail_lines(path, count) == text.splitlines())


def test_clean_removes_old_ended_jobs_only(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    elsewhere = folder / "precious"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("stays")
    old = write_job(folder, "old")
    (old / "link").symlink_to(elsewhere)
    (old / "locked").mkdir()
    (old / "locked" / "file").write_text("x")
    (old / "locked").chmod(0o500)
    running = write_job(folder, "busy", status="running")
    recent = write_job(folder, "recent", ended_at=time.time())

    assert orchestrator("clean", "--older-than", "7d", "--yes") == ExitCode.OK

    assert capsys.readouterr().out == "old\n"
    assert not old.exists()
    assert running.exists() and recent.exists()
    assert (elsewhere / "file").read_text() == "stays"


def test_clean_prints_the_removed_jobs_as_json(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    write_job(folder, "old")

    assert orchestrator("clean", "--older-than", "7d", "--yes", "--json") == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["removed"] == [{"job_id": "old", "kept": []}]
    assert shown["freed_bytes"] > 0
    assert orchestrator("clean", "--older-than", "7d", "--yes", "--json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == {"removed": [], "freed_bytes": 0}


def test_clean_reports_a_job_that_the_key_may_not_see_as_not_removed(
    folder: Path, served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    other = write_job(folder, "other")

    # For a job that the key may not see, the server answers with 404.
    assert orchestrator("clean", "--older-than", "7d", "--yes", "--json") == ExitCode.FAILED

    out, err = capsys.readouterr()
    assert json.loads(out) == {"removed": [], "freed_bytes": 0}
    assert "other was not removed: the server has no such job, or the API key may not see" in err
    assert "; use the key `api.api_key` of config.yaml" in err
    assert other.exists()


def test_a_job_that_another_command_removes_meanwhile_counts_as_removed(
    folder: Path,
    served: FakeApi,
    orchestrator: Orchestrator,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = write_job(folder, "old")

    def remove(directory: Path) -> int:
        old.rename(old.with_name(".removing-job_old"))
        return 5

    monkeypatch.setattr(clean, "disk_usage", remove)

    assert orchestrator("clean", "--older-than", "7d", "--yes") == ExitCode.OK
    assert capsys.readouterr().out == "old\n"


def test_clean_finishes_what_was_begun(folder: Path, orchestrator: Orchestrator) -> None:
    half = write_job(folder, "half")
    half.rename(half.with_name(".removing-job_half"))

    assert orchestrator("clean", "--older-than", "7d", "--yes") == ExitCode.OK
    assert not list((folder / "workspace").glob(".removing-*"))


def test_a_shortened_list_of_jobs_names_the_command_that_lists_more(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    for number in range(22):
        write_job(folder, f"j{number}")

    assert orchestrator("status") == ExitCode.OK  # status has no option --limit
    assert capsys.readouterr().err == (
        "2 more jobs are not shown; to show more: bin/orchestrator jobs --limit N\n"
    )


def test_clean_in_a_worker_removes_nothing(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    old = write_job(folder, "old")
    inside = {"ORCHESTRATOR_WORKER_DIR": str(old / "depth_0" / "worker_1")}

    assert orchestrator("clean", "--older-than", "7d", "--yes", **inside) == ExitCode.FAILED
    assert capsys.readouterr() == (
        "",
        "Error: clean is only for the user: a worker must not remove jobs; nothing was changed\n",
    )
    assert old.exists()


def test_clean_asks_first(folder: Path, orchestrator: Orchestrator) -> None:
    old = write_job(folder, "old")

    assert orchestrator("clean", "--older-than", "1d") == ExitCode.FAILED
    assert old.exists()


@pytest.mark.parametrize(
    "age", ["", "7", "d", "-1d", "1y", "9" * 400 + "d", "9" * 5000 + "d"], ids=len
)
def test_an_age_has_a_unit_and_a_sensible_number(orchestrator: Orchestrator, age: str) -> None:
    assert orchestrator("clean", "--older-than", age) == ExitCode.USAGE


def test_config_show_hides_the_key_and_names_the_origin_of_values(
    orchestrator: Orchestrator, capsys: Capture
) -> None:
    code = orchestrator("config", "show", "--origin", "--json", ORCHESTRATOR_API__PORT="8123")

    assert code == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["api.port"] == {"value": 8123, "origin": "ORCHESTRATOR_API__PORT"}
    assert "fake" not in json.dumps(shown)


def test_config_check_reports_every_problem_with_its_place(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    assert orchestrator("config", "check") == ExitCode.OK

    with (folder / "config.yaml").open("a") as file:
        file.write("workers:\n  max_workrs: 3\n")

    assert orchestrator("config", "check") == ExitCode.USAGE
    err = capsys.readouterr().err
    assert "config.yaml:4" in err and "max_workers" in err


def test_config_check_reports_settings_that_a_server_would_reject(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    with (folder / "config.yaml").open("a") as file:
        file.write("""
webhooks:
  allow_hosts: ["*"]
  endpoints:
    - {name: ci, url: ftp://ci.example/, secret: short, headers: {"A B": x, Token: "s3cret\\nx"}}
notify: {targets: [{name: me, url: "smtp://mail.example"}, {name: you, url: nowhere}]}
triggers: {issues: {verify: github, secret: 0123456789abcdef, plan: absent.yaml}}
""")

    assert orchestrator("config", "check") == ExitCode.USAGE
    err = capsys.readouterr().err
    for place in ("allow_hosts", "[ci].url", "[ci].secret", "'A B'", "'Token'", "[me].url"):
        assert place in err
    assert "[you].url: the address must begin with a scheme" in err
    assert "absent.yaml: No such file or directory" in err
    assert "s3cret" not in err


def test_config_schema_is_json(orchestrator: Orchestrator, capsys: Capture) -> None:
    orchestrator("config", "schema")
    assert "properties" in json.loads(capsys.readouterr().out)


def test_a_comparison_that_the_reports_omit_needs_a_server(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    reports = write_job(folder, "big") / "reports"
    reports.mkdir()
    figures: dict[str, object] = {"comparisons": []}
    (reports / "analytics.json").write_text(json.dumps(figures))
    assert orchestrator("compare", "big", "t1") == ExitCode.NOT_FOUND
    assert "has no candidates of a task 't1'" in capsys.readouterr().err

    figures["comparisons_omitted"] = {"count": 7}
    (reports / "analytics.json").write_text(json.dumps(figures))

    assert orchestrator("compare", "big", "t1") == ExitCode.FAILED
    assert "do not list all candidates; the server has the complete list" in capsys.readouterr().err
