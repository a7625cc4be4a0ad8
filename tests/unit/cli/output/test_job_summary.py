"""A job's usage, in one line for people."""

from dataclasses import fields
from typing import Any

import pytest
from click import unstyle

from orchestrator.cli.output.job_summary import cap_line, ending_lines, summary_lines, used_line
from orchestrator.cli.output.status_lines import status_lines
from orchestrator.cli.plan.plan_review import estimate_line
from orchestrator.core.gates.gate import GateCause
from orchestrator.core.model.attempt.delivered_work import (
    HeldBack,
    HeldBackRule,
    SideWork,
    SideWorkKind,
)
from orchestrator.core.model.job_facts import (
    CapPassed,
    CheckoutChange,
    EarlierPart,
    FlakyGate,
    GateFact,
    JobFacts,
    LossCause,
    Missing,
    Overruled,
    PlanFallback,
    Shortfall,
    SwitchedOff,
    UnjudgedCause,
    UnjudgedFile,
    UnjudgedWork,
)
from orchestrator.core.model.states import JobStatus, MergeState
from orchestrator.core.model.user_repository_changes import (
    ChangedKind,
    RepositoryAlteration,
    RepositoryChange,
)
from orchestrator.core.outcome.job.reason import reason_of
from tests.unit.core.factories import a_job


@pytest.mark.parametrize(
    ("usage", "line"),
    [
        ({}, ""),
        (
            {"steps": 1400, "input_tokens": 10, "output_tokens": 2, "cost_usd": 0.5},
            "Used:   1,400 steps, 10 input tokens, 2 output tokens, $0.5000",
        ),
        (
            {"steps": 1, "cost_usd": 0.5, "cost_estimated": True, "cost_partial": True},
            "Used:   1 step, at least $0.5000 (estimated)",
        ),
        (
            {"steps": 2, "cache_read_tokens": 7, "cache_write_tokens": 3},
            "Used:   2 steps, 7 cache-read tokens, 3 cache-write tokens, cost unknown",
        ),
    ],
)
def test_usage_is_one_line(usage: dict[str, Any], line: str) -> None:
    assert used_line(usage) == line


def test_caps_are_one_line() -> None:
    caps = {"max_steps": 10, "max_tokens": 20_000, "max_cost_usd": 2.5}
    assert cap_line(caps) == "Caps:   10 steps, 20,000 tokens, $2.50"
    assert cap_line({}) == ""


@pytest.mark.parametrize(
    ("cost", "words"),
    [(0.004, "less than $0.01"), (0.25, "about $0.25"), (None, "cost unknown")],
)
def test_an_estimate_of_little_is_not_nothing(cost: float | None, words: str) -> None:
    found = {"tokens": 1000, "cost_usd": cost, "from_workers": 2, "workers": 3}

    assert words in estimate_line(found)


@pytest.mark.parametrize("lines", [summary_lines, status_lines])
def test_candidates_that_were_not_chosen_are_marked(lines: Any) -> None:
    row = {"status": "success", "output": "done"}
    tasks = [{**row, "worker_id": f"worker_{n}", "chosen": n == 2} for n in (1, 2)]
    answer = {"job_id": "j", "status": "completed", "results": {"tasks": tasks}}

    first, second = lines(answer, 100)[1:3]

    assert first.endswith("(not chosen) done")
    assert second.endswith(" done") and "taken" not in second


def line_of(width: int = 120, /, **task: object) -> str:
    answer = {"job_id": "a", "status": "completed", "results": {"tasks": [task]}}
    return unstyle(status_lines(answer, width)[1]).split(None, 2)[-1]


def test_a_worker_is_shown_with_the_first_and_the_last_line_of_its_answer() -> None:
    answer = "# Added the cart\n\nwith tests\n\n```\nx\n```\nThe price of zero is open.\n"
    task = {"worker_id": "worker_1", "status": "success", "output": answer}
    assert line_of(**task) == "Added the cart ... The price of zero is open."
    assert line_of(**{**task, "output": answer + "\n| a | table |\n"}) == line_of(**task)
    assert line_of(60, **task) == "Added the cart"
    assert line_of(40, **{**task, "output": answer.removeprefix("# ")}) == "The price of zero..."
    assert line_of(60, **{**task, "output": "Yes\nNo"}) == "Yes ... No"
    assert line_of(**{**task, "output": "one line\n"}) == "one line"
    assert line_of(**{**task, "output": ""}) != ""


