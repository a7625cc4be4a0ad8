"""Scheduled calls. The owner of a call may no longer exist."""

from orchestrator.api.socket_loop.socket_loop import Timers


def due(timers: Timers[str], now: float) -> list[str]:
    owners: list[str] = []
    for call, owner in timers.take_due(now):
        call()
        owners.append(owner)
    return owners


def nothing() -> None:
    pass


def test_timers_run_in_order_and_once_each() -> None:
    timers: Timers[str] = Timers()
    for at, owner in ((3.0, "c"), (1.0, "a"), (2.0, "b"), (1.0, "b")):
        timers.add(at, nothing, owner)

    assert timers.next_at == 1.0
    assert due(timers, 0.5) == []
    assert due(timers, 2.0) == ["a", "b", "b"]
    assert due(timers, 9.0) == ["c"]
    assert timers.next_at is None


def test_calls_of_a_forgotten_owner_are_dropped() -> None:
    timers: Timers[str] = Timers()
    for owner in "abab":
        timers.add(1.0, nothing, owner)

    timers.forget("a")
    timers.forget("a")

    assert due(timers, 1.0) == ["b", "b"]


def test_an_owner_that_a_due_call_forgets_is_not_called() -> None:
    timers: Timers[str] = Timers()
    timers.add(1.0, lambda: timers.forget("b"), "a")
    timers.add(2.0, nothing, "b")

    assert due(timers, 2.0) == ["a"]


def test_long_waits_that_end_early_are_not_held_until_their_time() -> None:
    timers: Timers[int] = Timers()
    timers.add(1.0, nothing, -1)

    for owner in range(10_000):
        timers.add(110.0, nothing, owner)
        timers.add(15.0, nothing, owner)
        timers.forget(owner)

    assert len(timers) < 100
    assert timers.next_at == 1.0
