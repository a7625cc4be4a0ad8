"""A person's changes to a stored job tree: rollback, commits on a branch, discard, and landing.

If a server runs, its scheduler applies the changes. Otherwise, the command that a person types
changes the stored tree.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.core.events import EventKind
from orchestrator.core.lazy_dataclass import changed
from orchestrator.core.model.attempt.delivered_work import DeliveredWork
from orchestrator.core.model.attempt.failure import Rollback
from orchestrator.core.model.job import Job, WorkerKey
from orchestrator.core.model.job_facts import Landed
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.job.reason import reason_of
from orchestrator.core.ports import StateChange, Tree
from orchestrator.core.scheduler.state.unit_of_work import UnitOfWork
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import shortfall_of

#: Maximum number of rollbacks of a worker that are stored.
MOST_ROLLBACKS = 20


class ManualChanges:
    def __init__(self, unit_of_work: UnitOfWork) -> None:
        self._unit_of_work = unit_of_work

    def rolled_back(self, key: WorkerKey, rollback: Rollback) -> None:
        worker = self._unit_of_work.workers[key]
        result = worker.result or WorkerResult()
        rollbacks = (*result.rollbacks, rollback)[-MOST_ROLLBACKS:]
        self._unit_of_work.update_worker(key, result=replace(result, rollbacks=rollbacks))
        job, kind = self._unit_of_work.jobs[worker.job_id], EventKind.WORKER_ROLLED_BACK
        self._unit_of_work.emit(kind, job, rollback.at, worker.id, **rollback.payload())

    def branch_files_changed(self, key: WorkerKey, files: Sequence[str]) -> None:
        """Record which files the worker's branch changes, after a person added commits.

        Idempotent.
        """
        worker = self._unit_of_work.workers[key]
        result = worker.result or WorkerResult()
        delivery = result.delivery or DeliveredWork(changed=False)
        delivery = replace(delivery, changed=bool(files), by_hand=True)
        result = replace(result, files_created=tuple(files), delivery=delivery)
        updated = self._unit_of_work.update_worker(key, result=result)
        job = self._unit_of_work.jobs[worker.job_id]
        if not job.status.ended:
            return  # The reason is composed when the job ends.
        shortfalls = {each.worker_id: each for each in job.facts.shortfalls}
        shortfalls.pop(worker.id, None)
        if shortfall := shortfall_of(updated):
            shortfalls[worker.id] = shortfall
        facts = replace(job.facts, shortfalls=tuple(shortfalls.values()))
        reason = reason_of(changed(job, facts=facts))
        self._unit_of_work.update_job(job.id, facts=facts, reason=reason)

    def landed(self, job_id: str, landed: Landed) -> None:
        job = self._set_landings(job_id, landed.branch, landed)
        self._emit_landing(EventKind.JOB_LANDED, job, landed)

    def landing_undone(self, job_id: str, landed: Landed, *, has_earlier: bool) -> None:
        """Record that a landing was undone.

        ``landed``: the undone landing, with the time and the caller of the undo in ``at`` and
        ``by``. ``has_earlier``: True if the branch still has an earlier result of the job.
        """
        facts = self._unit_of_work.jobs[job_id].facts
        if not has_earlier:
            branches = tuple(each for each in facts.landed_on if each != landed.branch)
            self._unit_of_work.update_job(job_id, facts=replace(facts, landed_on=branches))
        job = self._set_landings(job_id, landed.branch)
        self._emit_landing(EventKind.LANDING_UNDONE, job, landed)

    def set_pull_request_error(self, job_id: str, error: str) -> None:
        """Record why a job has no pull request. Idempotent.

        ``error``: the cause; "" if the job now has a pull request.
        """
        job = self._unit_of_work.jobs[job_id]
        facts = replace(job.facts, pull_request_error=error)
        reason = reason_of(changed(job, facts=facts)) if job.status.ended else job.reason
        self._unit_of_work.update_job(job_id, facts=facts, reason=reason)

    def _set_landings(self, job_id: str, branch: str, *landed: Landed) -> Job:
        """Replace a job's landing on ``branch`` with ``landed``.

        Without ``landed``, remove the landing. If the job has ended, compose the job's reason
        again, because landings affect the reason. Return the changed job.
        """
        job = self._unit_of_work.jobs[job_id]
        others = (each for each in job.facts.landed if each.branch != branch)
        facts = replace(job.facts, landed=(*others, *landed))
        reason = reason_of(changed(job, facts=facts)) if job.status.ended else job.reason
        return self._unit_of_work.update_job(job_id, facts=facts, reason=reason)

    def _emit_landing(self, kind: EventKind, job: Job, landed: Landed) -> None:
        payload = {"branch": landed.branch, "commit": landed.commit, "before": landed.before}
        self._unit_of_work.emit(kind, job, landed.at, by=landed.by, **payload)

    def discarded(self, root_id: str) -> None:
        """Record that the branches of the job tree were removed. Idempotent."""
        for job in [each for each in self._unit_of_work.jobs.values() if each.root_id == root_id]:
            facts = replace(job.facts, discarded=True)
            reason = reason_of(changed(job, facts=facts))
            self._unit_of_work.update_job(job.id, facts=facts, reason=reason)


Amend = Callable[[ManualChanges], None]


def amended(tree: Tree, amend: Amend) -> StateChange:
    """Change a tree that no scheduler has in memory. Return the changes to store.

    ``amend``: a function that changes the tree by calls of ``ManualChanges``.
    """
    unit_of_work = UnitOfWork()
    unit_of_work.load(tree, tree.root.id)
    amend(ManualChanges(unit_of_work))
    return unit_of_work.take()
