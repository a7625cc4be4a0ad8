"""Changes by a person to a stored job tree: a rollback, a recount of changes, a discard.

A server applies the changes to the tree in its scheduler; without a server, the command changes
the stored tree.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.delivery import Delivery
from orchestrator.core.model.attempt.failure import Rollback
from orchestrator.core.model.job import WorkerKey
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.job.reason import reason_of
from orchestrator.core.ports import Change, Tree
from orchestrator.core.scheduler.state.unit_of_work import UnitOfWork, changed
from orchestrator.core.scheduler.transitions.finish import shortfall_of

#: Maximum number of rollbacks of a worker that are stored.
MOST_ROLLBACKS = 20


class Amendments:
    """Changes to a tree that is in memory."""

    def __init__(self, unit_of_work: UnitOfWork) -> None:
        self._unit_of_work = unit_of_work

    def rolled_back(self, key: WorkerKey, rollback: Rollback) -> None:
        """Record that the worker's branch was rolled back to a checkpoint."""
        worker = self._unit_of_work.workers[key]
        result = worker.result or WorkerResult()
        rollbacks = (*result.rollbacks, rollback)[-MOST_ROLLBACKS:]
        self._unit_of_work.update_worker(key, result=replace(result, rollbacks=rollbacks))
        job, kind = self._unit_of_work.jobs[worker.job_id], EventKind.WORKER_ROLLED_BACK
        self._unit_of_work.emit(kind, job, rollback.at, worker.id, **rollback.told())

    def recounted(self, key: WorkerKey, files: Sequence[str]) -> None:
        """Record the files that the worker's branch changes, including a person's commits.
        Idempotent.
        """
        worker = self._unit_of_work.workers[key]
        result = worker.result or WorkerResult()
        delivery = result.delivery or Delivery(changed=False)
        delivery = replace(delivery, changed=bool(files), by_hand=True)
        result = replace(result, files_created=tuple(files), delivery=delivery)
        counted = self._unit_of_work.update_worker(key, result=result)
        job = self._unit_of_work.jobs[worker.job_id]
        if not job.status.ended:
            return  # the job's end composes the reason
        shortfalls = {each.worker_id: each for each in job.facts.shortfalls}
        shortfalls.pop(worker.id, None)
        if found := shortfall_of(counted):
            shortfalls[worker.id] = found
        facts = replace(job.facts, shortfalls=tuple(shortfalls.values()))
        reason = reason_of(changed(job, facts=facts))
        self._unit_of_work.update_job(job.id, facts=facts, reason=reason)

    def discarded(self, root_id: str) -> None:
        """Record that the branches of the tree's jobs were removed. Idempotent."""
        for job in [each for each in self._unit_of_work.jobs.values() if each.root_id == root_id]:
            facts = replace(job.facts, discarded=True)
            reason = reason_of(changed(job, facts=facts))
            self._unit_of_work.update_job(job.id, facts=facts, reason=reason)


Amend = Callable[[Amendments], None]


def amended(tree: Tree, amend: Amend) -> Change:
    """Return the changes to store for a tree that no scheduler has in memory."""
    unit_of_work = UnitOfWork()
    unit_of_work.load(tree, tree.root.id)
    amend(Amendments(unit_of_work))
    return unit_of_work.take()
