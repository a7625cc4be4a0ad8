"""The use case that raises the limits of a job."""

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.job import Job
from orchestrator.core.model.submission import Caller, ConfigRequest
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.service.access import Access
from orchestrator.engine.service.decisions.pauses import check_unfinished
from orchestrator.engine.submission.submit import Submitting
from orchestrator.engine.supervisor.supervisor import Supervisor


class BudgetCalls:
    """Implements the call that raises limits. Contract: see ``Service``."""

    def __init__(self, supervisor: Supervisor, access: Access, submitting: Submitting) -> None:
        self._supervisor = supervisor
        self._access = access
        self._submitting = submitting

    def raise_budget(self, caller: Caller, job_id: str, limits: ConfigRequest) -> Job:
        self._access.check_person(caller)
        self._access.changeable(caller, job_id)
        if not limits.given:
            raise InvalidRequest("no limit to raise; name at least one, such as max_cost_usd")

        def action(scheduler: Scheduler, now: float) -> None:
            check_unfinished(scheduler, job_id)
            job = scheduler.view.jobs[job_id]
            config = self._submitting.raised_config(job.config, limits)
            asks = job.pause is not None and job.pause.asks(job_id)
            still = scheduler.view.still_reached(job, config, now) if asks else ""
            if still:
                raise InvalidRequest(
                    f"job {job_id} has still reached {still} "
                    f"({getattr(config, still):.15g}); raise it further; nothing was changed"
                )
            scheduler.raise_budget(job_id, config, caller.name, now)

        self._supervisor.call(action)
        return self._access.job(caller, job_id)