def test_a_worker_is_shown_with_the_id_that_the_plan_gave_to_its_task() -> None:
    task = {"worker_id": "worker_8", "task_id": "lint", "status": "failed", "reason": "exit code 1"}
    answer = {"job_id": "a", "status": "failed", "results": {"tasks": [task]}}
    assert line_of(**task) == "lint: exit code 1"
    assert ending_lines(answer, 80) == ["  worker_8 (lint) failed: exit code 1"]
    assert line_of(**{**task, "task_id": "task_8"}) == "exit code 1"
    assert len(line_of(80, **{**task, "task_id": "x" * 80})) <= 80 - 25


RESULT = ["to show the changes: bin/orchestrator diff a"]
LANDED = "to merge the changes into your branch: bin/orchestrator land a"
REPORTED = "to show the report: bin/orchestrator report a"
RETRIED = "to retry the tasks that did not succeed: bin/orchestrator retry a"


@pytest.mark.parametrize(
    ("status", "merge_state", "workers", "lines"),
    [
        ("completed", "merged", ["success"], [*RESULT, LANDED]),
        ("completed", "none", ["success"], [REPORTED]),
        ("partial", "in_part", ["success"], [*RESULT, f"{LANDED} --partial"]),
        ("partial", "merged", ["success", "failed"], [*RESULT, f"{LANDED} --partial", RETRIED]),
        ("failed", "none", ["timeout", "skipped"], [RETRIED]),
        ("failed", "none", [], []),
    ],
)
def test_the_last_lines_of_a_run_are_the_next_commands(
    status: str, merge_state: str, workers: list[str], lines: list[str]
) -> None:
    tasks = [{"worker_id": "w", "task_id": str(n), "status": e} for n, e in enumerate(workers)]
    answer = {"job_id": "a", "status": status, "merge_state": merge_state}

    found = summary_lines({**answer, "results": {"tasks": tasks}}, 80)

    assert found[1 + len(tasks) :] == lines


def test_a_job_without_a_result_branch_has_no_command_that_lands() -> None:
    answer = {"job_id": "a", "status": "completed", "merge_state": "in_part"}

    assert any("land a" in line for line in summary_lines({**answer, "result_branch": "b"}, 80))
    lines = summary_lines({**answer, "result_branch": ""}, 80)
    assert not any("land a" in line or "diff a" in line for line in lines)
    assert "to show the report: bin/orchestrator report a" in lines


@pytest.mark.parametrize(
    ("base", "task", "is_named"),
    [
        ("", {}, True),
        ("", {"workdir": "project"}, False),
        ("", {"files_created": []}, False),
        ("", {"status": "failed"}, False),
        ("0123abc", {}, False),
        (None, {}, False),
    ],
)
def test_files_in_plain_directories_have_the_command_that_copies_them(
    base: str | None, task: dict[str, Any], is_named: bool
) -> None:
    row = {"worker_id": "w", "task_id": "t", "status": "success", "files_created": ["a.py"], **task}
    answer = {"job_id": "a", "status": "completed", "base": base, "results": {"tasks": [row]}}

    lines = summary_lines(answer, 80)

    assert ("to copy the files into your project: bin/orchestrator apply a" in lines) is is_named


@pytest.mark.parametrize("lines", [summary_lines, status_lines])
def test_the_question_of_an_agent_has_the_command_that_answers_it(lines: Any) -> None:
    rows = [
        ("worker_1", "failed", True),
        ("worker_2", "failed", None),
        ("worker_3", "failed", True),
    ]
    tasks = [
        {"worker_id": name, "task_id": name, "status": status, "reason": "no", "asked": asked}
        for name, status, asked in rows
    ]
    answer = {"job_id": "a", "status": "failed", "results": {"tasks": tasks}}

    assert lines(answer, 80)[-3:] == [
        "to answer the question of worker_1: bin/orchestrator feedback a worker_1 --edit",
        "to answer the question of worker_3: bin/orchestrator feedback a worker_3 --edit",
        RETRIED,
    ]


