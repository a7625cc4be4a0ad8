"""Records the usage of running workers, emits it as events, and checks it against the limits.

The module ``limit_enforcement`` stops or pauses a job that has reached a limit.
"""

from dataclasses import replace

from orchestrator.core.events import EventKind
from orchestrator.core.limits.usage_caps import describe_reached_limit, spent_by
from orchestrator.core.model.attempt.attempt_result import NO_USAGE, Usage
from orchestrator.core.model.attempt.usage_sums import usage_sum
from orchestrator.core.model.job import Worker, WorkerKey
from orchestrator.core.model.job_settings import CAPS
from orchestrator.core.model.states import StopCause
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.ends.stops import Stops
from orchestrator.core.scheduler.transitions.limit_enforcement import LimitHandler

_OVER = "this attempt has ended"


class Accounting:
    def __init__(self, trees: JobTrees, stops: Stops, limit_handler: LimitHandler) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._stops = stops
        self._limit_handler = limit_handler

    def record_usage(self, key: WorkerKey, attempt: int, usage: Usage, now: float) -> str:
        """Record an attempt's total usage so far.

        Return why the attempt must stop; "" if it may continue.

        Idempotent, because each report of an attempt contains its whole usage.
        """
        current = self._unit_of_work.attempts.get(key)
        if current is None or current.number != attempt:
            return _OVER
        worker = self._unit_of_work.workers[key]
        if usage.input_tokens or usage.output_tokens or usage.cache_write_tokens:
            self._trees.logins.record_success(worker.agent, now)
            self._trees.queue_again(self._trees.holds.model_answered(worker))
        result = worker.result or WorkerResult()
        worker_usage = usage_sum(result.usage_before or NO_USAGE, usage)
        if worker_usage != result.usage:
            self._trees.spend(worker, result.usage, worker_usage, now)
            self._unit_of_work.update_worker(key, result=replace(result, usage=worker_usage))
            payload = {
                name: getattr(worker_usage, name) for name in worker_usage.__dataclass_fields__
            }
            if worker_usage.cost_usd is not None:
                payload["cost_usd"] = round(worker_usage.cost_usd, 9)
            job = self._trees.job_of(worker)
            self._unit_of_work.emit(EventKind.WORKER_USED, job, now, worker.id, **payload)
        breached_cap = describe_reached_limit(self._trees.task_of(worker), spent_by(worker_usage))
        return (
            f"{breached_cap} of the worker's task"
            if breached_cap
            else self.check_limits(worker, now)
        )

    def check_limits(self, worker: Worker, now: float) -> str:
        """Check the limits of the worker's job and of its ancestor jobs, from the root job down.

        The first job that has reached a limit is stopped, or paused if it has ``on_limit: ask``.
        Return why the job is stopped; "" if no job is stopped.
        """
        first_reached = self._trees.breach_of(self._trees.job_of(worker))
        if first_reached is None or not self._trees.plans[first_reached[0]].unfinished:
            return ""
        job_id, limit, by = first_reached
        return (
            by if self._limit_handler.stop_or_ask(job_id, limit, StopCause.LIMIT, by, now) else ""
        )

    def check_price(self, worker: Worker, now: float) -> None:
        """Stop the job whose cost cap cannot be enforced, if there is one.

        Call this if ``worker`` has ended with an unknown cost. If several jobs have a cost cap,
        stop the job nearest to the root.
        """
        job = self._trees.job_of(worker)
        for above in (*reversed(self._trees.ancestors(job)), job):
            has_cost_cap = above.config.max_cost_usd is not None and not above.status.ended
            if has_cost_cap and self._trees.plans[above.id].unfinished:
                by = f"max_cost_usd of job {above.id}, because the cost of {worker.id} is unknown"
                self._stops.stop_tree(above.id, StopCause.LIMIT, by, now)
                return

    def enforce_daily_limits(self, now: float) -> None:
        """Stop each root job whose daily limit on costs is reached.

        The limit belongs to the job's API key or to the server. A root job is stopped only if the
        agent of an unfinished worker in its job tree reads prompts.
        """
        for root_id in self._trees.roots:
            job = self._unit_of_work.jobs[root_id]
            if job.status.ended or job.stop_cause is not None:
                continue
            daily_limit = self._trees.key_limits.reached_daily_limit(job.submitted_by, now)
            if daily_limit is not None and self._has_model_workers(root_id):
                self._stops.stop_tree(root_id, StopCause.LIMIT, str(daily_limit), now)

    def _has_model_workers(self, root_id: str) -> bool:
        reads = self._trees.holds.reads_prompt
        return any(
            not worker.status.ended and reads(worker.agent)
            for job_id in self._trees.jobs_of(root_id)
            for worker in self._trees.workers_of(job_id)
        )

    def is_capped(self, key: WorkerKey) -> bool:
        worker = self._unit_of_work.workers.get(key)
        if worker is None or worker.job_id not in self._trees.plans:
            return False
        if self._trees.key_limits.limits_day_of(self._trees.key_of(worker.root_id)):
            return True
        limited = (self._trees.task_of(worker), self._trees.job_of(worker).config)
        return any(getattr(each, name) is not None for each in limited for name in CAPS)
