"""Attempts that are prepared in the background, and stops during the preparation."""

import threading
from collections.abc import Iterator

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.engine.runtime.background_pool import BackgroundPool

STOPPED = Exit(ended_by=EndedBy.CANCEL, stopped_by="somebody")
WITHIN = 20.0


@pytest.fixture
def background() -> Iterator[BackgroundPool]:
    background = BackgroundPool()
    yield background
    background.close()


def begun(background: BackgroundPool) -> None:
    """An attempt whose preparation a thread has reported."""
    there = threading.Event()
    background.begin("a", there.set)
    assert there.wait(WITHIN)


def test_an_attempt_that_was_stopped_before_its_launch_never_starts(
    background: BackgroundPool,
) -> None:
    launched: list[str] = []
    begun(background)

    assert background.stop("a", STOPPED)
    assert background.stop("a", Exit(ended_by=EndedBy.TIMEOUT))

    assert background.ready("a", lambda: launched.append("a")) == STOPPED
    assert launched == []


def test_a_launched_attempt_is_not_stopped_in_the_background(background: BackgroundPool) -> None:
    launched: list[str] = []
    begun(background)

    assert background.ready("a", lambda: launched.append("a")) is None

    assert launched == ["a"]
    assert not background.stop("a", STOPPED)


def test_after_the_end_nothing_is_launched_or_done(background: BackgroundPool) -> None:
    launched: list[str] = []
    begun(background)
    background.close()
    background.close()

    assert background.ready("a", lambda: launched.append("a")) is None
    background.submit(lambda: launched.append("later"))

    assert launched == []


def test_a_failure_is_no_end_of_the_thread(background: BackgroundPool) -> None:
    there = threading.Event()

    def fails() -> None:
        raise ValueError("x")

    for _ in range(20):
        background.submit(fails)
    background.submit(there.set)

    assert there.wait(WITHIN)
