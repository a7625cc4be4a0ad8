"""The decision to resume the previous attempt's session: one row for each combination."""

import pytest

from orchestrator.agents.prompts.prompt import INTERRUPTIONS
from orchestrator.core.model.attempt.agent_session import (
    RESUMED_AFTER,
    Session,
    SessionStart,
    is_rolled_back,
    is_session_id,
    start_of,
)
from orchestrator.core.model.attempt.failure import (
    SENT_BACK,
    Failure,
    FailureKind,
    RetryStrategy,
    Rollback,
)
from orchestrator.core.outcome.failure_rules import TABLE

SESSION = Session(id="abc", agent="claude", model="opus", attempt=2, checkpoint="2-after")
RESUMED = [
    SENT_BACK,
    *(
        "gates",
        "rate limit",
        "api",
        "timeout",
        "lost",
        "killed",
        "internal",
        "login",
        "credit",
        "refused",
    ),
    *("asked", "no_changes", "said it failed", "exit code", "feedback"),
    *("never ran", "tool not started", "not started"),
]


def a_failure(attempt: int, checkpoint: str) -> Failure:
    return Failure(
        attempt=attempt,
        kind=FailureKind.LOGIC_ERROR,
        strategy=RetryStrategy.ROLLBACK_SAFE,
        reason="",
        confidence=1.0,
        checkpoint=checkpoint,
    )


def a_rollback(attempt: int, checkpoint: str) -> Rollback:
    return Rollback(
        at=1.0, by="me", attempt=attempt, checkpoint=checkpoint, commit="c", kept="2-left-1"
    )


def start(
    session: Session | None,
    cause: str,
    *,
    rolled_back: bool = False,
    agent: str = "claude",
    model: str = "opus",
    able: bool = True,
) -> SessionStart:
    return start_of(
        session, cause, rolled_back=rolled_back, agent=agent, model=model, can_resume=able
    )


@pytest.mark.parametrize("cause", [*RESUMED_AFTER, "", "no such cause"])
def test_the_cause_of_the_end_decides(cause: str) -> None:
    expected = SessionStart.RESUME if cause in RESUMED else SessionStart.NEW
    assert start(SESSION, cause) is expected


@pytest.mark.parametrize("cause", RESUMED)
def test_one_difference_begins_a_new_session(cause: str) -> None:
    assert start(SESSION, cause, rolled_back=True) is SessionStart.NEW
    assert start(SESSION, cause, agent="codex") is SessionStart.NEW
    assert start(SESSION, cause, model="haiku") is SessionStart.NEW
    assert start(SESSION, cause, able=False) is SessionStart.NEW


def test_a_session_that_could_not_be_resumed_is_not_tried_again() -> None:
    broken = Session(id="abc", agent="claude", model="opus", usable=False)
    assert start(broken, "gates") is SessionStart.NEW
    assert start(None, "gates") is SessionStart.NEW


def test_every_cause_of_an_end_has_a_row() -> None:
    assert {row.cause for row in TABLE} <= set(RESUMED_AFTER)
    assert set(INTERRUPTIONS) <= set(RESUMED)


@pytest.mark.parametrize(
    ("failures", "rollbacks", "rolled_back"),
    [
        ([], [], False),
        ([a_failure(2, "")], [], False),
        ([a_failure(2, "1-after")], [], True),
        ([a_failure(2, "start")], [], True),
        # The rollback was before the session's end, so the model knows about it.
        ([a_failure(1, "start")], [], False),
        ([a_failure(2, ""), a_failure(3, "start")], [], True),
        ([], [a_rollback(2, "2-before")], True),
        ([], [a_rollback(2, "2-after")], False),
        ([], [a_rollback(1, "start")], False),
    ],
)
def test_work_that_was_undone_since_the_session_ended(
    failures: list[Failure], rollbacks: list[Rollback], rolled_back: bool
) -> None:
    assert is_rolled_back(SESSION, failures, rollbacks) is rolled_back


@pytest.mark.parametrize("text", ["", "-p", "--model", "a b", "a/b", "x" * 200, "a\nb"])
def test_a_text_that_could_be_an_option_is_no_session_id(text: str) -> None:
    assert not is_session_id(text)


@pytest.mark.parametrize(
    "text", ["38de3a06-f749-4fe5-bf85-d6ffae67a050", "ses_df87e1a40ffeKHeA9bfIXm73SM"]
)
def test_ids_of_the_tools_are_sessions(text: str) -> None:
    assert is_session_id(text)
