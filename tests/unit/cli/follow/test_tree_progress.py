"""The lines that are printed for events."""

from typing import Any

import pytest

from orchestrator.cli.follow.blocked_reason import waiting_workers
from orchestrator.cli.follow.display import LiveDisplay, PlainDisplay
from orchestrator.cli.follow.progress_line import progress_line
from orchestrator.cli.follow.tree_progress import TreeProgress
from orchestrator.cli.output.status_answer import counts_of
from orchestrator.cli.output.style import Style, wants_color
from orchestrator.cli.output.terminal_text import (
    duration,
    first_line,
    moment,
    printable,
    size,
    table,
)
from orchestrator.cli.output.text_width import columns, fit
from orchestrator.core.events import EventKind
from orchestrator.core.text.formatting import AT_LEAST


def event(kind: str, worker: str | None = None, at: float = 100.0, **data: Any) -> dict[str, Any]:
    return {"kind": kind, "job_id": "j1", "worker_id": worker, "at": at, "data": data}


def counters(progress: TreeProgress) -> str:
    """The progress line at the start of a job, without its bar."""
    line = progress_line(progress, 100.0, 100.0, 200, Style(is_on=False), is_unicode=False)
    return line.partition(" ")[2]


@pytest.mark.parametrize(
    ("facts", "awaited"),
    [
        ({"child_job_ids": [], "locks": ["db", "src"]}, "lock db, src"),
        ({"child_job_ids": ["c1"], "locks": ["db"]}, "child job c1 and lock db"),
        ({}, "child jobs"),
    ],
)
def test_a_waiting_worker_names_what_it_waits_for(facts: dict[str, Any], awaited: str) -> None:
    line = TreeProgress().record(event("worker_waiting", "worker_2", **facts))

    assert line == f"worker_2 waiting for {awaited}; slot released"


def test_the_tasks_of_a_plan_are_counted() -> None:
    lines = [
        TreeProgress().record(event("job_planned", tasks=many, source="claude")) for many in (1, 2)
    ]

    assert lines == ["job j1: 1 task, planned by claude", "job j1: 2 tasks, planned by claude"]


def test_a_pause_names_its_cause_and_the_command_that_shows_how_to_resume() -> None:
    lines = [
        TreeProgress().record(event("job_paused", by="default", running="finish")),
        TreeProgress().record(event("job_paused", by="max_steps (5)", running="stop")),
        TreeProgress().record(event("job_resumed", by="default")),
    ]

    assert lines == [
        "job j1 paused by key 'default'; show how to resume: bin/orchestrator status j1",
        "job j1 paused by max_steps (5)",
        "job j1 resumed by key 'default'",
    ]


