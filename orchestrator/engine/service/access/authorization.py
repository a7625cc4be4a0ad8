"""Authorization: which jobs a caller sees and may change, by the scopes of the caller's key.

Raises NotFound for a job that the caller does not see, and Forbidden for a job that the caller
sees but may not change.

| caller        | sees                      | changes                   |
| ------------- | ------------------------- | ------------------------- |
| scope admin   | every job                 | every job                 |
| scope read    | every job                 | nothing                   |
| scope submit  | jobs of the key           | jobs of the key           |
| a worker      | child jobs, descendants   | child jobs, descendants   |

Jobs of the key are the jobs that the key submitted, and the descendants of these jobs.
"""

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from shlex import quote

from orchestrator.core.errors import (
    Conflict,
    Forbidden,
    NoSuchJob,
    NotFound,
)
from orchestrator.core.model.caller import Caller, Scope
from orchestrator.core.model.job import Job, Worker, WorkerKey
from orchestrator.core.ports import Store
from orchestrator.core.ports.read_models import JobFilter, WorkerFilter
from orchestrator.core.text.command_name import COMMAND
from orchestrator.security.secrets.api_keys import ApiKeys

#: Maximum number of a job's workers that a message names.
MOST_NAMED = 10


def check_project(job: Job, project: Path, former: Collection[str]) -> None:
    """Raise Conflict if a job works on a project other than ``project``.

    ``former``: paths of the project before it was moved.
    """
    job_project = job.config.project
    if is_same_project(job_project, project, former):
        return
    raise Conflict(
        f"job {job.id} belongs to project {job_project}, but this server serves {project}; nothing "
        f"was changed; stop this server, then: {COMMAND} serve --project {quote(job_project)}"
    )


def is_same_project(path: str, project: Path, former: Collection[str]) -> bool:
    """True if ``path`` is empty, or is the current or a former path of the project."""
    return not path or path in former or os.path.realpath(path) == os.path.realpath(project)


