"""Records the usage of running workers, emits it as events, and compares it with the limits.

A job that reaches a limit is stopped, or paused so that a person can decide (``on_limit: ask``).
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.events import EventKind
from orchestrator.core.limits.usage_budgets import describe_reached_limit, reached_limit, spent_by
from orchestrator.core.model.attempt.attempt_result import NO_USAGE, Usage
from orchestrator.core.model.attempt.usage_sums import usage_sum
from orchestrator.core.model.human_input.pause import Pause, PauseCause, RunningMode
from orchestrator.core.model.job import WALL_TIME, Job, Worker, WorkerKey
from orchestrator.core.model.job_settings import CAPS, JobConfig
from orchestrator.core.model.states import StopCause
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.ends.stops import Stops
from orchestrator.core.scheduler.transitions.pauses import Pauses

#: Value of the setting ``on_limit`` with which a job asks a person.
ASK = "ask"
#: Wall times of two jobs count as ending at the same time if they end within this many seconds.
SAME_END_SECONDS = 1.0


class LimitHandler:
    """Stops a job that reaches a limit, or pauses the job and asks a person to raise the limit."""

    def __init__(self, trees: JobTrees, stops: Stops, pauses: Pauses) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._stops = stops
        self._pauses = pauses

    def asks(self, job_id: str) -> bool:
        """True if a person is asked when the job reaches a limit; False if the job is stopped."""
        return self._unit_of_work.jobs[job_id].config.on_limit == ASK

    def handle_limit(self, job_id: str, limit: str, cause: StopCause, by: str, now: float) -> bool:
        """Handle a limit that a job has reached. Return True if the job is being stopped.

        ``limit``: the limit's name. ``cause``: the stop cause if the job is stopped. ``by``: the
        limit with its value, such as "max_steps (10 steps)".
        """
        job = self._unit_of_work.jobs[job_id]
        if not self.asks(job_id):
            self._stops.stop_tree(job_id, cause, by, now)
            return True
        if job.pause is None or job.pause.cause is not PauseCause.LIMIT:
            self._pause_and_ask(job, limit, by, now)
        return False

    def wall_time_over(self, job: Job, now: float) -> None:
        """Handle the end of a job's wall time.

        If wall times of ancestor jobs end at the same moment, ask a person only about the job
        nearest to the root.
        """
        ancestors = (each for each in reversed(self._trees.ancestors(job)) if not each.status.ended)
        ends = (each for each in ancestors if each.remaining_wall_seconds(now) <= SAME_END_SECONDS)
        first = next(ends, job) if self.asks(job.id) else job
        by = f"{WALL_TIME} ({first.config.max_wall_seconds:g} s)"
        self.handle_limit(first.id, WALL_TIME, StopCause.WALL_TIME, by, now)

    def check(self, job_id: str, now: float) -> None:
        """Handle a limit on usage that the job or an ancestor job has already reached.

        Call this when a pause has ended, or when a merge has rejected workers of the job.
        """
        job = self._unit_of_work.jobs[job_id]
        first_reached = self._trees.breach_of(job)
        if (
            first_reached is not None
            and job.pause is None
            and self._trees.plans[first_reached[0]].unfinished
        ):
            limited_id, limit, by = first_reached
            self.handle_limit(limited_id, limit, StopCause.LIMIT, by, now)

    def turn(self, now: float) -> None:
        """Stop the jobs that asked a person about a limit and got no answer in time."""
        due = self._trees.limit_questions_due
        while due and due[0][0] <= now:
            _, job_id = heapq.heappop(due)
            job = self._unit_of_work.jobs.get(job_id)
            pause = job.pause if job else None
            if pause and pause.asks(job_id) and pause.until is not None and pause.until <= now:
                is_wall = pause.limit == WALL_TIME
                cause = StopCause.WALL_TIME if is_wall else StopCause.LIMIT
                self._stops.stop_tree(job_id, cause, pause.by, now)

    def restore_timeout(self, job: Job) -> None:
        """After a restart, restore the timeout of a question about a limit."""
        if job.pause and job.pause.asks(job.id) and job.pause.until is not None:
            heapq.heappush(self._trees.limit_questions_due, (job.pause.until, job.id))

    def raise_budget(self, job_id: str, config: JobConfig, by: str, now: float) -> None:
        """Replace a job's limits with larger limits. Resume the job if a limit paused it.

        The limits of descendants grow by the same amounts, with two exceptions:

        - If a descendant requested a cap itself, none of its caps grows.
        - A descendant's wall time does not grow if it was due to end before the job's wall time.
        """
        job = self._unit_of_work.jobs[job_id]
        increases = dict(_raised_by(job.config, config))
        for each in self._trees.subtree(job_id):
            if each != job_id:
                self._raise_below(self._unit_of_work.jobs[each], job, increases, now)
        raised_job = self._unit_of_work.update_job(job_id, config=config)
        payload: dict[str, Any] = {name: getattr(config, name) for name in increases}
        self._unit_of_work.emit(EventKind.BUDGET_RAISED, raised_job, now, by=by, **payload)
        self._trees.watch_wall_time(raised_job)
        if raised_job.pause and raised_job.pause.asks(job_id):
            self._pauses.lift(job_id, by, now)

    def limit_reached_under(self, job: Job, config: JobConfig, now: float) -> str:
        name = reached_limit(config, self._trees.spending.of(job.id))
        added_seconds = config.max_wall_seconds - job.config.max_wall_seconds
        return name or (WALL_TIME if job.remaining_wall_seconds(now) + added_seconds <= 0 else "")

    def _pause_and_ask(self, job: Job, limit: str, by: str, now: float) -> None:
        until = now + job.config.ask_seconds
        pause = Pause(
            at=now,
            by=by,
            running=RunningMode.STOP,
            cause=PauseCause.LIMIT,
            job_id=job.id,
            limit=limit,
            until=until,
        )
        self._pauses.impose(pause, now)
        job = self._unit_of_work.jobs[job.id]
        if job.pause and job.pause.asks(job.id):
            heapq.heappush(self._trees.limit_questions_due, (until, job.id))
            payload: dict[str, Any] = {"limit": limit, "reason": by, "until": until}
            self._unit_of_work.emit(EventKind.LIMIT_ASKED, job, now, **payload)

    def _raise_below(
        self, child: Job, raised_job: Job, increases: Mapping[str, float], now: float
    ) -> None:
        if child.status.ended:
            return
        fields: dict[str, Any] = {}
        for name, amount in increases.items():
            limit = getattr(child.config, name)
            same_end = (
                child.remaining_wall_seconds(now)
                >= raised_job.remaining_wall_seconds(now) - SAME_END_SECONDS
            )
            inherits = same_end if name == WALL_TIME else not child.config.budget_asked
            if limit is not None and inherits:
                fields[name] = limit + amount
        if fields:
            config = replace(child.config, **fields)
            self._trees.watch_wall_time(self._unit_of_work.update_job(child.id, config=config))


def _raised_by(before: JobConfig, after: JobConfig) -> Iterator[tuple[str, float]]:
    for name in (*CAPS, WALL_TIME):
        old, new = getattr(before, name), getattr(after, name)
        if old is not None and new is not None and new > old:
            yield name, new - old


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
            by if self._limit_handler.handle_limit(job_id, limit, StopCause.LIMIT, by, now) else ""
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
            daily_limit = self._trees.quotas.reached_daily_limit(job.submitted_by, now)
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
        if self._trees.quotas.limits_day_of(self._trees.key_of(worker.root_id)):
            return True
        limited = (self._trees.task_of(worker), self._trees.job_of(worker).config)
        return any(getattr(each, name) is not None for each in limited for name in CAPS)
