"""The use case that retries the unsuccessful tasks of an ended job."""

from collections.abc import Callable
from dataclasses import replace

from orchestrator.core.errors import Unavailable
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.core.ports import Store
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.reruns.rerun_checks import (
    check_key_limits,
    check_not_discarded,
    check_rerun,
)
from orchestrator.engine.submission.job_creation import SubmissionBuilder
from orchestrator.engine.supervisor.stored_trees import StoredTrees
from orchestrator.engine.supervisor.supervisor import Supervisor


class JobRetryCalls:
    def __init__(
        self,
        *,
        supervisor: Supervisor,
        store: Store,
        access: Access,
        trees: StoredTrees,
        submission_builder: SubmissionBuilder,
        moved_error: Callable[[], str],
    ) -> None:
        """``moved_error``: returns an error text if the workspace or project was moved, else ""."""
        self._supervisor = supervisor
        self._store = store
        self._access = access
        self._trees = trees
        self._submission_builder = submission_builder
        self._moved_error = moved_error

    def retry(self, caller: Caller, job_id: str, config: ConfigRequest) -> Job:
        """Retry the unsuccessful tasks of a job. Raise Conflict if there are no such tasks.

        ``config``: settings that replace settings of the job.
        """
        job = self._access.workable(caller, job_id)
        if error_text := self._moved_error():
            raise Unavailable(error_text)
        check_not_discarded(job, f"retry job {job_id}")

        def action(scheduler: Scheduler, now: float) -> None:
            check_key_limits(scheduler, job, now)
            changed = replace(job, config=self._submission_builder.retry_config(job.config, config))
            self._trees.check_not_attached(*self._store.workers(job_id))
            self._trees.reopen(scheduler, changed, now, check_rerun)
            scheduler.update_config(job_id, changed.config)
            scheduler.retry(job_id, caller.name, now)

        self._supervisor.call(action)
        return self._access.job(caller, job_id)
