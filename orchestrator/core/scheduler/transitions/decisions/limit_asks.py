"""Jobs that reach a limit and ask a person (``on_limit: ask``): paused, raised, or stopped."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.events import EventKind
from orchestrator.core.limits.budget import reached
from orchestrator.core.model.decisions.pause import Pause, PauseCause, RunningMode
from orchestrator.core.model.job import WALL_TIME, Job
from orchestrator.core.model.job_settings import BUDGET_LIMITS, JobConfig
from orchestrator.core.model.states import StopCause
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.decisions.pauses import Pauses
from orchestrator.core.scheduler.transitions.finish import Completion

#: The value of the setting ``on_limit`` with which a job asks.
ASK = "ask"
#: Seconds by which the wall time of a child job may end before that of the job above it although
#: both were given the same end.
SAME_END_SECONDS = 1.0


class LimitAsks:
    def __init__(self, trees: JobTrees, completion: Completion, pauses: Pauses) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._completion = completion
        self._pauses = pauses

    def hit(self, job_id: str, limit: str, cause: StopCause, by: str, now: float) -> bool:
        """Handle a limit that a job has reached. Return True if the job is being stopped.

        ``by``: the limit as text.
        """
        job = self._unit_of_work.jobs[job_id]
        if job.config.on_limit != ASK:
            self._completion.stop_tree(job_id, cause, by, now)
            return True
        if job.pause is None or job.pause.cause is not PauseCause.LIMIT:
            self._ask(job, limit, by, now)
        return False

    def wall_time_over(self, job: Job, now: float) -> None:
        """Handle the end of a job's wall time; ask about the highest job that ends now, too."""
        above = (each for each in reversed(self._trees.ancestors(job)) if not each.status.ended)
        ends = (each for each in above if each.wall_left(now) <= SAME_END_SECONDS)
        first = next(ends, job) if job.config.on_limit == ASK else job
        by = f"{WALL_TIME} ({first.config.max_wall_seconds:g} s)"
        self.hit(first.id, WALL_TIME, StopCause.WALL_TIME, by, now)

    def check(self, job_id: str, now: float) -> None:
        """After a pause, handle a limit on usage that the job has reached before."""
        job = self._unit_of_work.jobs[job_id]
        found = self._trees.breach_of(job)
        if found is not None and job.pause is None and self._trees.plans[found[0]].unfinished:
            above, limit, by = found
            self.hit(above, limit, StopCause.LIMIT, by, now)

    def turn(self, now: float) -> None:
        """Stop the jobs about whose limits no person has decided in time."""
        due = self._trees.asks_due
        while due and due[0][0] <= now:
            _, job_id = heapq.heappop(due)
            job = self._unit_of_work.jobs.get(job_id)
            pause = job.pause if job else None
            if pause and pause.asks(job_id) and pause.until is not None and pause.until <= now:
                is_wall = pause.limit == WALL_TIME
                cause = StopCause.WALL_TIME if is_wall else StopCause.LIMIT
                self._completion.stop_tree(job_id, cause, pause.by, now)

    @property
    def next_time(self) -> float | None:
        return self._trees.asks_due[0][0] if self._trees.asks_due else None

    def found(self, job: Job) -> None:
        """After a restart, watch the end of an ask."""
        if job.pause and job.pause.asks(job.id) and job.pause.until is not None:
            heapq.heappush(self._trees.asks_due, (job.pause.until, job.id))

    def raise_budget(self, job_id: str, config: JobConfig, by: str, now: float) -> None:
        """Replace a job's limits by larger ones; resume the job if it asked about one of them.

        Descendants get the same addition, except to caps that they requested themselves.
        """
        job = self._unit_of_work.jobs[job_id]
        more = dict(_additions(job.config, config))
        for each in self._trees.subtree(job_id):
            if each != job_id:
                self._raise_below(self._unit_of_work.jobs[each], job, more, now)
        raised = self._unit_of_work.update_job(job_id, config=config)
        said: dict[str, Any] = {name: getattr(config, name) for name in more}
        self._unit_of_work.emit(EventKind.BUDGET_RAISED, raised, now, by=by, **said)
        self._trees.watch_wall_time(raised)
        if raised.pause and raised.pause.asks(job_id):
            self._pauses.lift(job_id, by, now)

    def still_reached(self, job: Job, config: JobConfig, now: float) -> str:
        """Return the limit that a job with these settings has reached; empty: none."""
        name = reached(config, self._trees.spending.of(job.id))
        longer = config.max_wall_seconds - job.config.max_wall_seconds
        return name or (WALL_TIME if job.wall_left(now) + longer <= 0 else "")

    def _ask(self, job: Job, limit: str, by: str, now: float) -> None:
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
            heapq.heappush(self._trees.asks_due, (until, job.id))
            said: dict[str, Any] = {"limit": limit, "reason": by, "until": until}
            self._unit_of_work.emit(EventKind.LIMIT_ASKED, job, now, **said)

    def _raise_below(self, child: Job, above: Job, more: Mapping[str, float], now: float) -> None:
        if child.status.ended:
            return
        fields: dict[str, Any] = {}
        for name, amount in more.items():
            present = getattr(child.config, name)
            same_end = child.wall_left(now) >= above.wall_left(now) - SAME_END_SECONDS
            inherits = same_end if name == WALL_TIME else not child.config.budget_asked
            if present is not None and inherits:
                fields[name] = present + amount
        if fields:
            config = replace(child.config, **fields)
            self._trees.watch_wall_time(self._unit_of_work.update_job(child.id, config=config))


def _additions(before: JobConfig, after: JobConfig) -> Iterator[tuple[str, float]]:
    for name in (*BUDGET_LIMITS, WALL_TIME):
        had, has = getattr(before, name), getattr(after, name)
        if had is not None and has is not None and has > had:
            yield name, has - had