def test_the_lines_of_a_worker_from_start_to_end() -> None:
    progress = TreeProgress()

    lines = [
        progress.record(event("job_submitted", request="all", depth=0)),
        progress.record(event("worker_started", "worker_2", attempt=1, agent="survey")),
        progress.record(
            event("job_submitted", request="child", parent_worker_id="worker_2", depth=1)
        ),
        progress.record(event("worker_waiting", "worker_2", child_job_ids=["c1"])),
        progress.record(event("worker_started", "worker_2_1", at=101, attempt=2, agent="shell")),
        progress.record(
            event("worker_retrying", "worker_2_1", attempt=2, delay_seconds=2, reason="exit 3")
        ),
        progress.record(event("worker_started", "worker_2_1", at=104, attempt=3, agent="shell")),
        progress.record(
            event("worker_ended", "worker_2_1", at=105.5, status="failed", reason="no")
        ),
        progress.record({**event("job_ended", status="completed"), "job_id": "c1"}),
        progress.record(event("worker_resumed", "worker_2")),
        progress.record(event("worker_ended", "worker_2", at=120, status="recursive_success")),
        progress.record(event("job_ended", status="partial")),
    ]

    assert lines == [
        None,
        "worker_2 started (survey)",
        "worker_2 started child job j1: child",
        "worker_2 waiting for child job c1; slot released",
        "  worker_2_1 started (shell, attempt 2)",
        "  worker_2_1 attempt 2 failed: exit 3; retrying in 2.0 s",
        "  worker_2_1 started (shell, attempt 3)",
        "  worker_2_1 failed after 1.5 s: no",
        None,
        "worker_2 resumed (child job c1 completed)",
        "worker_2 success after 20 s (with child jobs)",
        None,
    ]


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        (["db", "src"], "lock db, src acquired"),
        (["db"], "lock db, src acquired"),  # src was held before
        ([], "lock db, src not acquired"),
    ],
)
def test_a_worker_that_waited_for_a_lock_resumes_with_or_without_it(
    names: list[str], cause: str
) -> None:
    progress = TreeProgress()
    progress.record(event("lock_taken", "worker_1", names=["db", "src"], lock="lease"))
    progress.record(event("lock_released", "worker_1", names=["db"], lock="lease"))
    progress.record(event("worker_waiting", "worker_1", locks=["db", "src"]))
    if names:
        progress.record(event("lock_taken", "worker_1", names=names, lock="lease"))

    line = progress.record(event("worker_resumed", "worker_1"))

    assert line == f"worker_1 resumed ({cause})"


def test_a_worker_with_rejected_changes_is_retrying_only_if_a_retry_follows() -> None:
    lines = [
        TreeProgress().record(
            event("worker_sent_back", "worker_1", status=status, reason="gate failed")
        )
        for status in ("pending", "failed")
    ]

    assert lines == [
        "worker_1 not merged: gate failed; retrying on the merged result",
        "worker_1 not merged: gate failed",
    ]


def test_a_retry_without_a_delay_has_no_time() -> None:
    facts = {"attempt": 1, "reason": "its key was refused", "delay_seconds": 0.0}

    line = TreeProgress().record(event("worker_retrying", "worker_1", **facts))

    assert line == "worker_1 attempt 1 failed: its key was refused; retrying"


def test_an_agent_fallback_has_a_line_with_its_reason() -> None:
    facts = {"agent": "claude", "instead": "codex", "reason": "its key was refused"}

    lines = [
        TreeProgress().record(event("agent_passed_over", worker, **facts))
        for worker in ("worker_2", None)
    ]

    assert lines == [
        "worker_2: using codex instead of claude (its key was refused)",
        "job j1: using codex instead of claude (its key was refused)",
    ]


def test_counters_follow_the_workers() -> None:
    progress = TreeProgress()
    for worker in ("worker_1", "worker_2", "worker_3"):
        progress.record(event("worker_started", worker, agent="shell"))
    progress.record(event("worker_ended", "worker_1", status="success"))
    progress.record(event("worker_ended", "worker_3", status="timeout"))
    progress.record(event("worker_waiting", "worker_2", child_job_ids=["c"]))

    assert counters(progress) == "1/3 done, 1 timeout, 1 waiting, 0.0 s"
    assert list(progress.running()) == []


def test_cancelled_and_skipped_workers_do_not_count_as_failed() -> None:
    progress = TreeProgress()
    for number, status in enumerate(("cancelled", "skipped", "failed", "cancelled")):
        progress.record(event("worker_ended", f"worker_{number}", status=status))

    assert counters(progress) == "0/4 done, 0 running, 1 failed, 2 cancelled, 1 skipped, 0.0 s"


def test_text_of_workers_cannot_steer_the_terminal() -> None:
    hostile = event("worker_ended", "worker_1", status="failed", reason="\x1b[2J\x9b1m\u202eevil\n")

    assert TreeProgress().record(hostile) == "worker_1 failed: [2J1mevil"


