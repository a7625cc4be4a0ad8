"""What workers hold, as the answers about their job tell it."""

from collections.abc import Mapping, Sequence

from orchestrator.api.service_port import Service
from orchestrator.core.lock_table import LockKind
from orchestrator.core.model import Worker
from orchestrator.core.states import WorkerStatus
from orchestrator.core.views import Detail
from orchestrator.schemas.job_answers import HeldLock

_AT_WORK = (WorkerStatus.RUNNING, WorkerStatus.WAITING)


def held_locks(service: Service, detail: Detail) -> Mapping[str, Sequence[HeldLock]]:
    """By worker id; only those that hold something."""
    claimed = {task.id: task.locks for task in detail.tasks if task.locks}
    held: dict[str, list[HeldLock]] = {}
    for worker in detail.workers:
        if claimed and worker.status in _AT_WORK:
            names = claimed.get(worker.task_id, ())
            claims = [HeldLock(name=name, kind=LockKind.CLAIM) for name in names]
            held.setdefault(worker.id, []).extend(claims)
    if any(worker.status in _AT_WORK for worker in detail.workers):
        _add_leases(service, detail.workers, held)
    return held


def _add_leases(
    service: Service, workers: Sequence[Worker], held: dict[str, list[HeldLock]]
) -> None:
    keys = {worker.key for worker in workers}
    for lease in service.locks.leases():
        if lease.key in keys:
            told = HeldLock(name=lease.name, kind=LockKind.LEASE, number=lease.number)
            held.setdefault(lease.worker_id, []).append(told)
