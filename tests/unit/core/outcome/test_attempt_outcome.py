from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.core.gates.gate import SECRETS, GateCause, GateResult, GateStatus
from orchestrator.core.model.attempt.attempt_result import (
    EndedBy,
    ErrorClass,
    Evidence,
    Exit,
    WorktreeState,
)
from orchestrator.core.model.attempt.delivered_work import DeliveredWork
from orchestrator.core.model.attempt.final_text import FinalText
from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.attempt_outcome import TABLE, judge, only_gates_remain
from orchestrator.core.outcome.job.job_outcome import job_outcome, tasks_succeeded
from tests.unit.core.factories import CANCELLED, DONE, EXIT_0, EXIT_1, LOST, TIMED_OUT, a_worker

#: An agent's own error class, and the outcome.
CLASSES = [
    (ErrorClass.AUTH, "failed", "login failed", False),
    (ErrorClass.CREDIT, "failed", "the agent's account has no credit", False),
    (ErrorClass.RATE_LIMIT, "failed", "account is rate-limited", True),
    (ErrorClass.API, "failed", "the model's service failed", True),
    (ErrorClass.CONFIG, "failed", "claude rejected its options or settings", False),
    (ErrorClass.START, "failed", "claude could not be started", False),
    (ErrorClass.INTERNAL, "failed", "claude failed with an internal error", True),
    (ErrorClass.LIMIT, "failed", "limit reached", False),
    (ErrorClass.DENIED, "failed", "permission denied for tools", False),
    (ErrorClass.EMPTY, "failed", "ended without an answer", True),
    (ErrorClass.DECLINED, "failed", "the model declined to answer", True),
    (ErrorClass.KILLED, "failed", "claude was killed", True),
    (ErrorClass.TIMEOUT, "timeout", "claude stopped responding", True),
]

FAILED = GateResult(name="tests", status=GateStatus.FAILED, failures=("a",))
PASSED = GateResult(name="tests", status=GateStatus.PASSED)
KNOWN = GateResult(name="tests", status=GateStatus.KNOWN)
SCANNED = GateResult(name=SECRETS, status=GateStatus.PASSED)
NO_TESTS = GateResult(name="tests", status=GateStatus.PASSED, cause=GateCause.NO_TESTS)
SILENT = Evidence(output_required=True)

#: Row, exit, evidence, status, part of the reason, retry. Each example also fits lower rows.
EXAMPLES: Sequence[tuple[str, Exit, Evidence, str, str, bool]] = [
    ("cancelled", CANCELLED, DONE, "cancelled", "cancelled by user", False),
    ("timeout", TIMED_OUT, DONE, "timeout", "stopped by timeout (5 s);", False),
    (
        "limit",
        Exit(ended_by=EndedBy.LIMIT, signal=9, error="killed: used more than 512 MiB of memory"),
        DONE,
        "failed",
        "killed: used more than 512 MiB of memory",
        False,
    ),
    (
        "not started",
        Exit(ended_by=EndedBy.SPAWN_FAILED, error="no such file: claude"),
        DONE,
        "failed",
        "no such file: claude",
        False,
    ),
    ("lost", LOST, DONE, "failed", "supervising process was killed", True),
    *(
        (
            f"agent: {kind}",
            EXIT_1,
            Evidence(output="x", error_class=kind, tool="claude"),
            status,
            words,
            retry,
        )
        for kind, status, words, retry in CLASSES
    ),
    (
        "crash",
        Exit(ended_by=EndedBy.EXIT, signal=11),
        Evidence(output_required=True, tool="claude"),
        "failed",
        "claude was killed by signal 11",
        True,
    ),
    (
        "signal",
        Exit(ended_by=EndedBy.EXIT, signal=9),
        DONE,
        "failed",
        "killed by signal 9 (possible cause: the machine ran out of memory)",
        True,
    ),
    ("command not found", replace(EXIT_1, code=127), Evidence(), "failed", "code 127", False),
    (
        "exit code",
        replace(EXIT_1, log_lost=True),
        Evidence(output="x", error="no credit"),
        "failed",
        "exit code 1: no credit",
        True,
    ),
    ("log lost", replace(EXIT_0, log_lost=True), DONE, "failed", "log incomplete", True),
    (
        "said it failed",
        EXIT_0,
        Evidence(claimed_success=False, output_required=True),
        "failed",
        "the agent reports a failure",
        True,
    ),
    (
        "worktree deleted",
        EXIT_0,
        Evidence(output="x", worktree=WorktreeState(faults=("gone",), is_deleted=True)),
        "failed",
        "the worker deleted its worktree, with all changes that were not committed",
        True,
    ),
    (
        "asked",
        EXIT_0,
        Evidence(
            output="A plan. Should I proceed?",
            final_text=FinalText.QUESTION,
            delivery=DeliveredWork(changed=False, expected=True),
            gates=(FAILED,),
        ),
        "failed",
        "no file was changed; the agent waits for an answer: Should I proceed?",
        True,
    ),
    (
        "no_changes",
        EXIT_0,
        Evidence(
            output="Done.",
            delivery=DeliveredWork(changed=False, expected=True, missing=("a.py",)),
            gates=(FAILED,),
        ),
        "failed",
        "no file was changed; promised files are missing: a.py",
        True,
    ),
    (
        "conflicts",
        EXIT_0,
        Evidence(
            output_required=True,
            has_work=True,
            gates=(FAILED,),
            worktree=WorktreeState(faults=("unfinished merge",), has_conflicts=True),
        ),
        "failed",
        "unfinished work in git: unfinished merge",
        True,
    ),
    (
        "gates",
        EXIT_0,
        Evidence(output_required=True, has_work=True, gates=(FAILED,)),
        "failed",
        "gate tests failed: a",
        True,
    ),
    (
        "nothing to show",
        EXIT_0,
        Evidence(output=" \n", output_required=True),
        "failed",
        "no output and no file",
        True,
    ),
    ("success", EXIT_0, DONE, "success", "", False),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[0])