def test_a_job_that_was_cancelled_before_its_start_has_no_time() -> None:
    tasks = [{"worker_id": "w", "task_id": "t", "status": "cancelled"}]
    answer = {"job_id": "a", "status": "cancelled", "results": {"tasks": tasks}}

    line = "job a: cancelled before it started; 1 worker, 0 succeeded, 1 cancelled"
    assert unstyle(summary_lines({**answer, "seconds": 0.0}, 80)[0]) == line
    started = unstyle(summary_lines({**answer, "seconds": 0.04}, 80)[0])
    assert started.startswith("job a: cancelled after 0.")


def test_the_summary_shows_the_usage() -> None:
    usage = {"steps": 2, "cost_usd": 0.5}
    answer = {"job_id": "a", "status": "completed", "results": {}, "usage": usage}
    assert summary_lines(answer, 80)[1] == "Used:   2 steps, $0.5000"


def test_the_answer_of_a_worker_that_failed_without_changes_is_shown() -> None:
    task = {
        "worker_id": "worker_1",
        "status": "failed",
        "reason": "no file was changed",
        "output": "The function\n\nalready exists.",
        "unchanged": True,
    }

    def lines(**other: object) -> list[str]:
        answer = {"job_id": "a", "status": "failed", "results": {"tasks": [{**task, **other}]}}
        return ending_lines(answer, 80)

    failed = "  worker_1 failed: no file was changed"
    assert lines() == [failed, "  output of worker_1: The function already exists."]
    assert lines(unchanged=False) == lines(output="") == [failed]
    assert lines(status="timeout") == ["  worker_1 timeout: no file was changed"]
    answer = {"job_id": "a", "status": "failed", "results": {"tasks": [task]}}
    assert "  output of worker_1: The function already exists." in summary_lines(answer, 80)
    reason = "the agent's login failed: Invalid API key"
    assert lines(reason=reason, output="Invalid API key") == [f"  worker_1 failed: {reason}"]
    assert len(" ".join(lines(output="word " * 1000))) < 600


def test_a_summary_that_omits_workers_begins_with_the_unsuccessful_ones() -> None:
    tasks = [{"worker_id": f"worker_{n}", "status": "success"} for n in range(40)]
    tasks[35]["status"] = "failed"
    answer = {"job_id": "a", "status": "partial", "results": {"tasks": tasks}}

    _, first, second, *_ = summary_lines(answer, 80)

    assert first.startswith("  worker_35 ") and second.startswith("  worker_0 ")


def test_a_narrow_terminal_shows_the_note_of_each_worker() -> None:
    child = {"worker_id": "worker_1_1", "status": "running", "output": "compiling"}
    task = {
        "worker_id": "worker_1",
        "status": "waiting",
        "output": "plan",
        "child_results": [child],
    }
    answer = {"job_id": "a", "status": "running", "results": {"tasks": [task]}}

    assert [unstyle(line) for line in status_lines(answer, 40)[1:3]] == [
        "  worker_1     waiting plan",
        "    worker_1_1 running compiling",
    ]


@pytest.mark.parametrize("state", [{"status": "running"}, {"discarded": True}])
def test_only_an_ended_job_has_the_command_that_retries_it(state: dict[str, Any]) -> None:
    tasks = [{"worker_id": "worker_1", "task_id": "a", "status": "failed"}]
    answer = {"job_id": "a", "status": "failed", "results": {"tasks": tasks}}

    assert status_lines(answer, 80)[-1] == RETRIED
    assert RETRIED not in status_lines({**answer, **state}, 80)


def test_a_failed_candidate_of_a_task_that_succeeded_is_not_retried() -> None:
    tasks = [
        {"worker_id": f"worker_{n}", "task_id": "a", "status": status}
        for n, status in enumerate(("failed", "success"))
    ]
    answer = {"job_id": "a", "status": "partial", "results": {"tasks": tasks}}
    assert not [line for line in summary_lines(answer, 80) if "retry" in line]


def test_a_worker_without_changes_and_without_an_answer_is_shown_without_a_colon() -> None:
    task = {"worker_id": "worker_1", "status": "success", "unchanged": True}
    assert line_of(**task) == "no file changed"
    assert line_of(**task, output="done") == "done (no file changed)"


def test_a_long_first_line_leaves_room_for_the_last_one() -> None:
    task = {"worker_id": "worker_1", "status": "success", "output": f"{'a ' * 100}\nIt failed."}
    assert line_of(**task).endswith("... It failed.")
    answer = {"job_id": "a", "status": "x", "results": {"tasks": [task]}}
    assert len(unstyle(status_lines(answer, 80)[1])) <= 80


