"""Kinds of failures: an example of each row of the table, and the strategies of retries."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.gates.gate import SECRETS, GateCause, GateResult, GateStatus
from orchestrator.core.model.attempt.attempt_result import (
    EndedBy,
    ErrorClass,
    Evidence,
    Exit,
    WorktreeState,
)
from orchestrator.core.model.attempt.delivered_work import DeliveredWork
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.attempt.failure import (
    ASKED,
    NO_CHANGES,
    NOT_STARTED,
    FailureKind,
    RetryStrategy,
)
from orchestrator.core.model.attempt.final_text import FinalText
from orchestrator.core.model.job import SHELL, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.attempt_outcome import judge
from orchestrator.core.outcome.failure_rules import NEVER_RAN, TABLE, classify, with_failure
from tests.unit.core.factories import (
    CANCELLED,
    DONE,
    EXIT_0,
    EXIT_1,
    LOST,
    TIMED_OUT,
    a_task,
    a_worker,
)
from tests.unit.core.story import Story

SOUND = WorktreeState()
BROKEN = WorktreeState(faults=("unfinished merge",))
RED = GateResult(name="pytest", status=GateStatus.FAILED)
GREEN = GateResult(name="ruff", status=GateStatus.PASSED)
NOTHING = DeliveredWork(changed=False, expected=True)
TREE = Evidence(output="x", worktree=SOUND)
ALIKE = "the same failure"


def _of(kind: ErrorClass) -> Evidence:
    return replace(TREE, error_class=kind)


#: Row, exit, evidence, kind, and strategies after successive failures. Each example except the
#: last also fits lower rows.
EXAMPLES: Sequence[tuple[str, Exit, Evidence, str, str]] = [
    (
        NEVER_RAN,
        replace(LOST, cause=ExitCause.NEVER_BEGAN),
        replace(TREE, worktree=BROKEN),
        "transient",
        "current current current",
    ),
    (NEVER_RAN, replace(LOST, cause=ExitCause.NO_ROOM), TREE, "transient", "current"),
    (
        "broken worktree",
        EXIT_1,
        replace(TREE, worktree=BROKEN, error="No space left on device"),
        "corrupted_state",
        "last safe safe",
    ),
    (
        "disk full",
        EXIT_1,
        replace(TREE, output="write: No space left on device", error_class=ErrorClass.API),
        "corrupted_state",
        "last safe safe",
    ),
    ("disk full", replace(EXIT_0, log_lost=True), TREE, "corrupted_state", "last"),
    ("rate limit", EXIT_1, _of(ErrorClass.RATE_LIMIT), "transient", "current current current"),
    ("api", EXIT_1, _of(ErrorClass.API), "transient", "current current"),
    (NOT_STARTED, EXIT_1, _of(ErrorClass.START), "transient", "current current"),
    ("internal", EXIT_1, _of(ErrorClass.INTERNAL), "transient", "current current"),
    ("login", EXIT_1, _of(ErrorClass.AUTH), "logic_error", "escalate"),
    ("credit", EXIT_1, _of(ErrorClass.CREDIT), "logic_error", "escalate"),
    ("refused", EXIT_1, _of(ErrorClass.DENIED), "logic_error", "escalate"),
    ("declined", EXIT_1, _of(ErrorClass.DECLINED), "logic_error", "current current"),
    ("refused", Exit(ended_by=EndedBy.LIMIT, signal=9), TREE, "logic_error", "escalate"),
    ("not started", Exit(ended_by=EndedBy.SPAWN_FAILED), TREE, "unknown", "escalate"),
    (ASKED, EXIT_0, replace(TREE, final_text=FinalText.QUESTION), "logic_error", "current current"),
    (NO_CHANGES, EXIT_0, replace(TREE, delivery=NOTHING), "logic_error", "current current"),
    (
        "gates",
        EXIT_1,
        replace(TREE, gates=(RED, GREEN)),
        "logic_error",
        "current current safe safe",
    ),
    ("timeout", TIMED_OUT, TREE, "transient", "current current current"),
    ("timeout", EXIT_1, _of(ErrorClass.TIMEOUT), "transient", "current"),
    ("lost", LOST, TREE, "transient", "current last safe safe"),
    (
        "killed",
        Exit(ended_by=EndedBy.EXIT, signal=9),
        replace(TREE, claimed_success=False),
        "transient",
        "current last safe",
    ),
    ("killed", EXIT_1, _of(ErrorClass.KILLED), "transient", "current"),
    ("same failure", EXIT_1, replace(TREE, output=ALIKE), "logic_error", "safe safe"),
    (
        "said it failed",
        EXIT_1,
        replace(TREE, claimed_success=False),
        "logic_error",
        "current current safe",
    ),
    ("exit code", EXIT_1, TREE, "logic_error", "current current safe"),
    (
        "unknown",
        EXIT_0,
        replace(TREE, output="", output_required=True),
        "unknown",
        "current last safe safe",
    ),
    ("unknown", EXIT_1, replace(TREE, output=""), "unknown", "current"),
]
_SHORT = {
    RetryStrategy.RETRY_CURRENT: "current",
    RetryStrategy.ROLLBACK_LAST: "last",
    RetryStrategy.ROLLBACK_SAFE: "safe",
    RetryStrategy.ESCALATE: "escalate",
}


def an_agent(**changes: Any) -> Worker:
    return a_worker(agent="claude", **changes)


def fail(worker: Worker, exit: Exit, evidence: Evidence) -> Worker:
    """Return the worker after one more failed attempt, with the classified failure."""
    worker = replace(worker, attempt=worker.attempt + 1)
    failure = classify(worker, exit, evidence, judge(exit, evidence))
    return replace(worker, result=with_failure(worker.result or WorkerResult(), failure))


def failures(worker: Worker) -> Sequence[RetryStrategy]:
    assert worker.result is not None
    return [each.strategy for each in worker.result.failures]


@pytest.mark.parametrize(("cause", "exit", "evidence", "kind", "strategies"), EXAMPLES)
def test_every_row_of_the_table(
    cause: str, exit: Exit, evidence: Evidence, kind: str, strategies: str
) -> None:
    same = judge(exit, evidence).failure if evidence.output == ALIKE else ""
    worker = an_agent(failure=same)
    for _ in strategies.split():
        worker = fail(worker, exit, evidence)
    assert worker.result is not None
    last = worker.result.failures[-1]
    assert (last.cause, str(last.kind)) == (cause, kind)
    assert [_SHORT[each] for each in failures(worker)] == strategies.split()
    assert last.reason and 0 < last.confidence <= 1


@pytest.mark.parametrize("exit", [LOST, Exit(ended_by=EndedBy.EXIT, signal=9)])
def test_a_crash_never_undoes_work(exit: Exit) -> None:
    worker = an_agent()
    # The work is from an earlier attempt: later attempts change nothing.
    for changed in (True, False, False):
        worker = fail(worker, exit, replace(TREE, has_work=True, files_changed=changed))
    assert set(failures(worker)) == {RetryStrategy.RETRY_CURRENT}


@pytest.mark.parametrize(("cause", "exit", "evidence", "kind", "strategies"), EXAMPLES)
def test_a_command_never_continues_its_own_changes(
    cause: str, exit: Exit, evidence: Evidence, kind: str, strategies: str
) -> None:
    worker = a_worker(agent=SHELL)
    for _ in strategies.split():
        worker = fail(worker, exit, evidence)
    if strategies.startswith("escalate"):
        assert set(failures(worker)) == {RetryStrategy.ESCALATE}
    else:
        assert set(failures(worker)) == {RetryStrategy.ROLLBACK_LAST}
        assert all(each.checkpoint == f"{each.attempt}-before" for each in worker.failures)


def test_a_failure_records_whether_changes_are_undone() -> None:
    broken = replace(TREE, worktree=BROKEN, has_work=True)
    worker = fail(an_agent(), EXIT_1, replace(broken, files_changed=True))
    worker = fail(worker, EXIT_1, replace(broken, has_work=False))
    assert worker.result is not None
    assert [each.undone for each in worker.result.failures] == [True, False]


def test_every_row_has_an_example() -> None:
    assert {row.cause for row in TABLE} == {cause for cause, *_ in EXAMPLES}


def test_a_failure_has_the_logs_of_the_gates_that_rejected_the_attempt() -> None:
    gates = (replace(RED, log="logs/gate_worker_1.pytest.2.log"), GREEN, replace(RED, name="mypy"))
    failed = fail(an_agent(), EXIT_0, replace(TREE, gates=gates))

    [failure] = failed.failures
    assert failure.rejections == (("pytest", "logs/gate_worker_1.pytest.2.log"), ("mypy", ""))


def test_success_and_a_cancel_are_no_failures() -> None:
    for exit in (EXIT_0, CANCELLED):
        assert classify(an_agent(), exit, DONE, judge(exit, DONE)) is None


def test_without_a_worktree_there_is_no_checkpoint_to_restore() -> None:
    worker = an_agent()
    for _ in range(3):
        worker = fail(worker, LOST, DONE)
    assert failures(worker) == [RetryStrategy.RETRY_CURRENT] * 3
    assert worker.result is not None
    assert {(each.checkpoint, each.kept) for each in worker.result.failures} == {("", "")}


def test_checkpoints_are_named_and_the_safe_one_is_that_whose_gates_passed() -> None:
    worker = fail(fail(an_agent(), LOST, TREE), LOST, TREE)
    assert worker.result is not None
    assert [each.checkpoint for each in worker.result.failures] == ["", "2-before"]
    assert [each.kept for each in worker.result.failures] == ["1-after", "2-after"]
    safe = fail(worker, LOST, TREE)
    good = fail(replace(worker, result=replace(worker.result, good="1-after")), LOST, TREE)
    assert safe.result is not None and good.result is not None
    assert safe.result.failures[-1].checkpoint == "start"
    assert good.result.failures[-1].checkpoint == "1-after"


def test_another_failure_or_a_retry_by_a_person_restarts_the_strategies() -> None:
    worker = fail(fail(an_agent(), LOST, TREE), EXIT_1, TREE)
    assert failures(fail(worker, LOST, TREE))[-1] is RetryStrategy.RETRY_CURRENT
    again = replace(fail(an_agent(), LOST, TREE), budget_from=1)
    assert failures(fail(again, LOST, TREE))[-1] is RetryStrategy.RETRY_CURRENT


def test_an_attempt_that_never_ran_does_not_break_the_ladder() -> None:
    worker = fail(an_agent(), LOST, TREE)
    worker = fail(worker, replace(LOST, cause=ExitCause.NEVER_BEGAN), TREE)
    assert failures(fail(worker, LOST, TREE))[-1] is RetryStrategy.ROLLBACK_LAST


def test_the_classification_of_a_failure_is_in_the_retry_event_and_stored() -> None:
    story = Story()
    root = story.root(max_retries=1)
    story.ends(story.key(root), EXIT_1, replace(TREE, worktree=BROKEN))
    [event] = [
        each for each in story.store.events[root.id] if each.kind is EventKind.WORKER_RETRYING
    ]
    assert event.data["strategy"] == "rollback_last"
    assert event.data["failure_kind"] == "corrupted_state"
    assert event.data["confidence"] == 0.9
    assert event.data["checkpoint"] == "1-before"
    result = story.worker(story.key(root)).result
    assert result is not None and result.failures[0].kind is FailureKind.CORRUPTED_STATE


def test_a_failure_without_another_attempt_is_escalated() -> None:
    story = Story()
    root = story.root(a_task("a", retries=1))
    story.ends(story.key(root), EXIT_1, replace(TREE, worktree=BROKEN))
    story.later(60)
    story.ends(story.key(root), EXIT_1, replace(TREE, worktree=BROKEN))
    worker = story.worker(story.key(root))
    assert worker.status is WorkerStatus.FAILED and worker.result is not None
    last = worker.result.failures[-1]
    assert (last.strategy, last.checkpoint) == (RetryStrategy.ESCALATE, "")
    assert "no automatic retry" in last.reason
    [ended] = [e for e in story.store.events[root.id] if e.kind is EventKind.WORKER_ENDED]
    assert ended.data["strategy"] == "escalate"


def test_a_result_whose_gates_passed_is_known_to_be_good() -> None:
    story = Story()
    root = story.root(max_retries=2)
    story.ends(story.key(root), LOST, replace(TREE, gates=(GREEN,)))
    story.later(60)
    story.ends(story.key(root), LOST, replace(TREE, gates=(GREEN, RED)))
    result = story.worker(story.key(root)).result
    assert result is not None and result.good == "1-after"


@pytest.mark.parametrize(
    "gate",
    [
        GateResult(name=SECRETS, status=GateStatus.PASSED),
        GateResult(name="tests", status=GateStatus.PASSED, cause=GateCause.NO_TESTS),
    ],
)
def test_a_result_that_no_gate_judged_is_not_known_to_be_good(gate: GateResult) -> None:
    story = Story()
    root = story.root(max_retries=2)
    story.ends(story.key(root), LOST, replace(TREE, gates=(gate,)))
    result = story.worker(story.key(root)).result
    assert result is not None and result.good == ""
