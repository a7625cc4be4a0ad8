"""Retries of HTTP calls. Only pauses move the clock."""

import time

import pytest

from orchestrator.system.http_client.http_retry import Retry, call_with_retries, seconds_until
from orchestrator.system.http_client.stdlib_client import ServerReply

BUSY = ServerReply(503, None, b'{"detail": "it restarts"}')


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses so far, in seconds; no pause takes time."""
    made: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: sum(made))
    monkeypatch.setattr(time, "sleep", made.append)
    return made


def test_a_busy_or_lost_call_is_retried(pauses: list[float]) -> None:
    ahead = [OSError("refused"), BUSY, ServerReply(409, None, b"{}"), BUSY]

    def once() -> ServerReply:
        one = ahead.pop(0)
        if isinstance(one, OSError):
            raise one
        return one

    assert call_with_retries(once, 30).status == 409
    assert ahead == [BUSY]


@pytest.mark.parametrize(("patience", "ends_at"), [(30.0, float("inf")), (300.0, 0.0)])
def test_a_retry_after_beyond_the_patience_ends_the_tries(patience: float, ends_at: float) -> None:
    calls: list[None] = []

    def once() -> ServerReply:
        calls.append(None)
        return ServerReply(429, 60.0, b'{"detail": "60 calls a minute"}')

    with pytest.raises(OSError, match="60 calls a minute"):
        call_with_retries(once, patience, ends_at=ends_at)
    assert len(calls) == 1


def test_delays_grow_until_the_window_ends(pauses: list[float]) -> None:
    retry = Retry(30)

    while retry.pause():
        pass

    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5])


def test_a_success_restarts_the_window_and_the_delays(pauses: list[float]) -> None:
    retry = Retry(1)
    while retry.pause():
        pass
    retry.succeeded()

    assert retry.pause()
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.1])


def test_the_server_sets_the_delay(pauses: list[float]) -> None:
    retry = Retry(30)

    assert [retry.pause(7), retry.pause(0), retry.pause(60)] == [True, True, False]
    assert pauses == pytest.approx([7, 0.1])


def test_a_long_delay_is_reported_once(pauses: list[float]) -> None:
    reported: list[tuple[float, float]] = []
    retry = Retry(9, lambda left: reported.append((sum(pauses), left)))

    while retry.pause():
        pass

    assert reported == [pytest.approx((0.7, 8.3))]


def test_patience_begins_with_the_first_failure(pauses: list[float]) -> None:
    reported: list[float] = []

    def once() -> ServerReply:
        if not pauses:
            pauses.append(100)  # duration of the call
        return BUSY

    with pytest.raises(OSError, match="it restarts"):
        call_with_retries(once, 9, waiting=lambda left: reported.append(sum(pauses)))

    assert pauses == pytest.approx([100, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
    assert reported == pytest.approx([101.5])


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-5", None),
        ("nan", None),
        ("9" * 400, None),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:30", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert seconds_until(header, 10.0) == seconds
