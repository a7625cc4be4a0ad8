"""The use cases that accept new jobs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.core.errors import InvalidRequest, Unavailable
from orchestrator.core.limits import submission_digest
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import RULES, Job, TaskSpec, WorkerKey
from orchestrator.core.model.states import JobStatus
from orchestrator.core.model.submission import Accepted, ConfigRequest, Submission
from orchestrator.core.ports import Planner, Store
from orchestrator.core.ports.launcher import Launcher
from orchestrator.core.repository.repository import Base
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.submission.agents_and_gates import GatePlans
from orchestrator.engine.submission.job_bases import JobBases, check_child
from orchestrator.engine.submission.job_creation import (
    ResolvedSubmission,
    SubmissionBuilder,
    check_tasks,
)
from orchestrator.engine.supervisor.supervisor import Supervisor


class SubmissionCalls:
    def __init__(
        self,
        *,
        supervisor: Supervisor,
        store: Store,
        access: Access,
        launcher: Launcher,
        planner: Planner,
        submission_builder: SubmissionBuilder,
        gate_plans: GatePlans,
        bases: JobBases,
        new_job_id: Callable[[], str],
        moved_error: Callable[[], str],
        check_url: Callable[[str], None],
    ) -> None:
        """``moved_error``: returns an error text if the workspace or project was moved, else "".

        ``check_url``: raises InvalidRequest for a forbidden callback address.
        """
        self._supervisor = supervisor
        self._store = store
        self._access = access
        self._launcher = launcher
        self._planner = planner
        self._submission_builder = submission_builder
        self._gate_plans = gate_plans
        self._bases = bases
        self._new_job_id = new_job_id
        self._moved_error = moved_error
        self._check_url = check_url

    def submit(self, caller: Caller, submission: Submission) -> Accepted:
        """Store a new job, which the supervisor then runs. Idempotent for the same Idempotency-Key.

        After an error, no job is stored. Raise

        - Forbidden if the caller may not submit jobs, or may not set a callback
        - InvalidRequest for an invalid request
        - Refused if a limit is reached
        - Conflict if the calling worker's job is being cancelled, or waits would form a cycle
        - Unavailable if the project was moved, or if the job cannot be stored
        """
        self._access.check_change(caller)
        if submission.callback is not None:
            self._access.check_admin(caller, "set callback_url")
            try:
                self._check_url(submission.callback.url)
            except InvalidRequest as error:
                raise InvalidRequest(error.message, kind=error.kind, field="callback_url") from None
        self._check_not_moved()
        earlier = self._earlier_submission(caller, submission)
        if earlier is not None:
            return earlier
        tasks = submission.tasks or tuple(self._planner.plan(submission.request))
        check_tasks(tasks)
        base = self._base_for(caller, submission.config, tasks)
        key = caller.worker_key
        gates, gates_commit = self._gate_plans.of_job(
            self._store, key, submission.config, base.commit
        )
        digest = submission_digest.digest(submission.request, submission.tasks)
        resolved = ResolvedSubmission(
            submission=submission,
            caller=caller,
            job_id=self._free_job_id(),
            tasks=self._gate_plans.of_tasks(tasks, gates_commit),
            plan_source="given" if submission.tasks else RULES,
            digest=digest,
            discarded=self._discarded_child_jobs(key, digest, base),
            base=base,
            gates=gates,
        )
        accepted = self._supervisor.call(
            lambda scheduler, now: self._submit_in_turn(scheduler, resolved, now)
        )
        self._bases.protect(accepted.job, submission.config)
        return accepted if key else replace(accepted, limits_notice=self._launcher.limits_notice)

    def find(self, caller: Caller, idempotency_key: str) -> Job | None:
        """Return the job that this caller submitted with this Idempotency-Key, or None."""
        return self._store.find_idempotent(caller.full_name, idempotency_key)

    def _base_for(self, caller: Caller, config: ConfigRequest, tasks: Sequence[TaskSpec]) -> Base:
        key = caller.worker_key
        if key is None:
            agent = config.get("agent") or self._submission_builder.agent
            return self._bases.of_root(config, tasks, agent)
        check_child(config)
        worker = self._store.worker(key)
        parent = None if worker is None else self._store.job(worker.job_id)
        if worker is None or parent is None:
            return Base()
        return self._bases.of_child(config, tasks, parent, worker)

    def _discarded_child_jobs(
        self, key: WorkerKey | None, digest: str, base: Base
    ) -> frozenset[str]:
        """Return the ids of completed child jobs whose changes the calling worker discarded.

        Only child jobs whose request and tasks equal those of the new submission are returned.
        ``digest``: the fingerprint of the new submission's request and tasks.
        """
        worker = self._store.worker(key) if key and base.commit else None
        if worker is None:
            return frozenset()
        jobs = filter(None, map(self._store.job, worker.child_job_ids))
        completed_jobs = (each for each in jobs if each.status is JobStatus.COMPLETED)
        return self._bases.discarded(
            worker, [e.id for e in completed_jobs if e.digest == digest], base
        )

    def _submit_in_turn(
        self, scheduler: Scheduler, resolved: ResolvedSubmission, now: float
    ) -> Accepted:
        # Check again here, in the supervisor's thread, because two calls with the same key may run
        # at the same time.
        key, key_name = resolved.submission.idempotency_key, resolved.caller.full_name
        if key is not None:
            for job in scheduler.view.jobs.values():
                if job.idempotency_key == key and job.submitted_by == key_name:
                    return self._same_submission(job, resolved.submission)
            earlier = self._earlier_submission(resolved.caller, resolved.submission)
            if earlier is not None:
                return earlier
        return self._submission_builder.submit(scheduler, resolved, now)

    def _earlier_submission(self, caller: Caller, submission: Submission) -> Accepted | None:
        if submission.idempotency_key is None:
            return None
        job = self._store.find_idempotent(caller.full_name, submission.idempotency_key)
        if job is None or not self._access.sees(caller, job):
            return None
        return self._same_submission(job, submission)

    def _same_submission(self, job: Job, submission: Submission) -> Accepted:
        digest = submission_digest.digest(submission.request, submission.tasks)
        # A job of an older version has no fingerprint of its settings. Do not compare the settings.
        settings = job.config.requested and submission_digest.settings_digest(submission)
        if (job.digest, job.config.requested) != (digest, settings):
            raise InvalidRequest(
                f"Idempotency-Key was already used for job {job.id} with another request, tasks, "
                "config, or callback; use a new key",
                kind="idempotency-mismatch",
            )
        left = self._submission_builder.remaining_quota_of(
            job, self._supervisor.view.size_of(job), time.time()
        )
        return Accepted(job=job, duplicate=True, left=left)

    def _check_not_moved(self) -> None:
        # After a move, the job would be stored in the wrong place.
        if error_text := self._moved_error():
            raise Unavailable(error_text)

    def _free_job_id(self) -> str:
        while True:
            job_id = self._new_job_id()
            if self._store.job(job_id) is None:
                return job_id