class Access:
    """Checks the access of callers.

    Methods raise NotFound for objects that the caller may not see.
    """

    def __init__(
        self,
        store: Store,
        keys: ApiKeys,
        project: Path,
        former: Callable[[], Collection[str]],
    ) -> None:
        """``former``: returns the former paths of the project, if it was moved."""
        self._former = former
        self._store = store
        self._keys = keys
        self._project = project

    def keys(self, caller: Caller) -> Sequence[Caller]:
        """Return the holders of all API keys, sorted by name.

        Raise Forbidden without scope admin.
        """
        if Scope.ADMIN not in caller.scopes:
            raise Forbidden(
                f"key {caller.name!r} may not list keys; use a key with the scope admin"
            )
        holders = sorted(self._keys.holders.values(), key=lambda each: each.name)
        return [Caller(name=each.name, scopes=each.scopes) for each in holders]

    def check_change(self, caller: Caller) -> None:
        """Raise Forbidden if the caller may only read."""
        if not caller.may_change:
            raise Forbidden(
                f"key {caller.name!r} has read access only; use a key with the scope submit or "
                "admin (api.keys in config.yaml)"
            )

    def check_person(self, caller: Caller) -> None:
        """Raise Forbidden if the caller is a worker, because only a person may make this call."""
        if caller.attempt is not None:
            raise Forbidden(
                "this call is not allowed with the key of a worker; use an API key from config.yaml"
            )

    def check_admin(self, caller: Caller, action: str = "change the user's checkout") -> None:
        """Raise Forbidden if the caller lacks the scope admin.

        ``action``: what the call does, as a verb with its object, for the error message.
        """
        if caller.attempt is None and Scope.ADMIN in caller.scopes:
            return
        holder = f"key {caller.name!r}" if caller.attempt is None else "a worker"
        raise Forbidden(
            f"{holder} may not {action}; use a key with the scope admin (api.keys in config.yaml)"
        )

    def project_of(self, job: Job) -> str:
        """Return the path of the job's project; "" for this server's project."""
        job_project = job.config.project
        return "" if is_same_project(job_project, self._project, self._former()) else job_project

    def check_statistics(self, caller: Caller) -> None:
        """Raise Forbidden for a worker, and for a key that does not see all jobs."""
        self.check_person(caller)
        if not caller.sees_all:
            raise Forbidden(
                f"key {caller.name!r} sees only its own jobs; use a key with the scope read or "
                "admin (api.keys in config.yaml)"
            )

    def job(self, caller: Caller, job_id: str) -> Job:
        """Return a job without its tasks and workers.

        ``JobDetails.detail`` returns a job with its tasks and workers. Raise NotFound if the job
        does not exist, or if the caller may not see it.
        """
        job = self._store.job(job_id)
        if job is None or not self.sees(caller, job):
            is_worker = caller.attempt is not None
            raise NoSuchJob(repr(job_id), " among this worker's child jobs" if is_worker else "")
        return job

    def changeable(self, caller: Caller, job_id: str) -> Job:
        """Return a job that the caller may change.

        Raise NotFound for a job that the caller may not see, or Forbidden for a job that the caller
        may see but not change.
        """
        job = self.job(caller, job_id)
        self.check_change(caller)
        if not (Scope.ADMIN in caller.scopes or self._is_own(caller, job)):
            raise Forbidden(
                f"job {job_id} was submitted with another key; key {caller.name!r} may change only "
                "its own jobs"
            )
        return job

    def may_change(self, caller: Caller, job: Job) -> bool:
        """True if the caller is a person who may change the job.

        Call this only for a job that the caller may see.
        """
        if caller.attempt is not None or not caller.may_change:
            return False
        return Scope.ADMIN in caller.scopes or self._is_own(caller, job)

    def workable(self, caller: Caller, job_id: str) -> Job:
        """Return a job that the caller may change, and that belongs to this server's project.

        Raise Conflict for a job of another project, and the errors of ``changeable``.
        """
        job = self.changeable(caller, job_id)
        check_project(job, self._project, self._former())
        return job

    def worker(self, caller: Caller, job_id: str, worker_id: str) -> Worker:
        """Return a worker of the job; for a root job, also a worker of a descendant.

        Raise NotFound if the job has no such worker, or if the caller may not see the job.
        """
        job = self.job(caller, job_id)
        worker = self._store.worker(WorkerKey(job.root_id, worker_id))
        # Workers of descendants are found through the root job, too.
        if worker is None or not (job.is_root or worker.job_id == job.id):
            raise NotFound(
                f"job {job_id} has no worker {worker_id!r}; {self._workers_in_words(job)}"
            )
        return worker

    def _workers_in_words(self, job: Job) -> str:
        worker_filter = WorkerFilter(job_id=job.id)
        page = self._store.worker_page(job.root_id, worker_filter, 0, MOST_NAMED, 0.0)
        if not page.workers:
            return "the job has no workers yet"
        ellipsis = ", ..." if page.total > MOST_NAMED else ""
        return f"its workers: {', '.join(each.id for each in page.workers)}{ellipsis}"

    def sees(self, caller: Caller, job: Job) -> bool:
        return caller.sees_all or self._is_own(caller, job)

    def _is_own(self, caller: Caller, job: Job) -> bool:
        key, parent = caller.worker_key, job.parent_worker_id
        if key is None:
            root = job if job.is_root else self._store.job(job.root_id)
            return root is not None and root.submitted_by == caller.name
        if parent is None or job.root_id != key.root_id:
            return False
        # A worker's name begins with the names of its ancestors.
        return parent == key.worker_id or parent.startswith(f"{key.worker_id}_")

    def jobs_below(self, caller: Caller) -> list[Job]:
        """Return the calling worker's child jobs and their descendants, newest first.

        The result is empty if the caller is not a worker.
        """
        if caller.worker_key is None:
            return []
        return [job for job in self.jobs_of(caller.worker_key.root_id) if self.sees(caller, job)]

    def jobs_of(self, root_id: str) -> Sequence[Job]:
        return self._store.jobs_of(JobFilter(root=root_id), 0, 1_000_000).jobs
