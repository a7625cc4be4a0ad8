"""The use cases. The API and the command line call nothing else of the engine."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from orchestrator.core import admission
from orchestrator.core.commands import Render
from orchestrator.core.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    StoreError,
    Unavailable,
)
from orchestrator.core.events import Event
from orchestrator.core.evidence import Usage
from orchestrator.core.launching import Launcher
from orchestrator.core.model import RULES, Job, TaskSpec, WorkerKey
from orchestrator.core.ports import Change, Planner, Store, Workspace
from orchestrator.core.repository import Base
from orchestrator.core.rerun import check_rerun
from orchestrator.core.scheduler import Scheduler
from orchestrator.core.states import JobStatus
from orchestrator.core.submission import Accepted, Caller, ConfigRequest, Submission
from orchestrator.core.views import Availability, Health, Used, with_login
from orchestrator.engine.access import Access
from orchestrator.engine.bases import Bases, check_child
from orchestrator.engine.gate_plans import GatePlans
from orchestrator.engine.integration import Integration
from orchestrator.engine.lock_service import LockService
from orchestrator.engine.merge_calls import MergeCalls
from orchestrator.engine.publisher import Publisher
from orchestrator.engine.rates import Rates
from orchestrator.engine.removal import Removal
from orchestrator.engine.removal_calls import RemovalCalls
from orchestrator.engine.submitting import Asked, Submitting, check_retry, check_tasks
from orchestrator.engine.supervisor import Supervisor
from orchestrator.engine.worktrees import Worktrees

Listener = Callable[[Sequence[Event]], None]


class Service(RemovalCalls, MergeCalls):
    """Every method with a caller raises NotFound for what is not the caller's."""

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        store: Store,
        workspace: Workspace,
        publisher: Publisher,
        access: Access,
        launcher: Launcher,
        planner: Planner,
        submitting: Submitting,
        worktrees: Worktrees,
        gate_plans: GatePlans,
        bases: Bases,
        locks: LockService,
        integration: Integration,
        removal: Removal,
        report_anew: Callable[[Render], None],
        new_job_id: Callable[[], str],
        version: str,
        moved: Callable[[], str],
    ) -> None:
        """``moved`` tells that workspace or project is not where it was."""
        self._moved = moved
        super().__init__(
            supervisor=supervisor,
            store=store,
            workspace=workspace,
            publisher=publisher,
            access=access,
            submitting=submitting,
        )
        self._launcher = launcher
        self._rates = Rates()
        publisher.add(self._rates)
        self._planner = planner
        self._worktrees = worktrees
        self._gate_plans = gate_plans
        self._bases = bases
        self.locks = locks
        self._integration = integration
        integration.on_merged_later = self._merged_later
        self._removal = removal
        self._report_anew = report_anew
        self._new_job_id = new_job_id
        self._version = version

    def authenticate(self, key: str | None) -> Caller:
        """Raise Unauthorized."""
        return self._access.authenticate(key)

    def check_change(self, caller: Caller) -> None:
        """Raise Forbidden when there is nothing that this caller may change."""
        self._access.check_change(caller)

    def submit(self, caller: Caller, submission: Submission) -> Accepted:
        """Store a job. Idempotent for the same Idempotency-Key.

        Raise Forbidden, InvalidRequest, Refused, Conflict or Unavailable; nothing is stored then.
        """
        self._access.check_change(caller)
        self._check_place()
        again = self._submitted_before(caller, submission)
        if again is not None:
            return again
        tasks = submission.tasks or tuple(self._planner.plan(submission.request))
        check_tasks(tasks)
        base = self._base(caller, submission.config, tasks)
        key = caller.worker_key
        gates, first = self._gate_plans.of_job(self._store, key, submission.config, base.commit)
        digest = admission.digest(submission.request, submission.tasks)
        asked = Asked(
            submission=submission,
            caller=caller,
            job_id=self._free_job_id(),
            tasks=self._gate_plans.of_tasks(tasks, first),
            plan_source="given" if submission.tasks else RULES,
            digest=digest,
            discarded=self._discarded(key, digest, base),
            base=base,
            gates=gates,
        )
        accepted = self._supervisor.call(lambda scheduler, now: self._submit(scheduler, asked, now))
        self._bases.keep(accepted.job, submission.config)
        return accepted

    def _base(self, caller: Caller, config: ConfigRequest, tasks: Sequence[TaskSpec]) -> Base:
        """Where workers of a new job start: for a child job, from its worker's present state."""
        key = caller.worker_key
        if key is None:
            return self._bases.of_root(config, tasks, config.agent or self._submitting.agent)
        check_child(config)
        worker = self._store.worker(key)
        parent = None if worker is None else self._store.job(worker.job_id)
        if worker is None or parent is None:
            return Base()
        return self._bases.of_child(config, tasks, parent, worker)

    def _discarded(self, key: WorkerKey | None, digest: str, base: Base) -> frozenset[str]:
        """Completed child jobs for the same request whose changes their worker has discarded."""
        worker = self._store.worker(key) if key and base.commit else None
        if worker is None:
            return frozenset()
        jobs = filter(None, map(self._store.job, worker.child_job_ids))
        done = (each for each in jobs if each.status is JobStatus.COMPLETED)
        return self._bases.discarded(worker, [e.id for e in done if e.digest == digest], base)

    def _submit(self, scheduler: Scheduler, asked: Asked, now: float) -> Accepted:
        # Once more, now that nothing else can come between: two calls may race.
        key, name = asked.submission.idempotency_key, asked.caller.full_name
        if key is not None:
            for job in scheduler.ledger.jobs.values():
                if job.idempotency_key == key and job.submitted_by == name:
                    return self._same_submission(job, asked.digest)
            again = self._submitted_before(asked.caller, asked.submission)
            if again is not None:
                return again
        return self._submitting.submit(scheduler, asked, now)

    def _submitted_before(self, caller: Caller, submission: Submission) -> Accepted | None:
        if submission.idempotency_key is None:
            return None
        job = self._store.find_idempotent(caller.full_name, submission.idempotency_key)
        if job is None or not self._access.sees(caller, job):
            return None
        return self._same_submission(job, admission.digest(submission.request, submission.tasks))

    def _same_submission(self, job: Job, digest: str) -> Accepted:
        if job.digest != digest:
            raise InvalidRequest(
                f"this Idempotency-Key was used for job {job.id}, which asked for something else; "
                "use a new key",
                kind="idempotency-mismatch",
            )
        left = self._submitting.left_of(job, self._supervisor.size_of(job), time.time())
        return Accepted(job=job, duplicate=True, left=left)

    def used(self, caller: Caller, usage: Usage) -> Used:
        """A worker tells what its attempt has used so far in all; what follows from that.

        Idempotent. Raise Forbidden for a caller that is no worker.
        """
        attempt = caller.attempt
        if attempt is None:
            raise Forbidden("only a worker tells what it has used, with its own key")

        def action(scheduler: Scheduler, now: float) -> Used:
            stop = scheduler.used(attempt.key, attempt.number, usage, now)
            return Used(
                stop=stop,
                waiting=scheduler.waits(attempt.key),
                capped=scheduler.is_capped(attempt.key),
            )

        return self._supervisor.call(action)

    def cancel(self, caller: Caller, job_id: str) -> Job:
        """Stop a job and all its descendants. Idempotent; a job that has ended is left as it is."""
        self._access.changeable(caller, job_id)

        def action(scheduler: Scheduler, now: float) -> None:
            if job_id in scheduler.ledger.jobs:
                scheduler.cancel(job_id, caller.signature, now, caller.worker_key)

        self._supervisor.call(action)
        return self.job(caller, job_id)

    def approve(self, caller: Caller, job_id: str) -> Job:
        """Let the tasks of a planned job start. Raise Conflict where nothing waits for that."""
        self._access.changeable(caller, job_id)
        self._access.check_person(caller)

        def action(scheduler: Scheduler, now: float) -> None:
            scheduler.planning.approve(job_id, caller.name, now)

        self._supervisor.call(action)
        return self.job(caller, job_id)

    def reject(self, caller: Caller, job_id: str) -> Job:
        """End a job that waits for approval. Raise Conflict for one that does not."""
        self._access.changeable(caller, job_id)
        self._access.check_person(caller)

        def action(scheduler: Scheduler, now: float) -> None:
            scheduler.planning.check_waits(job_id)
            scheduler.cancel(job_id, f"{caller.signature}: the plan was rejected", now)

        self._supervisor.call(action)
        return self.job(caller, job_id)

    def retry(self, caller: Caller, job_id: str, config: ConfigRequest) -> Job:
        """Run again what did not succeed. Raise Conflict where there is nothing to run again."""
        job = self._access.workable(caller, job_id)
        self._check_place()
        if job.facts.discarded:
            raise Conflict(
                f"the branches of job {job_id} were discarded: nothing is left to run again from"
            )

        def action(scheduler: Scheduler, now: float) -> None:
            check_retry(scheduler, job, now)
            changed = replace(job, config=self._submitting.retry_config(job.config, config))
            self._check_not_attached(*self._store.workers(job_id))
            self._bring_back(scheduler, changed, now, check_rerun)
            scheduler.ledger.update_job(job_id, config=changed.config)
            scheduler.retry(job_id, caller.name, now)

        self._supervisor.call(action)
        return self.job(caller, job_id)

    def _check_place(self) -> None:
        """Raise Unavailable: a job would be stored where nobody looks for it."""
        if moved := self._moved():
            raise Unavailable(moved)

    def stats(self, caller: Caller) -> Mapping[str, object]:
        self._access.check_statistics(caller)
        stored = self._store.stats()
        return {
            "jobs": dict(stored.jobs),
            "workers": dict(stored.workers),
            "attempts": stored.attempts,
            "per_minute": self._rates.per_minute(),
            "gates": self._rates.gates(),
            "cost_usd": stored.cost.usd,
            "cost_estimated": stored.cost.estimated,
            "cost_partial": stored.cost.partial,
            "slots": dict(self._supervisor.slots),
            "containment": self._launcher.containment,
        }

    def agents(self) -> Sequence[Availability]:
        """Every agent that a task can name, with what stands in its way."""
        seen = self._supervisor.call(lambda scheduler, now: scheduler.forest.logins.seen(now))
        return [with_login(each, seen.get(each.name)) for each in self._submitting.agents()]

    def health(self) -> Health:
        checks = {"supervisor": "ok" if self._supervisor.alive else "has stopped"}
        try:
            self._store.events("", 0, 1)  # not one of those that are answered from memory
            checks["store"] = self._supervisor.store_trouble or "ok"
        except StoreError as error:
            checks["store"] = error.message
        checks["place"] = self._moved() or "ok"
        agents = [
            each for each in self._submitting.agents() if self._submitting.uses_model(each.name)
        ]
        return Health(
            usable_agents=sum(each.usable for each in agents),
            known_agents=len(agents),
            ready=all(word == "ok" for word in checks.values()),
            checks=checks,
            paused=self._supervisor.paused,
            containment=self._launcher.containment,
            version=self._version,
        )

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell ``listener`` of stored events, in order, from the publisher's thread."""

        def observer(change: Change) -> None:
            if change.events:
                listener(change.events)

        return self._publisher.add(observer)

    def _free_job_id(self) -> str:
        while True:
            job_id = self._new_job_id()
            if self._store.job(job_id) is None:
                return job_id