def test_the_answer_of_a_worker_that_changed_nothing_ends_with_a_note() -> None:
    task = {
        "worker_id": "worker_1",
        "status": "success",
        "output": "It is fine.",
        "unchanged": True,
    }
    assert line_of(**task) == "It is fine. (no file changed)"
    assert line_of(**{**task, "unchanged": False}) == "It is fine."
    assert line_of(**{**task, "reason": "a note"}) == "a note (no file changed)"
    assert line_of(**{**task, "status": "failed", "reason": "why"}) == "why"


LOST = Missing(worker_id="worker_2", job_id="j", branch="b", why="conflict in a.py")
HALF = Missing(
    worker_id="worker_3", job_id="j", cause=LossCause.NOT_MADE, why="promised files are missing: b"
)
BELOW = Missing(worker_id="worker_1_1", job_id="c", branch="b", why="conflict in c.py")
OVER = Overruled(worker_id="worker_4", hunks=1, job_id="j", places=("a.py:3",))
#: One fact and its text, by field of the facts.
FACTS: dict[str, tuple[Any, list[str]]] = {
    "plan_error": ("the plan has a cycle", ["the plan has a cycle"]),
    "plan_fallback": (PlanFallback(agent="a", reason="no JSON"), ["planned by rules: no JSON"]),
    "merge_error": ("git is broken", ["merge failed: git is broken"]),
    "missing": ((LOST, HALF), ["worker_2 (conflict in a.py)", "promised files are missing: b"]),
    "lost_below": ((BELOW,), ["worker_1_1 of job c (conflict in c.py)"]),
    "earlier_parts": (
        (EarlierPart(worker_id="worker_9", attempt=2),),
        ["worker_9: the files of attempt 2 are not in the result", "rollback", "--include"],
    ),
    "not_in_parent": (("x.py",), ["this child job both changed x.py"]),
    "taken": (("worker_5",), ["merged by a person: worker_5"]),
    "taken_jobs": (("c1",), ["merged by a person: child job c1"]),
    "overruled": ((OVER,), ["1 hunk of worker_4 (a.py:3)"]),
    "overruled_below": ((OVER,), ["1 hunk of worker_4 (a.py:3)"]),
    "shortfalls": (
        (
            Shortfall(worker_id="worker_6", outside=("/home/me/x",), judges=("conftest.py",)),
            Shortfall(worker_id="worker_7", unchanged=True),
            Shortfall(
                worker_id="worker_8",
                held_back=(HeldBack(path="core.1", rule=HeldBackRule.SIZE),),
                deleted=(SideWork(kind=SideWorkKind.DELETED, name="feature", ref="refs/kept"),),
            ),
        ),
        [
            "files changed outside the worker's worktree: /home/me/x",
            "changed tests or gate settings that judge the worker's work: conftest.py",
            "nothing was changed by worker_7",
            "core.1",
            "not merged, because the branch was deleted: feature (refs/kept)",
        ],
    ),
    "gates": (
        (
            GateFact(name="lint", why="E501"),
            GateFact(name="x", cause=GateCause.NO_TESTS, why="0"),
        ),
        [
            "advisory gate lint failed: E501",
            "gate x did not run: 0",
        ],
    ),
    "switched_off": (
        (SwitchedOff(gate="ruff", places=("a.py:3", "b.py:7")),),
        ["new comments switch off ruff: a.py:3, b.py:7"],
    ),
    "unjudged_files": (
        (
            UnjudgedFile(path="a.js", language="JavaScript", cause=UnjudgedCause.NO_GATE),
            UnjudgedFile(path="b.js", language="JavaScript", cause=UnjudgedCause.NO_GATE),
            UnjudgedFile(path="c.py", language="Python", cause=UnjudgedCause.NOT_IMPORTED),
        ),
        ["not judged: a.js, b.js (no gate for JavaScript); no test imports c.py"],
    ),
    "unjudged_work": ((UnjudgedWork(worker_id="worker_3", files=("u.py",)),), ["u.py"]),
    "checkout": ((CheckoutChange(path="c.txt", workers=("worker_3",)),), ["c.txt"]),
    # Listed only if a required gate also did not run.
    "gates_passed": (("ruff", "pytest"), []),
    "flaky": (
        (FlakyGate(name="pytest", findings=("t.py::test_x",)), FlakyGate(name="a", findings=("",))),
        ["t.py::test_x failed once and passed once (gate pytest); gate a failed once and passed"],
    ),
    "repository_changes": (
        (
            RepositoryChange(
                kind=ChangedKind.BRANCH,
                name="mine",
                alteration=RepositoryAlteration.ADDED,
                worker_id="worker_3",
            ),
        ),
        ["branch mine", "by worker_3", "bin/orchestrator restore j"],
    ),
    "undone": (("worker_1", "worker_2"), ["later tasks undid all changes of worker_1, worker_2"]),
    "both_kept": (
        ("a.txt", "b.txt"),
        ["the merge kept the added lines of both sides in a.txt, b.txt"],
    ),
    "by_driver": (("a.txt",), ["your merge driver, which may omit changes, merged a.txt"]),
    "nothing_built": (True, ["nothing was built: no AI agent", "bin/orchestrator agents"]),
    "landed_on": (("main",), ["main has an earlier result"]),
    "discarded": (True, ["the job's branches and checkpoints were discarded"]),
    "unjudged": (True, ["not judged: no gate tested the changes (no tests found)"]),
    "caps_passed": ((CapPassed(limit="max_steps", most=1, used=2),), ["step cap exceeded: 2 of 1"]),
    "rejected_child_jobs": (2, ["2 child jobs rejected because of a limit or a cycle"]),
    "unpriced": (("worker_9",), ["cost cap not enforced for worker_9"]),
    "pull_request_error": ("no network", ["no pull request was opened: no network"]),
    "unsuccessful": (("worker_2", "worker_3"), ["worker_2, worker_3 did not succeed"]),
}


