"""The use cases that control a job: usage reports of its workers, approval of its plan, cancel."""

from orchestrator.core.errors import Forbidden
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.job import Job
from orchestrator.core.model.submission import Caller
from orchestrator.core.ports.read_models import Used
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.service.access import Access
from orchestrator.engine.supervisor.supervisor import Supervisor


class JobControl:
    """For the contract of each method see ``Service``."""

    def __init__(self, supervisor: Supervisor, access: Access) -> None:
        self._supervisor = supervisor
        self._access = access

    def used(self, caller: Caller, usage: Usage) -> Used:
        attempt = caller.attempt
        if attempt is None:
            raise Forbidden("only a worker may report usage, with its own key")

        def action(scheduler: Scheduler, now: float) -> Used:
            stop = scheduler.used(attempt.key, attempt.number, usage, now)
            return Used(
                stop=stop,
                waiting=scheduler.view.waits(attempt.key),
                capped=scheduler.view.is_capped(attempt.key),
            )

        return self._supervisor.call(action)

    def cancel(self, caller: Caller, job_id: str) -> Job:
        self._access.changeable(caller, job_id)

        def action(scheduler: Scheduler, now: float) -> None:
            if job_id in scheduler.view.jobs:
                scheduler.cancel(job_id, caller.signature, now, caller.worker_key)

        self._supervisor.call(action)
        return self._access.job(caller, job_id)

    def approve(self, caller: Caller, job_id: str) -> Job:
        self._access.changeable(caller, job_id)
        self._access.check_person(caller)

        def action(scheduler: Scheduler, now: float) -> None:
            scheduler.approve_plan(job_id, caller.name, now)

        self._supervisor.call(action)
        return self._access.job(caller, job_id)

    def reject(self, caller: Caller, job_id: str) -> Job:
        self._access.changeable(caller, job_id)
        self._access.check_person(caller)

        def action(scheduler: Scheduler, now: float) -> None:
            scheduler.reject_plan(job_id, caller.signature, now)

        self._supervisor.call(action)
        return self._access.job(caller, job_id)
