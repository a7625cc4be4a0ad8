from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy, Evidence, Exit
from orchestrator.core.model.attempt.failure import (
    HANDED_ON,
    NOT_STARTED,
    Failure,
    FailureKind,
    RetryStrategy,
)
from orchestrator.core.model.job import WaitingFor, Worker
from orchestrator.core.model.states import WaitKind, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.attempt_outcome import Verdict, judge
from orchestrator.core.outcome.failure_rules import NEVER_RAN
from orchestrator.core.outcome.retry_policy import (
    MAX_DELAY_SECONDS,
    MOST_ATTEMPTS,
    MOST_NEVER_BEGAN,
    NO_RETRY,
    TOOL_START_DELAYS,
    RetryDecision,
    RetryFacts,
    failure_reason,
    may_retry,
    never_begins,
    next_attempt,
    retry_delay,
)
from tests.unit.core.factories import CANCELLED, EXIT_1, LOST, TIMED_OUT, a_config, a_task, a_worker

FAILURE = judge(EXIT_1, Evidence(output="x"))
OTHER_FAILURE = judge(EXIT_1, Evidence(output="y"))
TIMEOUT = judge(TIMED_OUT, Evidence())
UNSTARTABLE = judge(Exit(ended_by=EndedBy.SPAWN_FAILED), Evidence())


def allows_retry(
    verdict: Verdict = FAILURE,
    *,
    attempt: int = 1,
    before: Verdict | None = None,
    retries: int | None = None,
    child_failed: bool = False,
    budget_from: int = 0,
    command: bool = True,
    **config: Any,
) -> bool:
    failure = before.failure if before else ""
    worker = a_worker(attempt=attempt, budget_from=budget_from, failure=failure)
    config = {"max_retries": 2, **config}
    task = a_task(retries=retries, command="make" if command else None)
    return may_retry(worker, task, a_config(**config), verdict, child_failed)


def attempts_used(**fields: Any) -> int:
    """Return the number of attempts of a worker that always fails in the same way."""
    number = 1
    while allows_retry(attempt=number, before=FAILURE if number > 1 else None, **fields):
        number += 1
    return number


def test_a_failure_is_tried_again() -> None:
    assert allows_retry()


@pytest.mark.parametrize("retries", [0, 1, 3, 7])
def test_retries_of_a_task_are_all_used(retries: int) -> None:
    assert attempts_used(retries=retries) == 1 + retries


@pytest.mark.parametrize("retries", [0, 1, 3, 7])
def test_requested_retries_of_a_job_are_all_used(retries: int) -> None:
    assert attempts_used(max_retries=retries, retries_asked=True) == 1 + retries


@pytest.mark.parametrize("settings", [{"retries": 7}, {"max_retries": 7, "retries_asked": True}])
def test_the_same_failure_twice_ends_the_retries_of_an_agent(
    settings: dict[str, Any],
) -> None:
    assert attempts_used(command=False, **settings) == 2
    assert allows_retry(command=False, attempt=2, before=OTHER_FAILURE, **settings)


def test_a_command_that_does_not_exist_is_never_tried_again() -> None:
    not_found = judge(replace(EXIT_1, code=127), Evidence())
    assert not allows_retry(not_found, retries=5)


def test_default_retries_stop_at_the_same_failure_twice_in_a_row() -> None:
    assert attempts_used(max_retries=7) == 2


def test_default_retries_continue_while_failures_differ() -> None:
    assert allows_retry(attempt=2, before=OTHER_FAILURE)
    assert not allows_retry(attempt=3, before=OTHER_FAILURE)


def test_a_tasks_own_retries_replace_those_of_the_job() -> None:
    assert attempts_used(retries=1, max_retries=5, retries_asked=True) == 2


def test_a_retry_of_the_job_starts_a_new_budget() -> None:
    assert not allows_retry(attempt=3, retries=2)
    assert allows_retry(attempt=4, retries=2, budget_from=3)
    assert not allows_retry(attempt=6, retries=2, budget_from=3)


def test_a_timeout_is_retried_only_if_retries_were_requested() -> None:
    assert not allows_retry(TIMEOUT)
    assert allows_retry(TIMEOUT, retries=1)
    assert allows_retry(TIMEOUT, retries_asked=True)


