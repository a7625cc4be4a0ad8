"""Shortened lists of a job's workers, and the API calls that return all workers."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from orchestrator.core.model.states import WorkerStatus

#: Maximum number of workers that a file lists. For a larger job, the file refers to the complete
#: list.
LISTED_WORKERS = 1_000
#: File next to ``status.json`` with the status of all workers. It exists if a job has ended and has
#: more than ``LISTED_WORKERS`` workers.
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


def listed_workers(
    workers: Sequence[Listed], most: int = LISTED_WORKERS, page: int = 1
) -> Sequence[Listed]:
    """Return at most ``most`` of ``workers``, in unchanged order.

    If there are more workers, failed workers are selected first, then running workers, then
    cancelled and skipped workers. ``page``: 2 for the workers that page 1 omits, and so on.
    """
    if len(workers) <= most and page == 1:
        return workers
    ranks = [_RANKS.get(each.status, _LAST) for each in workers]
    return [workers[index] for index in first_places(ranks, most, (page - 1) * most)]


def first_places(ranks: Sequence[int], most: int, skipped: int = 0) -> Sequence[int]:
    """Return the indexes of the lowest ``ranks``, sorted by index; at most ``most`` indexes.

    ``skipped``: number of indexes to omit, counted from the lowest rank.
    """
    return sorted(sorted(range(len(ranks)), key=ranks.__getitem__)[skipped : skipped + most])


def all_workers_call(job_id: str) -> str:
    return f"GET /api/v1/jobs/{job_id}/columns"


def worker_pages_call(job_id: str) -> str:
    return f"GET /api/v1/jobs/{job_id}/workers?page=1&order=attention"
