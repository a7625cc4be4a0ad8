"""Selection of workers for files that list a limited number of workers."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from orchestrator.core.model.states import WorkerStatus

#: Maximum number of workers in a file; a file of a larger job says where all workers are.
LISTED_WORKERS = 1_000
#: The status with all workers of a larger job that has ended, beside ``status.json``.
ALL_WORKERS = "all_workers.json"

_RANKS: Mapping[WorkerStatus, int] = {
    WorkerStatus.FAILED: 0,
    WorkerStatus.TIMEOUT: 0,
    WorkerStatus.RUNNING: 1,
    WorkerStatus.WAITING: 1,
    WorkerStatus.CANCELLED: 2,
    WorkerStatus.SKIPPED: 2,
}
_LAST = 3


class _HasStatus(Protocol):
    @property
    def status(self) -> WorkerStatus: ...


Listed = TypeVar("Listed", bound=_HasStatus)


def listed_workers(workers: Sequence[Listed]) -> Sequence[Listed]:
    """Return at most ``LISTED_WORKERS`` workers, in the given order.

    Of more workers, failed ones are selected first, then running ones, then cancelled and skipped
    ones.
    """
    if len(workers) <= LISTED_WORKERS:
        return workers
    ranked = sorted(range(len(workers)), key=lambda at: _RANKS.get(workers[at].status, _LAST))
    return [workers[at] for at in sorted(ranked[:LISTED_WORKERS])]


def all_workers_call(job_id: str) -> str:
    """Return the API call that shows all workers of a job and of the jobs below it."""
    return f"GET /api/v1/jobs/{job_id}/columns"


def worker_pages_call(job_id: str) -> str:
    """Return the API call that shows a job's workers by page."""
    return f"GET /api/v1/jobs/{job_id}/workers?page=1&order=attention"
