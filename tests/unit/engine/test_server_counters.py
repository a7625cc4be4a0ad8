"""The throughput: workers and jobs that ended in the last minute, and outcomes of gates."""

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.gates.gate import GateOutcome
from orchestrator.core.ports import StateChange
from orchestrator.engine import server_counters
from orchestrator.engine.server_counters import Throughput
from tests.contract.store_values import a_job, an_event


class Clock:
    time = 1000.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(server_counters, "clock", clock)
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
