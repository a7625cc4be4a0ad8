"""The data of the screen: jobs, workers, and snapshots."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.states import ENDED_JOB, WorkerStatus

Answer = Mapping[str, Any]

#: Rank of a worker's status in the order by attention: failures first.
ATTENTION: Mapping[str, int] = {
    status: rank
    for rank, status in enumerate(
        (
            WorkerStatus.FAILED,
            WorkerStatus.TIMEOUT,
            WorkerStatus.RUNNING,
            WorkerStatus.WAITING,
            WorkerStatus.PENDING,
            WorkerStatus.CANCELLED,
            WorkerStatus.SKIPPED,
            WorkerStatus.RECURSIVE_SUCCESS,
            WorkerStatus.SUCCESS,
        )
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLine:
    """The data of one worker for the screen. Times are Unix times."""

    job_id: str
    worker_id: str
    title: str
    agent: str
    status: str
    started_at: float | None = None
    ended_at: float | None = None
    #: Sum of the pauses between the worker's attempts, in seconds.
    idle_seconds: float = 0.0
    tokens: int | None = None
    cost_usd: float | None = None
    attempt: int = 0
    #: (number of passed gates, number of all gates); None: no gates.
    gates: tuple[int, int] | None = None
    reason: str = ""
    #: Depth of the worker's job; 0 for a root job.
    depth: int = 0
    #: The worker that started the worker's job; empty if a person started the job.
    parent_id: str = ""

    def seconds(self, now: float) -> float | None:
        """Return the total duration of the worker's attempts until ``now``, in seconds.

        Return None if the worker is pending or never started.
        """
        if self.started_at is None or self.status == WorkerStatus.PENDING:
            return None
        until = now if self.ended_at is None else self.ended_at
        return max(0.0, until - self.started_at - self.idle_seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLine:
    job_id: str
    status: str
    request: str
    reason: str = ""
    #: Number of workers in each status, including the workers of child jobs.
    counts: Mapping[str, int] = field(default_factory=dict)
    cost_usd: float | None = None
    cost_is_partial: bool = False
    tokens: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    #: A line for each need of the job.
    needs: Sequence[str] = ()
    awaits_approval: bool = False
    is_paused: bool = False
    workers: Sequence[WorkerLine] | None = None
    #: Time at which the job's files were written; None if the data come from a server.
    written_at: float | None = None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED_JOB

    @property
    def done(self) -> int:
        good = (WorkerStatus.SUCCESS, WorkerStatus.RECURSIVE_SUCCESS)
        return sum(self.counts.get(each, 0) for each in good)

    @property
    def failed(self) -> int:
        return sum(self.counts.get(each, 0) for each in (WorkerStatus.FAILED, WorkerStatus.TIMEOUT))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def now(self, refreshed_at: float) -> float:
        """Return the time up to which durations of running workers are computed.

        The time is ``refreshed_at`` for a job from the server. For a job from files, it is the time
        at which the files were written. Times are Unix times.
        """
        return refreshed_at if self.written_at is None else self.written_at

    def seconds(self, now: float) -> float | None:
        if self.started_at is None:
            return None
        now = self.now(now)
        return max(0.0, (now if self.ended_at is None else self.ended_at) - self.started_at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    jobs: Sequence[JobLine] = ()
    #: Time of the snapshot (Unix time); 0: no snapshot was read yet.
    at: float = 0.0
    #: Number of all jobs; ``jobs`` may have fewer.
    total: int = 0
    #: True if the jobs come from files, so that the user can change nothing.
    is_offline: bool = False
    #: Error of the latest refresh; empty if the refresh succeeded.
    problem: str = ""
    #: Last lines of logs, by job and worker.
    last_lines: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def running(self) -> int:
        return sum(each.counts.get(WorkerStatus.RUNNING, 0) for each in self.jobs)

    @property
    def unfinished(self) -> int:
        return sum(not each.has_ended for each in self.jobs)

    @property
    def needs(self) -> int:
        return sum(len(each.needs) for each in self.jobs)

    @property
    def cost_usd(self) -> float:
        return sum(each.cost_usd or 0.0 for each in self.jobs)

    @property
    def cost_is_partial(self) -> bool:
        """True if only a part of the cost is known."""
        return self.cost_usd > 0 and any(each.cost_is_partial for each in self.jobs)