def test_a_cancelled_attempt_is_never_tried_again() -> None:
    cancelled = judge(CANCELLED, Evidence())
    assert not allows_retry(cancelled, retries=5)


def test_a_program_that_cannot_be_started_is_never_tried_again() -> None:
    assert not allows_retry(UNSTARTABLE)
    assert not allows_retry(UNSTARTABLE, retries=5)


def test_a_lost_attempt_is_tried_again() -> None:
    assert allows_retry(judge(LOST, Evidence()))


def test_the_failure_of_a_child_job_is_not_multiplied_by_its_parents_retries() -> None:
    assert not allows_retry(child_failed=True)
    assert not allows_retry(child_failed=True, retries_asked=True)
    assert allows_retry(child_failed=True, retries=1)


def delays(attempts: Sequence[Worker], backoff_seconds: float = 1.0) -> list[float]:
    return [retry_delay(worker, backoff_seconds) for worker in attempts]


def test_the_pause_doubles_with_every_failure_up_to_a_minute() -> None:
    attempts = [a_worker(attempt=number) for number in range(1, 9)]
    assert delays(attempts) == [1, 2, 4, 8, 16, 32, MAX_DELAY_SECONDS, MAX_DELAY_SECONDS]


def test_a_new_budget_of_retries_restarts_the_delay() -> None:
    assert delays([a_worker(attempt=6, budget_from=5)]) == [1]


def test_the_pause_stays_finite_after_very_many_attempts() -> None:
    assert delays([a_worker(attempt=100_000)]) == [MAX_DELAY_SECONDS]
    assert delays([a_worker(attempt=100_000)], backoff_seconds=0.0) == [0.0]


def reason(worker: Worker, verdict: Verdict = FAILURE, max_retries: int = 2) -> str:
    return failure_reason(worker, a_task(), a_config(max_retries=max_retries), verdict)


def test_the_reason_counts_the_attempts() -> None:
    assert reason(a_worker(attempt=1)) == "exit code 1"
    assert reason(a_worker(attempt=3)) == "exit code 1 (attempt 3 of 3)"
    assert reason(a_worker(attempt=2)) == "exit code 1 (attempt 2 of 3)"
    # A retry after a rate limit is free.
    assert reason(a_worker(attempt=5)) == "exit code 1 (attempt 5 of 5)"


def test_the_reason_names_the_same_failure_that_ended_the_retries() -> None:
    worker = a_worker(attempt=2, failure=FAILURE.failure)
    assert (
        reason(worker)
        == "exit code 1 (no further retry: the last two attempts had the same failure)"
    )


def test_the_reason_of_a_cancelled_worker_does_not_change() -> None:
    verdict = judge(CANCELLED, Evidence())
    assert reason(a_worker(attempt=3), verdict) == "cancelled by user"


# The decision on the next attempt


def failed(reason: str = "bad", **fields: Any) -> Verdict:
    return Verdict(status=WorkerStatus.FAILED, reason=reason, **fields)


def after(*causes: str, **fields: Any) -> Worker:
    """Return a worker whose attempts failed with these causes, in order."""
    failures = tuple(
        Failure(
            attempt=number,
            kind=FailureKind.UNKNOWN,
            strategy=RetryStrategy.RETRY_CURRENT,
            reason="",
            confidence=0.5,
            cause=cause,
        )
        for number, cause in enumerate(causes, 1)
    )
    values = {"attempt": max(1, len(causes)), "result": WorkerResult(failures=failures), **fields}
    return a_worker(agent="claude", **values)


def free(delay: float, reason: str, cause: str, **fields: Any) -> RetryDecision:
    return RetryDecision(delay_seconds=delay, reason=reason, cause=cause, is_free=True, **fields)


def counted(delay: float, failure: str = "") -> RetryDecision:
    reason = f"bad; retrying in {delay:g} s"
    return RetryDecision(delay_seconds=delay, reason=reason, cause="bad", failure=failure)


def handed_on(to: str, reason: str, cause: str, agent: str = "") -> RetryDecision:
    return free(0.0, reason, cause, handed_to=to, agent=agent, failure=HANDED_ON)


