"""Enforces limits: stops a job that reaches a limit, or pauses the job so that a person can decide.

The job's setting ``on_limit`` selects one of the two.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.events import EventKind
from orchestrator.core.limits.usage_caps import reached_limit
from orchestrator.core.model.human_input.pause import Pause, PauseCause, RunningMode
from orchestrator.core.model.job import WALL_TIME, Job
from orchestrator.core.model.job_settings import CAPS, JobConfig
from orchestrator.core.model.states import StopCause
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

    def stop_or_ask(self, job_id: str, limit: str, cause: StopCause, by: str, now: float) -> bool:
        """Stop a job that has reached a limit, or pause the job and ask a person.

        Return True if the job is being stopped.

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
        """Stop a job whose wall time has expired, or pause the job and ask a person.

        If wall times of ancestor jobs end at the same moment, ask a person only about the job
        nearest to the root.
        """
        ancestors = (each for each in reversed(self._trees.ancestors(job)) if not each.status.ended)
        ends = (each for each in ancestors if each.remaining_wall_seconds(now) <= SAME_END_SECONDS)
        first = next(ends, job) if self.asks(job.id) else job
        by = f"{WALL_TIME} ({first.config.max_wall_seconds:g} s)"
        self.stop_or_ask(first.id, WALL_TIME, StopCause.WALL_TIME, by, now)

    def enforce(self, job_id: str, now: float) -> None:
        """If the job or an ancestor job has already reached a cap, stop or pause that job.

        Call this when a pause has ended, or when a merge has rejected workers of the job. If
        several of these jobs have reached a cap, only the job nearest to the root is stopped or
        paused.
        """
        job = self._unit_of_work.jobs[job_id]
        first_reached = self._trees.breach_of(job)
        if (
            first_reached is not None
            and job.pause is None
            and self._trees.plans[first_reached[0]].unfinished
        ):
            limited_id, limit, by = first_reached
            self.stop_or_ask(limited_id, limit, StopCause.LIMIT, by, now)

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
