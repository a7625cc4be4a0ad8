"""The clock of an attempt's timeout."""

import pytest

from orchestrator.launchers.shim.shim_attempt import TimeoutClock


def test_a_clock_that_runs_has_a_deadline() -> None:
    clock = TimeoutClock(10.0)
    assert clock.deadline is None
    clock.start(100.0)
    assert clock.deadline == 110.0


def test_waiting_costs_no_time() -> None:
    clock = TimeoutClock(10.0)
    clock.start(100.0)
    clock.pause(104.0)
    assert clock.deadline is None
    clock.start(200.0)
    assert clock.deadline == pytest.approx(206.0)


def test_a_repeated_start_or_pause_changes_nothing() -> None:
    clock = TimeoutClock(10.0)
    clock.start(100.0)
    clock.start(105.0)
    clock.pause(106.0)
    clock.pause(109.0)
    clock.start(200.0)
    assert clock.deadline == pytest.approx(204.0)


def test_without_a_timeout_there_is_no_deadline() -> None:
    clock = TimeoutClock(None)
    clock.start(100.0)
    clock.pause(101.0)
    clock.start(102.0)
    assert clock.deadline is None
