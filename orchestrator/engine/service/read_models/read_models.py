"""The use cases that list many jobs or workers, or show parts of one."""

from collections.abc import Sequence
from itertools import compress

from orchestrator.core.errors import NoSuchJob
from orchestrator.core.model.submission import Caller
from orchestrator.core.ports import Store
from orchestrator.core.ports.listings import JobNode, TreeSnapshot, WorkerColumns
from orchestrator.engine.service.access import Access


class ReadModels:
    """Every method raises NotFound for an object that the caller may not see."""

    def __init__(self, *, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    def snapshot(self, caller: Caller, job_id: str) -> TreeSnapshot:
        """Return light rows of the job, first, and its descendants, at one moment."""
        job = self._access.job(caller, job_id)
        found = self._store.snapshot(job.root_id)
        if found is None:
            raise NoSuchJob(repr(job_id))
        return found if job.is_root else _branch(found, job_id)

    def last_seq(self, caller: Caller, job_id: str) -> int:
        """Return the number of the latest event of the job's root job; 0: none."""
        return self._store.last_seq(self._access.job(caller, job_id).root_id)


def _branch(whole: TreeSnapshot, job_id: str) -> TreeSnapshot:
    jobs = _below(whole.jobs, job_id)
    ids = {job.id for job in jobs}
    mine = [each in ids for each in whole.workers.job_id]
    return TreeSnapshot(
        jobs=jobs,
        tasks=[task for task in whole.tasks if task.job_id in ids],
        workers=WorkerColumns._make(list(compress(each, mine)) for each in whole.workers),
        last_seq=whole.last_seq,
    )


def _below(jobs: Sequence[JobNode], job_id: str) -> list[JobNode]:
    """Return a job and its descendants; parents are before their child jobs."""
    ids = {job_id}
    found = []
    for job in jobs:
        if job.id == job_id or job.parent_job_id in ids:
            ids.add(job.id)
            found.append(job)
    return found
