"""The use cases that pause and resume a job, or all jobs."""

from collections.abc import Callable

from orchestrator.core.command_name import COMMAND
from orchestrator.core.errors import Conflict
from orchestrator.core.model.decisions.pause import Pause, RunningMode
from orchestrator.core.model.job import Job
from orchestrator.core.model.submission import Caller
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.service.access import Access
from orchestrator.engine.supervisor.supervisor import Supervisor


class PauseCalls:
    """Implements the calls that pause and resume. Contracts: see ``Service``."""

    def __init__(self, supervisor: Supervisor, access: Access) -> None:
        self._supervisor = supervisor
        self._access = access

    def pause(self, caller: Caller, job_id: str, running: RunningMode) -> Job:
        def action(scheduler: Scheduler, now: float) -> None:
            scheduler.pause(job_id, caller.name, running, now)

        return self._change(caller, job_id, action)

    def resume(self, caller: Caller, job_id: str) -> Job:
        def action(scheduler: Scheduler, now: float) -> None:
            scheduler.resume(job_id, caller.name, now)

        return self._change(caller, job_id, action)

    def pause_all(self, caller: Caller, running: RunningMode) -> Pause | None:
        self._access.check_admin(caller, "all jobs")

        def action(scheduler: Scheduler, now: float) -> Pause | None:
            scheduler.pause_all(caller.name, running, now)
            return scheduler.view.pause

        return self._supervisor.call(action)

    def resume_all(self, caller: Caller) -> Pause | None:
        self._access.check_admin(caller, "all jobs")

        def action(scheduler: Scheduler, now: float) -> Pause | None:
            scheduler.resume_all(caller.name, now)
            return scheduler.view.pause

        return self._supervisor.call(action)

    def _change(
        self, caller: Caller, job_id: str, action: Callable[[Scheduler, float], None]
    ) -> Job:
        self._access.check_person(caller)
        self._access.changeable(caller, job_id)

        def on_unfinished(scheduler: Scheduler, now: float) -> None:
            check_unfinished(scheduler, job_id)
            action(scheduler, now)

        self._supervisor.call(on_unfinished)
        return self._access.job(caller, job_id)


def check_unfinished(scheduler: Scheduler, job_id: str) -> None:
    """Raise Conflict for a job that has ended, or that is being stopped."""
    job = scheduler.view.jobs.get(job_id)
    if job is None or job.status.ended:
        raise Conflict(f"job {job_id} has ended; to run it again: {COMMAND} retry {job_id}")
    if job.stop_cause is not None:
        raise Conflict(f"job {job_id} is being stopped; wait for it: {COMMAND} wait {job_id}")