#: Facts that say nothing about the outcome.
NOT_SHOWN = {"landed"}


@pytest.mark.parametrize("fact", sorted({each.name for each in fields(JobFacts)} - NOT_SHOWN))
@pytest.mark.parametrize("lines", [summary_lines, status_lines])
def test_every_fact_of_a_job_reaches_the_last_lines(lines: Any, fact: str) -> None:
    value, words = FACTS[fact]
    state = MergeState.FAILED if fact == "merge_error" else MergeState.IN_PART
    facts = JobFacts(**{"missing": (LOST,), fact: value})
    ended = a_job(id="j", root_id="j", status=JobStatus.PARTIAL, merge_state=state, facts=facts)
    answer = {"job_id": "j", "status": "partial", "reason": reason_of(ended)}

    shown = lines(answer, 60)

    reason = " ".join(map(str.strip, shown)).partition(" Why: ")[2]
    assert [each for each in words if each not in reason] == [], reason
    assert [line for line in shown if len(line) > 60 and "bin/orchestrator" not in line] == []


def test_the_reasons_of_failed_workers_follow_the_reason_of_the_job() -> None:
    answer = {"job_id": "j", "status": "partial", "reason": "worker_1 did not succeed"}
    task = {"worker_id": "worker_1", "status": "failed", "reason": "exit code 1"}

    assert ending_lines({**answer, "results": {"tasks": [task]}}, 80) == [
        "Why: worker_1 did not succeed",
        "  worker_1 failed: exit code 1",
    ]


def test_workers_with_the_same_reason_are_named_in_one_line() -> None:
    reason = "not started: the agent's login failed: no (reported by worker_9)"
    rows = [(f"worker_{n}", reason) for n in range(1, 9)]
    rows += [("worker_9", "the agent's login failed: no"), ("worker_10", "exit code 1")]
    rows += [(f"worker_{n}", f"exit code {n}") for n in range(11, 14)]
    tasks = [{"worker_id": name, "status": "failed", "reason": why} for name, why in rows]
    answer = {"job_id": "j", "status": "failed", "results": {"tasks": tasks}}

    assert ending_lines(answer, 150) == [
        f"  worker_1, worker_2, worker_3 and 5 more failed: {reason}",
        "  worker_9 failed: the agent's login failed: no",
        *(f"  worker_{n} failed: exit code {n - 9 if n == 10 else n}" for n in range(10, 13)),
        "  ... and 1 more failure; show all: bin/orchestrator report j",
    ]


