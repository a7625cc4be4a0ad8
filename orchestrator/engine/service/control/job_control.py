"""The use cases that pause, resume, and cancel jobs, and raise the limits of jobs."""

from collections.abc import Callable

from orchestrator.core.errors import Conflict, InvalidRequest
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.human_input.pause import Pause, RunningMode
from orchestrator.core.model.job import Job
from orchestrator.core.model.states import JobStatus
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.submission.job_creation import SubmissionBuilder
from orchestrator.engine.supervisor.supervisor import Supervisor


class JobControlCalls:
    def __init__(self, supervisor: Supervisor, access: Access) -> None:
        self._supervisor = supervisor
        self._access = access

    def pause(self, caller: Caller, job_id: str, running: RunningMode) -> Job:
        """Pause a job and its descendants: start nothing new. Idempotent.

        ``running``: whether running attempts finish or stop. The wall time does not include the
        pause. Raise Conflict for a job that has ended, or that is being stopped.
        """

        def action(scheduler: Scheduler, now: float) -> None:
            scheduler.pause(job_id, caller.name, running, now)

        return self._change_unfinished(caller, job_id, action)

    def resume(self, caller: Caller, job_id: str) -> Job:
        """End the pause of a job and its descendants. Idempotent.

        Raise Conflict if a limit or ``pause_all`` paused the job, if the job has ended, or if the
        job is being stopped.
        """

        def action(scheduler: Scheduler, now: float) -> None:
            scheduler.resume(job_id, caller.name, now)

        return self._change_unfinished(caller, job_id, action)

    def pause_all(self, caller: Caller, running: RunningMode) -> Pause:
        """Pause every job, including jobs that are submitted later, and return the pause.

        Idempotent. ``running``: whether running attempts finish or stop. Raise Forbidden without
        the scope admin.
        """
        self._access.check_admin(caller, "change all jobs")

        def action(scheduler: Scheduler, now: float) -> Pause:
            return scheduler.pause_all(caller.name, running, now)

        return self._supervisor.call(action)

    def resume_all(self, caller: Caller) -> None:
        """End the pause of all jobs. Idempotent. Raise Forbidden without the scope admin."""
        self._access.check_admin(caller, "change all jobs")

        def action(scheduler: Scheduler, now: float) -> None:
            scheduler.resume_all(caller.name, now)

        self._supervisor.call(action)

    def cancel(self, caller: Caller, job_id: str) -> Job:
        """Stop a job and all its descendants. Idempotent: a job that has ended stays unchanged."""
        self._access.changeable(caller, job_id)

        def action(scheduler: Scheduler, now: float) -> None:
            if job_id in scheduler.view.jobs:
                scheduler.cancel(job_id, caller.signature, now, caller.worker_key)

        self._supervisor.call(action)
        return self._access.job(caller, job_id)

    def _change_unfinished(
        self, caller: Caller, job_id: str, action: Callable[[Scheduler, float], None]
    ) -> Job:
        self._access.check_person(caller)
        job = self._access.changeable(caller, job_id)

        def on_unfinished(scheduler: Scheduler, now: float) -> None:
            check_unfinished(scheduler, job)
            action(scheduler, now)

        self._supervisor.call(on_unfinished)
        return self._access.job(caller, job_id)


def check_unfinished(scheduler: Scheduler, stored: Job) -> None:
    """Raise Conflict for a job that has ended, or that is being stopped."""
    job = scheduler.view.jobs.get(stored.id)
    if job is None or job.status.ended:
        raise Conflict(f"job {stored.id} has ended; {_after_end(job or stored)}")
    if job.stop_cause is not None:
        raise Conflict(f"job {job.id} is being stopped; wait for it: {COMMAND} wait {job.id}")


def _after_end(job: Job) -> str:
    """Return a text that suggests a command for an ended job.

    The command is ``retry`` if the job certainly has tasks to retry, otherwise ``status``.
    """
    unsuccessful = job.status in (JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED)
    # Do not suggest a retry if the job may have failed only because its code was not judged.
    unsuccessful = unsuccessful and (job.lacks_changes or not job.fails_unjudged)
    if unsuccessful and job.is_root and not job.facts.discarded:
        return f"to run its unsuccessful tasks again: {COMMAND} retry {job.id}"
    return f"show its result: {COMMAND} status {job.id}"


class BudgetCalls:
    def __init__(
        self, supervisor: Supervisor, access: Access, submission_builder: SubmissionBuilder
    ) -> None:
        self._supervisor = supervisor
        self._access = access
        self._submission_builder = submission_builder

    def raise_budget(self, caller: Caller, job_id: str, limits: ConfigRequest) -> Job:
        """Increase limits of a job. If one of these limits paused the job, the job continues.

        Raise Conflict for a job that has ended, or that is being stopped. Raise InvalidRequest if
        there is no new limit, if a new limit is not larger than the current limit, or if the job
        has already reached a new limit. Raise Refused if a new limit exceeds a ceiling.
        """
        self._access.check_person(caller)
        stored = self._access.changeable(caller, job_id)
        if not limits.fields_set:
            raise InvalidRequest(
                "no limit was given; name at least one limit to raise, such as max_cost_usd"
            )

        def action(scheduler: Scheduler, now: float) -> None:
            check_unfinished(scheduler, stored)
            job = scheduler.view.jobs[job_id]
            config = self._submission_builder.raised_config(job.config, limits)
            is_limit_pause = job.pause is not None and job.pause.asks(job_id)
            limit = scheduler.view.limit_reached_under(job, config, now) if is_limit_pause else ""
            if limit:
                raise InvalidRequest(
                    f"job {job_id} has already reached {limit} {getattr(config, limit):.15g}; "
                    f"nothing was changed; raise {limit} further"
                )
            scheduler.raise_budget(job_id, config, caller.name, now)

        self._supervisor.call(action)
        return self._access.job(caller, job_id)
