"""Attempts that are made ready beside the loop, and stops that come meanwhile."""

import threading
from collections.abc import Iterator

import pytest

from orchestrator.core.evidence import EndedBy, Exit
from orchestrator.engine.beside import Beside

STOPPED = Exit(ended_by=EndedBy.CANCEL, stopped_by="somebody")
WITHIN = 20.0


@pytest.fixture
def beside() -> Iterator[Beside]:
    beside = Beside()
    yield beside
    beside.close()


def begun(beside: Beside) -> None:
    """An attempt of which one thread says that it is being made ready."""
    there = threading.Event()
    beside.begin("a", there.set)
    assert there.wait(WITHIN)


def test_what_was_stopped_before_is_never_launched(beside: Beside) -> None:
    launched: list[str] = []
    begun(beside)

    assert beside.stop("a", STOPPED)
    assert beside.stop("a", Exit(ended_by=EndedBy.TIMEOUT))

    assert beside.ready("a", lambda: launched.append("a")) == STOPPED
    assert launched == []


def test_what_is_launched_is_stopped_elsewhere(beside: Beside) -> None:
    launched: list[str] = []
    begun(beside)

    assert beside.ready("a", lambda: launched.append("a")) is None

    assert launched == ["a"]
    assert not beside.stop("a", STOPPED)


def test_after_the_end_nothing_is_launched_or_done(beside: Beside) -> None:
    launched: list[str] = []
    begun(beside)
    beside.close()
    beside.close()

    assert beside.ready("a", lambda: launched.append("a")) is None
    beside.later(lambda: launched.append("later"))

    assert launched == []


def test_a_failure_is_no_end_of_the_thread(beside: Beside) -> None:
    there = threading.Event()

    def fails() -> None:
        raise ValueError("x")

    for _ in range(20):
        beside.later(fails)
    beside.later(there.set)

    assert there.wait(WITHIN)
