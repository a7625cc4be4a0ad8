"""Retries of deliveries: the next attempt after each kind of answer."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from orchestrator.core.ports.outbox import EntryState, OutboxEntry, Topic
from orchestrator.outbox.delivery.delivery_retries import EARLY_WAITS, WAITS, after_attempt
from orchestrator.outbox.delivery.http_sender import Outcome

ENTRY = OutboxEntry(
    id="msg_a_1_ci",
    root_id="a",
    job_id="a",
    seq=1,
    endpoint="webhook:ci",
    topic=Topic.JOB_ENDED,
    created_at=0.0,
    due_at=0.0,
)


def waits(outcome: Outcome) -> Iterator[float]:
    """Return the seconds before each retry, until the entry has failed."""
    entry, now = ENTRY, 0.0
    while True:
        entry = after_attempt(entry, outcome, now, lambda low, high: 1.0)
        if entry.state is not EntryState.PENDING:
            return
        yield entry.due_at - now
        now = entry.due_at


def failed(status: int | None, **fields: object) -> Outcome:
    return replace(Outcome(status=status, error="failed"), **fields)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (failed(500), WAITS),
        (failed(None), WAITS),
        (failed(429), WAITS),
        (failed(404), EARLY_WAITS),
        (failed(409), EARLY_WAITS),
        (failed(400), WAITS[:2]),
        (failed(302), WAITS[:2]),
        (failed(410), ()),
        (failed(None, final=True), ()),
    ],
)
def test_an_answer_decides_when_the_next_attempt_is(
    outcome: Outcome, expected: tuple[float, ...]
) -> None:
    assert tuple(waits(outcome)) == pytest.approx(expected)


def test_a_receiver_that_asks_to_wait_gets_the_time() -> None:
    entry = after_attempt(ENTRY, failed(503, retry_after=900.0), 0.0)

    assert entry.due_at == 900.0


def test_a_receiver_cannot_ask_for_more_than_a_day() -> None:
    assert after_attempt(ENTRY, failed(429, retry_after=1e9), 0.0).due_at == 86_400.0


def test_retries_of_many_messages_spread() -> None:
    edges: list[Callable[[float, float], float]] = [lambda low, high: low, lambda low, high: high]
    due = [after_attempt(ENTRY, failed(500), 0.0, edge).due_at for edge in edges]

    assert due == pytest.approx([4.5, 5.5])


def test_an_accepted_message_is_done() -> None:
    entry = after_attempt(ENTRY, Outcome(status=204), 7.0)

    assert (entry.state, entry.done_at, entry.attempts) == (EntryState.DELIVERED, 7.0, 1)