LIMITED = "waiting: claude is rate-limited; retrying in 7 s"
BY_ACCOUNT = free(7.0, LIMITED, "bad", waiting_for=WaitingFor(WaitKind.ACCOUNT, "claude"))
USING = "using codex instead of claude (bad)"
BY_AGENT = handed_on("codex", USING, "bad", "codex")
BY_MACHINE = handed_on("another machine", "bad; retrying on another machine", "bad")
TOOL_DELAYS = [free(each, f"bad; retrying in {each:g} s", "bad") for each in TOOL_START_DELAYS]
RETRY = failed(retry=True, failure="f")
TOOL = failed(not_started=True)
MOVES = failed(login_refused=True, moves=True)
LOGIN = failed(login_refused=True)


@pytest.mark.parametrize(
    ("verdict", "worker", "facts", "expected"),
    [
        (RETRY, after(), RetryFacts(), counted(1.0, "f")),
        (RETRY, after("x", "y"), RetryFacts(), counted(2.0, "f")),
        (RETRY, after("x", "y", "z"), RetryFacts(), NO_RETRY),
        (RETRY, after("x", failure="f"), RetryFacts(), NO_RETRY),
        (RETRY, after(), RetryFacts(child_failed=True), NO_RETRY),
        (failed(), after(), RetryFacts(), NO_RETRY),
        (failed(retry=True, never_began=True), after("x", "y"), RetryFacts(), counted(0.0)),
        # A wait for an account uses no retry, and takes precedence over all other decisions.
        (RETRY, after("x", "y", "z"), RetryFacts(account_delay_seconds=7.0), BY_ACCOUNT),
        (MOVES, after(), RetryFacts(account_delay_seconds=7.0), BY_ACCOUNT),
        # An agent that worked before is started again after each delay.
        (TOOL, after(NOT_STARTED), RetryFacts(tool_worked=True), TOOL_DELAYS[0]),
        (TOOL, after("x", *[NOT_STARTED] * 2), RetryFacts(tool_worked=True), TOOL_DELAYS[1]),
        (TOOL, after(*[NOT_STARTED] * 3), RetryFacts(tool_worked=True), TOOL_DELAYS[2]),
        (TOOL, after(*[NOT_STARTED] * 4), RetryFacts(tool_worked=True), NO_RETRY),
        (TOOL, after(NOT_STARTED, "x"), RetryFacts(tool_worked=True), NO_RETRY),
        (TOOL, after(NOT_STARTED), RetryFacts(), NO_RETRY),
        (RETRY, after(NOT_STARTED), RetryFacts(tool_worked=True), counted(1.0, "f")),
        # After a failed login, another machine is preferred to another agent.
        (MOVES, after("x"), RetryFacts(other_agent="codex"), BY_MACHINE),
        (MOVES, after(attempt=MOST_ATTEMPTS - 1), RetryFacts(), BY_MACHINE),
        (MOVES, after(attempt=MOST_ATTEMPTS), RetryFacts(), NO_RETRY),
        (LOGIN, after("x"), RetryFacts(other_agent="codex"), BY_AGENT),
        (LOGIN, after("x"), RetryFacts(), NO_RETRY),
    ],
)
def test_the_next_attempt_follows_from_the_verdict_and_the_facts(
    verdict: Verdict, worker: Worker, facts: RetryFacts, expected: RetryDecision
) -> None:
    config = a_config(max_retries=2, retry_backoff_seconds=1.0)
    assert next_attempt(worker, a_task(), config, verdict, facts) == expected


@pytest.mark.parametrize(
    ("causes", "expected"),
    [
        ([], False),
        ([NEVER_RAN] * (MOST_NEVER_BEGAN - 1), False),
        ([NEVER_RAN] * MOST_NEVER_BEGAN, True),
        ([NEVER_RAN] * MOST_NEVER_BEGAN + ["x"], False),
        (["x"] + [NEVER_RAN] * MOST_NEVER_BEGAN, True),
    ],
)
def test_a_worker_never_begins_after_several_attempts_in_a_row(
    causes: list[str], expected: bool
) -> None:
    assert never_begins(after(*causes)) is expected
