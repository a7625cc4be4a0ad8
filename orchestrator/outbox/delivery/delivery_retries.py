"""Retries of deliveries: the time of the next attempt, and the end of the attempts. Pure."""

import random
from collections.abc import Callable
from dataclasses import replace

from orchestrator.core.ports.outbox import EntryState, OutboxEntry
from orchestrator.outbox.delivery.http_sender import Outcome

#: Seconds before the second and each later attempt, as in the specification Standard Webhooks.
WAITS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
#: Seconds before the second and each later attempt, if the answer was 404 or 409. A workflow tool
#: answers with these statuses until it is ready for the message.
EARLY_WAITS = (1.0, 3.0, 10.0, 30.0)
_EARLY = frozenset({404, 409})
#: Maximum number of attempts after a status 3xx or 4xx. Not for GONE, and not for the statuses in
#: ``_EARLY`` and ``_RETRYABLE``. A retry can succeed, because a proxy may have answered instead of
#: the receiver.
MOST_REFUSED = 3
#: Statuses 4xx that allow as many attempts as a status 5xx.
_RETRYABLE = frozenset({408, 425, 429})
#: Statuses after which the next attempt follows the header ``Retry-After``.
_WITH_RETRY_AFTER = frozenset({429, 503})
#: Status of a receiver that accepts no message any more.
GONE = 410
#: Maximum seconds of a wait from the header ``Retry-After``.
MOST_WAIT = 86_400.0
#: Maximum random change of a wait, as a share of the wait.
JITTER = 0.1


def after_attempt(
    entry: OutboxEntry,
    outcome: Outcome,
    now: float,
    jitter: Callable[[float, float], float] = random.uniform,
) -> OutboxEntry:
    """Return ``entry`` with its state after an attempt: delivered, failed, or pending a retry.

    ``now``: Unix time. ``jitter`` returns a random number between two numbers.
    """
    entry = replace(
        entry,
        attempts=entry.attempts + 1,
        last_status=outcome.status,
        last_error=outcome.error,
        answer=outcome.answer,
    )
    if outcome.delivered:
        return replace(entry, state=EntryState.DELIVERED, done_at=now)
    wait = _seconds_until_retry(entry.attempts, outcome)
    if wait is None:
        return replace(entry, state=EntryState.FAILED, done_at=now)
    seconds = wait * jitter(1 - JITTER, 1 + JITTER)
    if outcome.status in _WITH_RETRY_AFTER and outcome.retry_after is not None:
        seconds = max(seconds, min(outcome.retry_after, MOST_WAIT))
    return replace(entry, due_at=now + seconds)


def _seconds_until_retry(attempts: int, outcome: Outcome) -> float | None:
    status = outcome.status
    if outcome.final or status == GONE:
        return None
    if status in _EARLY:
        return EARLY_WAITS[attempts - 1] if attempts <= len(EARLY_WAITS) else None
    refused = status is not None and 300 <= status < 500 and status not in _RETRYABLE
    if attempts > len(WAITS) or (refused and attempts >= MOST_REFUSED):
        return None
    return WAITS[attempts - 1]