def test_each_row_of_the_table_decides_its_example(
    example: tuple[str, Exit, Evidence, str, str, bool],
) -> None:
    name, exit, evidence, status, reason, retry = example
    fitting = [row.name for row in TABLE if row.fits(exit, evidence)]
    verdict = judge(exit, evidence)
    assert fitting[0] == name
    assert verdict.status == status
    assert reason in verdict.reason
    assert verdict.retry is retry
    assert verdict.succeeded is (name == "success")


@pytest.mark.parametrize(
    ("text", "expected", "row"),
    [
        (FinalText.ANSWER, False, "success"),
        (FinalText.OFFER, False, "success"),
        (FinalText.QUESTION, False, "asked"),
        (FinalText.REFUSAL, False, "no_changes"),
        (FinalText.ANSWER, True, "no_changes"),
        (FinalText.OFFER, True, "asked"),
        (FinalText.QUESTION, True, "asked"),
        (FinalText.REFUSAL, True, "no_changes"),
    ],
)
def test_words_without_a_change_are_judged_by_what_was_expected(
    text: FinalText, expected: bool, row: str
) -> None:
    delivery = DeliveredWork(changed=False, expected=expected)
    evidence = Evidence(output="x", output_required=True, final_text=text, delivery=delivery)
    assert judge(EXIT_0, evidence).row == row


def test_two_failures_without_a_change_are_the_same_whatever_the_output() -> None:
    nothing = DeliveredWork(changed=False, expected=True)
    failures = {judge(EXIT_0, Evidence(output=output, delivery=nothing)).failure for output in "ab"}
    assert len(failures) == 1 and failures != {""}


@pytest.mark.parametrize("kind", [ErrorClass.INTERNAL, ErrorClass.KILLED])
def test_faults_of_a_tool_are_the_same_whatever_the_output(kind: ErrorClass) -> None:
    failures = {judge(EXIT_1, Evidence(output=output, error_class=kind)).failure for output in "ab"}
    assert len(failures) == 1 and failures != {""}


def test_a_tool_that_fails_after_its_result_is_a_success_with_a_note() -> None:
    note = "exit code 1 after its result"
    verdict = judge(EXIT_0, Evidence(output="x", tool="claude", note=note))
    assert (verdict.succeeded, verdict.reason) == (True, f"claude: {note}")


def test_the_reason_of_a_success_names_missing_saved_and_outside_files() -> None:
    delivery = DeliveredWork(changed=True, missing=("a", "b"), saved=("c",), outside=("/home/u/d",))
    verdict = judge(EXIT_0, Evidence(output="x", delivery=delivery))
    assert verdict.succeeded
    assert verdict.reason == (
        "promised files are missing: a, b; git-ignored files, saved only in the worker's "
        "directory: c; files changed outside the worker's worktree: /home/u/d"
    )


@pytest.mark.parametrize(
    ("evidence", "checked", "succeeds"),
    [
        (SILENT, False, False),
        (replace(SILENT, gates=(PASSED,)), False, False),
        (replace(SILENT, has_work=True), True, False),
        (replace(SILENT, has_work=True, gates=(PASSED,)), True, True),
        (replace(SILENT, has_work=True, gates=(KNOWN,)), True, False),
        (replace(SILENT, has_work=True, gates=(SCANNED,)), True, False),
        (replace(SILENT, has_work=True, gates=(NO_TESTS,)), True, False),
        (replace(SILENT, has_work=True, gates=(SCANNED, PASSED)), True, True),
        (replace(SILENT, files_changed=True, gates=(SCANNED,)), True, True),
        (replace(SILENT, has_work=True, gates=(PASSED, FAILED)), True, False),
        (replace(SILENT, has_work=True, gates=(PASSED,), claimed_success=False), False, False),
    ],
)
def test_a_silent_attempt_counts_by_what_is_there_only_on_the_word_of_a_gate(
    evidence: Evidence, checked: bool, succeeds: bool
) -> None:
    assert only_gates_remain(EXIT_0, evidence) is checked
    assert judge(EXIT_0, evidence).succeeded is succeeds


def test_every_row_of_the_table_has_an_example() -> None:
    assert [row.name for row in TABLE] == [example[0] for example in EXAMPLES]


