"""Prompt text for a further attempt."""

from dataclasses import replace

from orchestrator.core.gates.gate import GateResult, GateStatus
from orchestrator.core.model.attempt.failure import FEEDBACK, HANDED_ON, SENT_BACK
from orchestrator.core.model.states import WorkerKind
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.engine.attempts.retry_prompt import GATE_CHARACTERS, previous_failure
from tests.unit.core.factories import a_worker


def test_a_first_attempt_and_feedback_have_no_text_about_a_failure() -> None:
    worker = replace(a_worker(), result=WorkerResult(exit_code=1, output="bad"))

    assert previous_failure(replace(worker, attempt=1)) == ""
    assert previous_failure(replace(worker, attempt=2, failure=FEEDBACK)) == ""
    assert "bad" in previous_failure(replace(worker, attempt=2))


def test_the_next_attempt_gets_the_findings_of_its_gates() -> None:
    failed = GateResult(
        name="pytest",
        status=GateStatus.FAILED,
        failures=("tests.a::b: assert 1",),
        output="x" * 9000,
    )
    again = replace(a_worker(), attempt=2, result=WorkerResult(exit_code=0, gates=(failed,)))

    text = previous_failure(again)

    assert "Gate pytest: failed\n- tests.a::b: assert 1" in text
    assert len(text) <= GATE_CHARACTERS
    passed = replace(failed, status=GateStatus.PASSED)
    result = WorkerResult(exit_code=1, gates=(passed,))
    assert "exit code 1" in previous_failure(replace(again, result=result))


def test_conflicts_are_in_the_prompt_of_every_attempt_that_must_resolve_them() -> None:
    result = WorkerResult(exit_code=1, conflicts=("a.txt", "b"), output="no idea")
    first = replace(a_worker(), attempt=2, failure=SENT_BACK, result=result)

    assert "other workers in 'a.txt', 'b'. Both versions" in previous_failure(first)
    assert "no idea" not in previous_failure(first)
    second = previous_failure(replace(first, attempt=3, failure="exit code|x"))
    assert second.startswith(previous_failure(first))
    assert second.endswith(
        "The attempt ended with exit code 1 (exit code). The end of its output:\n\nno idea"
    )


def test_an_adviser_in_place_of_another_is_not_shown_the_others_refused_login() -> None:
    """An adviser does not continue earlier work, so a failed login does not matter."""
    result = WorkerResult(output="Your plan was rejected: invalid x-api-key")
    worker = replace(a_worker(), attempt=2, failure=HANDED_ON, result=result)

    assert "the login of that agent failed" in previous_failure(worker)
    assert previous_failure(replace(worker, kind=WorkerKind.PLANNER)) == ""
