"""Usage of running workers: summed, emitted as events, and compared with the limits."""

from dataclasses import replace

from orchestrator.core.events import EventKind
from orchestrator.core.limits.budget import NOTHING, breach, is_unpriced, spent_by, total
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.job import Worker, WorkerKey
from orchestrator.core.model.job_settings import BUDGET_LIMITS
from orchestrator.core.model.states import StopCause
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.decisions.limit_asks import LimitAsks
from orchestrator.core.scheduler.transitions.finish import Completion

_OVER = "this attempt has ended"


class Accounting:
    def __init__(self, trees: JobTrees, completion: Completion, asks: LimitAsks) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._completion = completion
        self._asks = asks

    def used(self, key: WorkerKey, attempt: int, usage: Usage, now: float) -> str:
        """Record an attempt's total usage so far. Return why the attempt must stop, or "".

        Idempotent: an attempt reports its whole usage every time.
        """
        current = self._unit_of_work.attempts.get(key)
        if current is None or current.number != attempt:
            return _OVER
        worker = self._unit_of_work.workers[key]
        if usage.input_tokens or usage.output_tokens or usage.cache_write_tokens:
            self._trees.logins.worked(worker.agent, now)
            self._trees.queue_again(self._trees.holds.heard(worker))
        result = worker.result or WorkerResult()
        so_far = total(result.usage_before or NOTHING, usage)
        if so_far != result.usage:
            self._trees.spend(worker, result.usage, so_far, now)
            self._unit_of_work.update_worker(key, result=replace(result, usage=so_far))
            told = {name: getattr(so_far, name) for name in so_far.__dataclass_fields__}
            job = self._trees.job_of(worker)
            self._unit_of_work.emit(EventKind.WORKER_USED, job, now, worker.id, **told)
        return self._own_limit(worker, so_far) or self.check_limits(worker, now)

    def check_limits(self, worker: Worker, now: float) -> str:
        """Stop the highest job, from the root to the worker's job, that has reached a limit, or
        pause it and ask a person. Return the reason of a stop.
        """
        found = self._trees.breach_of(self._trees.job_of(worker))
        if found is None or not self._trees.plans[found[0]].unfinished:
            return ""
        job_id, limit, by = found
        return by if self._asks.hit(job_id, limit, StopCause.LIMIT, by, now) else ""

    def check_price(self, worker: Worker, now: float) -> None:
        """After a worker's end, stop the highest job whose cost cap cannot be enforced because the
        model has no known price.
        """
        result = self._unit_of_work.workers[worker.key].result
        if result is None or not is_unpriced(result.usage):
            return
        job = self._trees.job_of(worker)
        for above in (*reversed(self._trees.ancestors(job)), job):
            limited = above.config.max_cost_usd is not None and not above.status.ended
            if limited and self._trees.plans[above.id].unfinished:
                by = f"max_cost_usd of job {above.id}: the cost of {worker.id} is unknown"
                self._completion.stop_tree(above.id, StopCause.LIMIT, by, now)
                return

    def stop_spent_days(self, now: float) -> None:
        """Stop jobs that use a model, if their key has reached its cost limit for today."""
        if not self._trees.quotas.limits_days:
            return
        for root_id in self._trees.roots:
            job = self._unit_of_work.jobs[root_id]
            if job.status.ended or job.stop_cause is not None:
                continue
            reached = self._trees.quotas.day_reached(job.submitted_by, now)
            if reached is not None and self._spends(root_id):
                self._completion.stop_tree(root_id, StopCause.LIMIT, str(reached), now)

    def _spends(self, root_id: str) -> bool:
        """True if an unfinished worker of the tree uses a model."""
        reads = self._trees.holds.reads_prompt
        return any(
            not worker.status.ended and reads(worker.agent)
            for job_id in self._trees.jobs_of(root_id)
            for worker in self._trees.workers_of(job_id)
        )

    def is_capped(self, key: WorkerKey) -> bool:
        """True if a limit on agents' usage applies to the worker."""
        worker = self._unit_of_work.workers.get(key)
        if worker is None or worker.job_id not in self._trees.plans:
            return False
        if self._trees.quotas.limits_day_of(self._trees.key_of(worker.root_id)):
            return True
        limited = (self._trees.task_of(worker), self._trees.job_of(worker).config)
        return any(getattr(each, name) is not None for each in limited for name in BUDGET_LIMITS)

    def _own_limit(self, worker: Worker, so_far: Usage) -> str:
        reached = breach(self._trees.task_of(worker), spent_by(so_far))
        return f"{reached} of its task" if reached else ""