def test_every_failure_has_a_reason_in_words() -> None:
    for _, exit, evidence, *_ in EXAMPLES[:-1]:
        assert judge(exit, evidence).reason


def test_an_exit_without_a_code_is_no_success() -> None:
    assert not judge(Exit(ended_by=EndedBy.EXIT), DONE).succeeded


def test_an_empty_output_is_success_where_none_is_required() -> None:
    assert judge(EXIT_0, Evidence()).succeeded


def test_a_changed_file_is_something_to_show() -> None:
    assert judge(EXIT_0, Evidence(output_required=True, files_changed=True)).succeeded


def test_the_agents_own_word_cannot_make_a_failure_a_success() -> None:
    assert not judge(EXIT_1, Evidence(output="fine", claimed_success=True)).succeeded
    assert not judge(EXIT_0, Evidence(claimed_success=True, output_required=True)).succeeded


def test_the_agents_own_error_is_the_reason() -> None:
    evidence = Evidence(claimed_success=False, error="quota used up")
    assert judge(EXIT_0, evidence).reason == "quota used up"


def test_two_failures_are_the_same_when_nothing_that_can_be_seen_differs() -> None:
    failure = judge(EXIT_1, Evidence(output="x")).failure
    assert failure
    assert judge(replace(EXIT_1, cpu_seconds=3.0), Evidence(output="x")).failure == failure
    assert judge(EXIT_1, Evidence(output="y")).failure != failure
    assert judge(replace(EXIT_1, code=2), Evidence(output="x")).failure != failure
    assert judge(replace(EXIT_1, signal=9), Evidence(output="x")).failure != failure


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("1 failed in 0.53s", "1 failed in 1.07s", True),
        ("12:31:07,250 ERROR no", "12:31:09,001 ERROR no", True),
        ("left: depth 0, wall_seconds 86391", "left: depth 0, wall_seconds 86388", True),
        ("took 3 seconds", "took 14 seconds", True),
        ("2 failed in 0.53s", "1 failed in 0.53s", False),
        ("line 31 s", "line 32 t", False),
    ],
)
def test_only_times_may_differ_in_the_same_failure(first: str, second: str, same: bool) -> None:
    failures = [judge(EXIT_1, Evidence(output=output)).failure for output in (first, second)]
    assert (failures[0] == failures[1]) is same


def test_a_failure_that_changed_files_equals_no_other() -> None:
    assert judge(EXIT_1, Evidence(output="x", files_changed=True)).failure == ""


def refused(worker_output: str, /, **of_gate: object) -> str:
    gate = replace(FAILED, **of_gate)  # type: ignore[arg-type]
    return judge(EXIT_0, Evidence(output=worker_output, files_changed=True, gates=(gate,))).failure


def test_the_same_findings_are_the_same_failure_whatever_the_output() -> None:
    assert refused("a", digest="1") == refused("b", digest="1", output="c", failures=("d",))
    assert refused("a", digest="1") != refused("a", digest="2")


def test_a_gate_that_names_no_finding_is_compared_by_its_output() -> None:
    assert refused("a", output="2 errors in 1.1 s") == refused("b", output="2 errors in 1.2 s")
    assert refused("a", output="2 errors") != refused("a", output="1 error")


def test_a_lost_attempt_equals_no_other_failure() -> None:
    assert judge(LOST, Evidence(output="x")).failure == ""


def test_success_has_no_failure_to_compare() -> None:
    assert judge(EXIT_0, DONE).failure == ""


def test_output_that_is_not_valid_text_can_be_compared() -> None:
    assert judge(EXIT_1, Evidence(output="\udcff")).failure


def workers(*tasks: tuple[str, str]) -> list[Worker]:
    return [a_worker(task_id=task, status=WorkerStatus(status)) for task, status in tasks]


@pytest.mark.parametrize(
    ("ended", "cancelled", "status"),
    [
        ([("a", "success"), ("b", "recursive_success")], False, "completed"),
        ([("a", "success"), ("b", "failed")], False, "partial"),
        ([("a", "success"), ("b", "skipped")], False, "partial"),
        ([("a", "timeout"), ("b", "skipped")], False, "failed"),
        ([("a", "cancelled")], False, "failed"),
        ([("a", "success"), ("b", "cancelled")], True, "cancelled"),
        ([("a", "cancelled"), ("b", "skipped")], True, "cancelled"),
        ([("a", "success"), ("b", "success")], True, "completed"),
        ([("a", "failed"), ("a", "success")], False, "completed"),
        ([("a", "failed"), ("a", "timeout")], False, "failed"),
        ([], False, "failed"),
        ([], True, "cancelled"),
    ],
)
def test_a_job_ends_as_its_tasks_did(
    ended: list[tuple[str, str]], cancelled: bool, status: str
) -> None:
    assert job_outcome(workers(*ended), cancelled) is JobStatus(status)


def test_a_task_succeeds_with_one_of_its_candidates_whatever_their_order() -> None:
    ended = workers(("b", "success"), ("a", "failed"), ("b", "failed"), ("a", "success"))
    assert tasks_succeeded(ended) == {"b": True, "a": True}
    assert list(tasks_succeeded(ended)) == ["b", "a"]
