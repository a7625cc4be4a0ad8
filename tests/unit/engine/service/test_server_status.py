"""The check of the store for ``/health``, and the counts of ends in the last minute."""

import threading
import time

import pytest

from orchestrator.core.errors import StoreAway
from orchestrator.core.events import EventKind
from orchestrator.core.gates.gate import GateOutcome
from orchestrator.core.ports import StateChange
from orchestrator.engine.service import server_status
from orchestrator.engine.service.server_status import CHECK_SECONDS, StoreProbe, Throughput
from tests.contract.store_values import a_job, an_event


def test_a_store_that_does_not_answer_delays_no_caller() -> None:
    answers, checks = threading.Event(), []

    def check() -> None:
        checks.append(1)
        answers.wait(60)

    probe = StoreProbe(check)
    began = time.monotonic()
    assert "has not answered for" in probe.trouble()
    assert "has not answered for" in probe.trouble()
    assert time.monotonic() - began < 2 * CHECK_SECONDS, "the second call does not wait"
    assert len(checks) == 1, "one thread waits for the database"

    answers.set()
    deadline = time.monotonic() + 10
    while probe.trouble() or len(checks) == 1:
        assert time.monotonic() < deadline


def test_the_error_of_the_latest_check_is_reported_while_the_next_check_runs() -> None:
    hangs, answers = threading.Event(), threading.Event()

    def check() -> None:
        if hangs.is_set():
            answers.wait(60)
        raise StoreAway("connection refused")

    probe = StoreProbe(check)
    assert probe.trouble() == "connection refused"
    hangs.set()
    assert probe.trouble() == "connection refused"
    answers.set()


class Clock:
    time = 1000.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(server_status, "clock", clock)
    return clock


def test_ends_count_for_one_minute(clock: Clock) -> None:
    job, counts = a_job(), Throughput()
    counts(
        StateChange(
            events=[
                an_event(job, 1, kind=EventKind.WORKER_ENDED, at=950.0),
                an_event(job, 2, kind=EventKind.WORKER_ENDED, at=999.0),
                an_event(job, 3, kind=EventKind.JOB_ENDED, at=999.0),
                an_event(job, 4, kind=EventKind.JOB_STARTED, at=999.0),
            ]
        )
    )
    assert counts.per_minute() == {"workers_ended": 2, "jobs_ended": 1}

    clock.time = 1030.0
    assert counts.per_minute() == {"workers_ended": 1, "jobs_ended": 1}
    clock.time = 1059.0
    assert counts.per_minute() == {"workers_ended": 0, "jobs_ended": 0}


def test_each_outcome_of_gates_has_a_count(clock: Clock) -> None:
    counts = Throughput()
    passed = {"outcome": GateOutcome.PASSED}
    counts(StateChange(events=[an_event(a_job(), 1, kind=EventKind.GATE_ENDED, data=passed)]))

    assert counts.gates() == {
        **{str(outcome): 0 for outcome in GateOutcome},
        str(GateOutcome.PASSED): 1,
    }