def test_lines_have_the_time_since_the_job_began_even_if_they_arrive_late(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = PlainDisplay()

    display.event(event("job_submitted", at=100.0, request="all", depth=0))
    display.event(event("worker_started", "worker_1", at=100.5, agent="shell"))
    display.event(event("worker_ended", "worker_1", at=112.0, status="success"))

    assert capsys.readouterr().err.splitlines() == [
        "    0.5s  worker_1 started (shell)",
        "   12.0s  worker_1 success after 12 s",
    ]


def test_the_clock_of_a_job_begins_with_the_job(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    display = LiveDisplay()
    monkeypatch.setattr("orchestrator.cli.follow.display.time.time", lambda: 160.0)

    display.event(event("job_submitted", at=100.0, request="all", depth=0))

    assert "0/0 done, 0 running, 1 min 00 s" in capsys.readouterr().err


def test_a_waiting_worker_is_found_at_any_depth() -> None:
    waits = {"worker_id": "worker_1_2", "status": "pending", "reason": "waiting for memory: 1 MiB"}
    waits["waiting_for"] = {"kind": "memory", "name": ""}
    tried = {"worker_id": "worker_1_1", "status": "pending", "reason": "exit code 3"}
    above = {"worker_id": "worker_1", "status": "waiting", "reason": "waits for child job c"}
    tree = {"workers": [{**above, "child_jobs": [{"workers": [tried, waits]}]}]}

    (cause, line) = next(waiting_workers(tree))
    assert cause == ("worker_1_2", "memory", "")
    assert line == "worker_1_2 waiting for memory: 1 MiB"


def test_a_display_is_idle_while_no_worker_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for display in (PlainDisplay(), LiveDisplay()):
        assert display.is_idle()
        display.event(event("worker_started", "worker_1", agent="shell"))
        assert not display.is_idle()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (12.4, "12 s"), (185, "3 min 05 s"), (7805, "2 h 10 min")],
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_times_come_as_text_or_as_seconds() -> None:
    assert moment("1970-01-01T00:01:00+00:00") == moment("1970-01-01T00:01:00Z") == moment(60)
    assert moment(None) is None and moment("soon") is None


def test_tables_align_and_keep_rows_on_one_line() -> None:
    assert table([("A", "B"), ("long one", "x\ny")]) == "A         B\nlong one  x y"


def test_the_first_line_with_text_is_shown() -> None:
    assert first_line("\n\n# Title\nmore", 80) == "Title"
    assert first_line("x" * 90, 10) == "xxxxxxx..."
    assert printable("a\ud800b\r") == "ab"
    assert printable("\x1b[1;31mred\x1b[m and \x1b[38:5:1mmore\x1b[0m") == "red and more"
    assert size(1536) == "1.5 KiB"


def test_counts_are_the_servers_or_those_of_the_results() -> None:
    child = {"status": "failed"}
    tasks = [{"status": "success"}, {"status": "failed", "child_results": [child]}]

    assert counts_of({"results": {"tasks": tasks}}) == {"success": 1, "failed": 2}
    assert counts_of({"counts": {"success": 9, "failed": 0}, "results": {}}) == {"success": 9}
    assert counts_of({"workers": {"running": 2}}) == {"running": 2}


def test_a_refused_child_job_is_news_of_the_worker_and_not_its_end() -> None:
    progress = TreeProgress()
    started = {"kind": "worker_started", "job_id": "a", "worker_id": "worker_1", "at": 1.0}
    refused = {"kind": "child_job_refused", "job_id": "a", "worker_id": "worker_1", "at": 2.0}
    progress.record({**started, "data": {"agent": "shell", "attempt": 1}})

    line = progress.record({**refused, "data": {"limit": "limit-depth", "detail": "too deep"}})

    assert line == "worker_1: child job rejected: too deep"
    assert [worker for worker, _ in progress.running()] == ["worker_1"]


def test_lines_of_rare_events_name_the_object_and_the_cause() -> None:
    def line_of(kind: str, worker: str | None = None, **data: object) -> str | None:
        return TreeProgress().record(event(kind, worker, **data))

    late = {"ended": "exit code 0", "record": "salvage/1"}
    assert line_of("late_result", "worker_3", taken=True, **late) == (
        "worker_3: late result accepted (exit code 0)"
    )
    assert line_of("late_result", "worker_3", taken=False, **late) == (
        "worker_3: late result not used (exit code 0); saved in salvage/1"
    )
    order = {"order": ["worker_5", "worker_6"], "task_id": "docs"}
    assert line_of("candidate_chosen", "worker_5", reason="8 fewer lines", **order) == (
        "docs: worker_5 chosen of 2 candidates (8 fewer lines)"
    )
    assert line_of("planner_started", "planner", agent="claude") == "job j1: claude is planning"
    assert line_of("job_retried", workers=2) == "job j1: retrying 2 tasks that did not succeed"
    assert line_of("job_cancel_requested") == "stopping job j1 ..."
    assert line_of("gates_started", "worker_1", gates=["secrets", "ruff"]) == (
        "worker_1 running gates: secrets, ruff"
    )


def test_the_remaining_time_is_estimated_from_ended_tasks() -> None:
    progress = TreeProgress()
    progress.record(event("job_submitted", at=100.0, tasks=6))
    for number in (1, 2, 3):
        progress.record(event("worker_started", f"worker_{number}", at=100.0, agent="shell"))
    progress.record(event("worker_ended", "worker_1", at=110.0, status="success"))
    assert progress.remaining_seconds(110.0) is None, "one task is not enough for an estimate"
    progress.record(event("worker_ended", "worker_2", at=114.0, status="success"))

    # 12 s each: three are queued, one has run for 14 s, and at most three ran in parallel.
    assert progress.remaining_seconds(114.0) == 12.0
    assert counters(progress).startswith("2/6 done, 1 running, 3 queued")


def test_costs_are_summed_and_an_unknown_cost_makes_the_sum_a_minimum() -> None:
    progress = TreeProgress()
    progress.record(event("job_submitted", tasks=2))
    for worker, cost in (("worker_1", 0.10), ("worker_1", 0.30), ("worker_2", 0.12)):
        progress.record(event("worker_used", worker, cost_usd=cost))
    assert "$0.42" in counters(progress)
    progress.record(event("worker_used", "worker_3", cost_usd=None))
    assert f"{AT_LEAST}$0.42" in counters(progress)


def test_an_ended_agent_without_a_reported_cost_makes_the_sum_a_minimum() -> None:
    progress = TreeProgress()
    progress.record(event("job_submitted", tasks=3))
    progress.record(event("worker_used", "worker_1", cost_usd=0.004))
    assert AT_LEAST not in counters(progress)
    for worker, agent in (("worker_2", "shell"), ("worker_3", "claude")):
        progress.record(event("worker_started", worker, agent=agent))
        progress.record(event("worker_ended", worker, status="failed"))
        assert (f"{AT_LEAST}$0.0040" in counters(progress)) is (agent == "claude")


def test_a_job_whose_workers_have_ended_is_being_merged_until_it_ends() -> None:
    progress = TreeProgress()
    progress.record(event("job_submitted", tasks=1))
    progress.record(event("worker_started", "worker_1", agent="shell"))
    assert list(progress.job_activities()) == []
    progress.record(event("worker_ended", "worker_1", status="success"))
    assert list(progress.job_activities()) == ["job j1: merging and writing reports"]
    progress.record(event("gate_run_started", gate="pytest", on="merged result"))
    assert list(progress.job_activities()) == ["job j1: running gate pytest on the merged result"]
    progress.record(event("gate_run_ended", gate="pytest", on="merged result", seconds=1))
    progress.record(event("job_ended", status="completed"))
    assert list(progress.job_activities()) == []


def test_a_narrow_terminal_keeps_the_counts_and_no_line_is_too_long() -> None:
    progress = TreeProgress()
    progress.record(event("job_submitted", tasks=9))
    for number in range(4):
        progress.record(event("worker_started", f"worker_{number}", agent="shell"))
    progress.record(event("worker_ended", "worker_0", status="failed"))

    for width in range(30, 120):
        line = progress_line(progress, 160.0, 100.0, width, Style(is_on=True), is_unicode=True)
        assert columns(line) <= width and "0/9 done" in line and "1 failed" in line
    assert line.count("━") == 3, "the bar shows a failure"


def test_text_is_cut_by_the_columns_that_it_takes() -> None:
    assert columns("\x1b[32m日本\x1b[0m") == 4 and columns("e\u0301") == 1
    assert fit("日本語日本語", 9) == "日本語..."
    assert fit("\x1b[31mred and more\x1b[0m", 6) == "\x1b[31mred\x1b[0m..."
    assert fit("short", 5) == "short" and columns(fit("❤️" * 9, 8)) <= 8


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"CLICOLOR_FORCE": "1"}, True),
        ({"FORCE_COLOR": "0"}, None),
    ],
)
def test_environment_variables_decide_on_colors_before_the_terminal(
    environ: dict[str, str], expected: bool | None
) -> None:
    assert wants_color(environ) is expected


