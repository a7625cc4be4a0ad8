"""Measures the cost of webhooks: CPU time of the supervisor's thread in a turn that ends a job.

Turns with no, one, and three endpoints alternate, so that the same load affects all of them.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import cast

from benchmarks.figures import Figure, Findings
from benchmarks.options import Options
from orchestrator.core.events import Event, EventKind
from orchestrator.core.model.job import Job
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import JobStatus
from orchestrator.core.ports import StateChange
from orchestrator.core.ports.outbox import Subscription, Topic
from orchestrator.core.scheduler.scheduler_view import SchedulerView
from orchestrator.engine.supervisor.outbox_entries import OutboxEntries
from orchestrator.store import SqlStore, sqlite_url

MOST_MICROSECONDS = 30.0
#: Microseconds that a turn without endpoints may take for the outbox.
MOST_IDLE_MICROSECONDS = 2.0
ENDPOINTS = (0, 1, 3)
#: Checks per measurement, because one check takes less time than a call of the clock.
IN_A_ROW = 20

CONFIG = JobConfig(
    max_workers=4, default_timeout=300, max_retries=2, max_depth=3, max_wall_seconds=86_400
)


def measure(options: Options) -> Findings:
    turns = options.pick(2_000, 50)
    outboxes = {number: OutboxEntries(_subscriptions(number)) for number in ENDPOINTS}
    seconds: dict[int, list[float]] = {number: [] for number in ENDPOINTS}
    idle: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        store = SqlStore(sqlite_url(Path(directory) / "orchestrator.db"))
        store.open()
        for turn in range(turns):
            for number, outbox in outboxes.items():
                job = _job(f"j{turn}_{number}")
                store.save(StateChange(new_jobs=[job]))
                view = cast(SchedulerView, SimpleNamespace(jobs={job.id: job}, workers={}))
                change = _end(job)
                began = time.thread_time()
                store.save(outbox.with_entries(change, view))
                seconds[number].append(time.thread_time() - began)
                if not number:
                    began = time.thread_time()
                    for _ in range(IN_A_ROW):
                        outbox.with_entries(change, view)
                    idle.append((time.thread_time() - began) / IN_A_ROW)
        store.close()
    costs = {
        number: (_low_median(seconds[number]) - _low_median(seconds[0])) * 1e6
        for number in ENDPOINTS
    }
    return Findings(
        figures=[
            Figure(
                what="CPU per delivery, three endpoints",
                value=costs[3] / 3,
                unit="µs",
                at_most=MOST_MICROSECONDS,
            ),
            Figure(
                what="CPU per delivery, one endpoint",
                value=costs[1],
                unit="µs",
                at_most=MOST_MICROSECONDS,
            ),
            Figure(
                what="CPU per turn without endpoints",
                value=_low_median(idle) * 1e6,
                unit="µs",
                at_most=MOST_IDLE_MICROSECONDS,
            ),
        ],
        notes=[
            f"{turns:,} turns each; the lowest tenth of the turns, because other programs only add",
            f"a turn without endpoints: {_low_median(seconds[0]) * 1e6:.0f} µs",
        ],
    )


def _low_median(values: Sequence[float]) -> float:
    """Return the median of the lowest tenth."""
    ordered = sorted(values)
    return median(ordered[: max(1, len(ordered) // 10)])


def _subscriptions(number: int) -> list[Subscription]:
    topics = (Topic.JOB_ENDED,)
    return [Subscription(endpoint=f"webhook:e{each}", topics=topics) for each in range(number)]


def _job(name: str) -> Job:
    return Job(id=name, root_id=name, depth=0, request="Do it", config=CONFIG, created_at=1.0)


def _end(job: Job) -> StateChange:
    event = Event(
        root_id=job.id,
        seq=1,
        job_id=job.id,
        kind=EventKind.JOB_ENDED,
        at=2.0,
        data={"status": "completed", "reason": ""},
    )
    ended_job = Job(
        **{
            **{name: getattr(job, name) for name in Job.__dataclass_fields__},
            "status": JobStatus.COMPLETED,
            "ended_at": 2.0,
        }
    )
    return StateChange(jobs=[ended_job], events=[event])