def test_a_failure_is_explained_again_only_if_its_line_is_cut() -> None:
    long = f"exit code 2: {'because ' * 40}of the end"
    rows = [("worker_1", "exit code 1"), ("worker_2", long)]
    tasks = [{"worker_id": name, "status": "failed", "reason": why} for name, why in rows]
    reason = "worker_1, worker_2 did not succeed"
    answer = {"job_id": "j", "status": "failed", "reason": reason, "results": {"tasks": tasks}}

    for lines in (summary_lines(answer, 80), status_lines(answer, 80)):
        (row,) = [line for line in lines if line.endswith("exit code 1")]
        assert unstyle(row).split()[:2] == ["worker_1", "failed"]
        assert "worker_2 failed: exit code 2:" in "\n".join(lines)


def test_the_whole_reason_of_a_waiting_worker_is_shown_once() -> None:
    long = "waiting for a node with {gpu: true}: bin/orchestrator nodes label NAME gpu=true"
    rows = [
        ("worker_1", "pending", long),
        ("worker_2", "pending", long),
        ("worker_3", "success", ""),
    ]
    rows += [("worker_4", "pending", "too early"), ("worker_5", "waiting", f"{long} (asked)")]
    tasks = [{"worker_id": name, "status": status, "reason": why} for name, status, why in rows]
    answer = {"job_id": "j", "status": "running", "results": {"tasks": tasks}}

    status = status_lines(answer, 80)[-2:]

    assert " ".join(map(str.strip, status)) == f"worker_1 pending: {long}"
    assert " ".join(map(str.strip, ending_lines(answer, 80))) == (
        f"worker_1 pending: {long} worker_4 pending: too early"
    )


def test_a_command_in_a_reason_can_be_pasted() -> None:
    command = "bin/orchestrator merge j --strategy theirs && bin/orchestrator merge k"
    answer = {"job_id": "j", "status": "partial", "reason": f"it lacks a ({command}); and so on"}

    lines = ending_lines(answer, 40)

    assert [line for line in lines if command in line], lines
    assert lines[-1].endswith("and so on")


def test_a_failed_job_ends_with_the_whole_reason_of_each_failure() -> None:
    reason = f"exit code 3: {'because ' * 40}of the end"
    row = {"worker_id": "worker_1", "status": "failed", "reason": reason}
    skipped = {"worker_id": "worker_2", "status": "skipped", "reason": "task 'a' ..."}
    answer = {"job_id": "j", "status": "failed", "results": {"tasks": [row, skipped]}}

    lines = ending_lines(answer, 80)

    assert " ".join(map(str.strip, lines)) == f"worker_1 failed: {reason}"
    assert all(line.startswith("    ") for line in lines[1:])
    assert len(lines) > 3
    assert ending_lines({**answer, "status": "completed", "reason": ""}, 80) == []


def test_several_commands_name_the_workers_whose_changes_they_merge() -> None:
    def loss(number: int, option: str) -> dict[str, Any]:
        command = f"bin/orchestrator merge j {option}"
        return {"worker_id": f"worker_{number}", "cause": LossCause.CONFLICT, "command": command}

    answer: dict[str, Any] = {"job_id": "j", "status": JobStatus.PARTIAL, "results": {"tasks": []}}
    losses = [
        loss(1, "--strategy theirs"),
        loss(2, "--resolve worker"),
        loss(3, "--resolve worker"),
    ]

    assert ending_lines({**answer, "missing": losses}, 80) == [
        "to merge the changes of worker_1: bin/orchestrator merge j --strategy theirs",
        "to merge the changes of worker_2, worker_3: bin/orchestrator merge j --resolve worker",
    ]
    assert ending_lines({**answer, "missing": losses[1:]}, 80) == [
        "to merge the missing changes: bin/orchestrator merge j --resolve worker"
    ]


@pytest.mark.parametrize(
    ("state", "ended", "line"),
    [
        ("merged", "00:00:09", "after 4.8 s, plus 4.2 s for the merge and its gates; 0 workers"),
        ("merged", "00:00:05", "after 4.8 s; 0 workers"),
        ("none", "00:00:09", "after 4.8 s; 0 workers"),
        ("merged", None, "after 4.8 s; 0 workers"),
    ],
)
def test_a_long_merge_is_part_of_the_time(state: str, ended: str | None, line: str) -> None:
    began = "2026-11-28T00:00:00.000Z"
    answer = {
        **{"job_id": "a1", "status": "completed", "seconds": 4.8, "merge_state": state},
        **{"started_at": began, "ended_at": ended and f"2026-11-28T{ended}.000Z"},
    }
    assert f"completed {line}" in unstyle(summary_lines(answer, 80)[0])