def test_lines_of_gates_name_the_tree_and_the_outcome() -> None:
    def line_of(kind: str, **data: object) -> str | None:
        return TreeProgress().record(
            {"kind": kind, "job_id": "j", "worker_id": "worker_1", "data": data}
        )

    assert line_of("gate_run_started", gate="pytest", on="base commit") == (
        "worker_1: running gate pytest on the base commit"
    )
    slow = {"gate": "pytest", "on": "merged result", "seconds": 12.0}
    assert line_of("gate_run_ended", **slow) == (
        "worker_1: gate pytest on the merged result ended after 12 s"
    )
    assert line_of("gate_run_ended", **{**slow, "seconds": 0.4}) is None
    assert line_of("gate_run_ended", **{**slow, "on": "worker_1"}) is None
    why = "tests already fail on the base commit: ModuleNotFoundError: requests"
    unrun = {"gate": "pytest", "outcome": "did_not_run", "cause": "fails_at_base", "note": why}
    assert line_of("gate_ended", **unrun) == f"worker_1: gate pytest did not run: {why}"
    failed = {"gate": "ruff", "outcome": "failed", "seconds": 2.0, "failures": ["a.py:1: x"]}
    assert line_of("gate_ended", **failed) == "worker_1: gate ruff failed after 2.0 s: a.py:1: x"
    assert line_of("gate_ended", **{**unrun, "cause": "nothing_changed"}) is None


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"answer": "approve", "by": "me"}, "worker_1 approved by me"),
        ({"answer": "reject", "by": "me", "comment": "no"}, "worker_1 rejected by me: no"),
        ({"answer": "reject", "by": ""}, "worker_1 rejected by its timeout"),
    ],
)
def test_an_answer_to_a_question_is_in_the_past_tense(data: dict[str, str], line: str) -> None:
    event = {"kind": "question_answered", "job_id": "j", "worker_id": "worker_1", "data": data}

    assert TreeProgress().record(event) == line


@pytest.mark.parametrize("kind", [*EventKind, "worker_of_a_later_version"])
def test_each_kind_of_event_is_followed(kind: str) -> None:
    """``cancel JOB WORKER`` ended ``run`` with a traceback, because its event had no status."""
    event = {"kind": kind, "job_id": "j", "worker_id": "worker_1", "data": {"by": "me"}}
    lines = TreeProgress()

    lines.record(event)
    lines.record({"kind": EventKind.JOB_RETRIED, "job_id": "j", "data": {}})


def test_the_cancel_of_one_worker_has_a_line() -> None:
    event = {"kind": "worker_cancel_requested", "job_id": "j", "worker_id": "worker_1"}

    assert TreeProgress().record(event | {"data": {"by": "me"}}) == "stopping worker_1 ..."
