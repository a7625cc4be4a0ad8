"""A job's progress, computed from its events, without any display."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import field

from orchestrator.cli.follow.event_text import Event, Facts, awaited, line_of
from orchestrator.cli.output.status_answer import SUCCEEDED
from orchestrator.cli.output.terminal_text import first_line, moment
from orchestrator.core.events import EventKind
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import NO_MODEL, SHELL
from orchestrator.core.model.states import ENDED_WORKER, SUCCEEDED_WORKER, WorkerStatus

#: Minimum number of finished tasks for an estimate.
LEAST_FINISHED = 2
_ENDED = {str(status) for status in ENDED_WORKER}
_UNSUCCESSFUL = [
    str(status) for status in WorkerStatus if status in ENDED_WORKER - SUCCEEDED_WORKER
]


@dataclass
class JobProgress:
    """The progress of one job of a tree: the root job or a child job."""

    tasks: int = 0
    workers: set[str] = field(default_factory=set)
    #: Final status of the job; empty while the job runs.
    final_status: str = ""
    #: The server's current work for the whole job, such as planning or a gate's run.
    activity: str = ""


@dataclass
class TreeProgress:
    """The progress of a job tree, according to the events that ``record`` got."""

    #: Status by worker.
    workers: dict[str, str] = field(default_factory=dict)
    #: Start time of the latest attempt (Unix time), by worker. Contains the workers
    #: that have started and not ended.
    started_at: dict[str, float] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=dict)
    #: Activity other than the agent's work, such as ``running gates: ruff, pytest``, by worker.
    activities: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, JobProgress] = field(default_factory=dict)
    _awaited: dict[str, Facts] = field(default_factory=dict)
    #: The locks that each worker holds.
    _held_locks: dict[str, set[str]] = field(default_factory=dict)
    _parents: set[str] = field(default_factory=set)
    _costs: dict[str, float | None] = field(default_factory=dict)
    _finished_seconds: list[float] = field(default_factory=list)
    _most_running: int = 0

    def record(self, event: Event) -> str | None:
        """Record an event. Return the event's line, or None if the user need not see the event."""
        line = line_of(event, self)
        kind, facts = str(event["kind"]), event.get("data") or {}
        job = self.jobs.setdefault(str(event["job_id"]), JobProgress())
        worker = str(event.get("worker_id") or "")
        if kind in _OF_GATES:
            self._record_gate_event(kind, job, worker, facts)
        elif kind.startswith("worker_") and worker:
            self._record_worker_event(
                kind, job, worker, facts, moment(event.get("at")) or time.time()
            )
        elif kind in (EventKind.JOB_SUBMITTED, EventKind.JOB_PLANNED):
            job.tasks, job.activity = int(facts.get("tasks") or 0), ""
            if kind == EventKind.JOB_SUBMITTED:
                self._parents.add(str(facts.get("parent_worker_id") or ""))
        elif kind == EventKind.JOB_RETRIED:
            job.final_status = ""
            retried_workers = [each for each in job.workers if self.workers[each] not in SUCCEEDED]
            self.workers.update(dict.fromkeys(retried_workers, "pending"))
        elif kind == EventKind.JOB_REOPENED:
            job.final_status = ""
        elif kind == EventKind.LOCK_TAKEN and worker:
            self._held_locks.setdefault(worker, set()).update(facts.get("names") or ())
        elif kind == EventKind.LOCK_RELEASED and worker:
            self._held_locks.get(worker, set()).difference_update(facts.get("names") or ())
        elif kind == EventKind.FEEDBACK_GIVEN and worker:
            self.workers[worker] = "pending"
        elif kind == EventKind.JOB_ENDED:
            job.final_status, job.activity = str(facts.get("status") or "ended"), ""
        elif kind in (EventKind.PLANNER_STARTED, EventKind.REVIEWER_STARTED):
            doing = "planning" if kind == EventKind.PLANNER_STARTED else "reviewing candidates"
            job.activity = f"{facts.get('agent')} is {doing}"
        elif kind in (EventKind.PLANNER_ENDED, EventKind.REVIEWER_ENDED):
            job.activity = ""
        return line

    def _record_worker_event(
        self, kind: str, job: JobProgress, worker: str, facts: Facts, at: float
    ) -> None:
        if kind == EventKind.WORKER_USED:
            self._costs[worker] = facts.get("cost_usd")
            return
        if kind not in _STATUS and kind not in _DEFAULT_STATUS:
            return  # The event changes no status, or a later version of the product sent it.
        job.workers.add(worker)
        self.activities.pop(worker, None)
        if kind == EventKind.WORKER_STARTED:
            self.started_at[worker] = at
            self.agents[worker] = str(facts.get("agent") or "")
        elif kind == EventKind.WORKER_WAITING:
            self._awaited[worker] = facts
            self.activities[worker] = f"waiting for {awaited(facts)}"
        elif kind == EventKind.WORKER_RESUMED:
            self._awaited.pop(worker, None)
        elif kind == EventKind.WORKER_ENDED:
            self._record_end(worker, str(facts.get("status")), at)
        status = _STATUS.get(kind) or str(facts.get("status") or _DEFAULT_STATUS[kind])
        self.workers[worker] = status
        self._most_running = max(self._most_running, sum(1 for _ in self.running()))

    def _record_end(self, worker: str, status: str, at: float) -> None:
        if self.agents.get(worker, SHELL) not in NO_MODEL:
            self._costs.setdefault(worker, None)
        began = self.started_at.pop(worker, None)
        # Workers with child jobs do not count, because such workers mostly wait.
        if began is not None and status in SUCCEEDED and worker not in self._parents:
            self._finished_seconds.append(at - began)

    def _record_gate_event(self, kind: str, job: JobProgress, worker: str, facts: Facts) -> None:
        if kind == EventKind.GATES_STARTED and worker:
            gates = ", ".join(first_line(each, 40) for each in facts.get("gates") or ())
            self.activities[worker] = f"running gates: {gates}"
        elif kind == EventKind.GATE_RUN_STARTED:
            gate, on = first_line(facts.get("gate"), 40), first_line(facts.get("on"), 40)
            activity = f"running gate {gate} on the {on}"
            if not worker:
                job.activity = activity
            elif on != worker:
                self.activities[worker] = activity
        elif kind == EventKind.GATE_RUN_ENDED and not worker:
            job.activity = ""

    def resumed_because(self, worker: str) -> str:
        """Return why a worker resumed, such as `` (child job 05ebe362 completed)``.

        Return "" if the reason is unknown.
        """
        facts = self._awaited.get(worker) or {}
        ids = [str(each) for each in facts.get("child_job_ids") or ()]
        ended = [
            f"child job {each} {job.final_status}"
            for each in ids
            if (job := self.jobs.get(each)) and job.final_status
        ]
        awaited_locks = list(facts.get("locks") or ())
        # A wait for a lock may also end by its timeout.
        has_locks = self._held_locks.get(worker, set()).issuperset(awaited_locks)
        locks = ", ".join(first_line(each, 80) for each in awaited_locks)
        end = "acquired" if has_locks else "not acquired"
        causes = ", ".join([*ended, *([f"lock {locks} {end}"] if locks else [])])
        return f" ({causes})" if causes else ""

    def counts(self) -> Counter[str]:
        return Counter(self.workers.values())

    def running(self) -> Iterator[tuple[str, float]]:
        """Yield each running worker with the start time of its attempt (Unix time).

        Workers are in the order in which their first attempts started.
        """
        for worker, at in self.started_at.items():
            if self.workers[worker] == "running":
                yield worker, at

    def waiting(self) -> Iterator[tuple[str, float]]:
        """Yield each worker that waits for child jobs or locks, with its attempt's start time."""
        for worker, at in self.started_at.items():
            if self.workers[worker] == "waiting":
                yield worker, at

    @property
    def total(self) -> int:
        """Number of workers. A task with several candidates has several workers."""
        return sum(max(job.tasks, len(job.workers)) for job in self.jobs.values())

    @property
    def done(self) -> int:
        return sum(self.counts()[status] for status in SUCCEEDED)

    @property
    def queued(self) -> int:
        counts = self.counts()
        busy = counts["running"] + counts["waiting"]
        return max(0, self.total - busy - sum(counts[status] for status in _ENDED))

    def unsuccessful(self) -> Iterator[tuple[int, str]]:
        """Yield (number of workers, status) for each unsuccessful status of a worker."""
        counts = self.counts()
        return ((counts[status], status) for status in _UNSUCCESSFUL if counts[status])

    def job_activities(self) -> Iterator[str]:
        """Yield a line for each activity of the server, such as ``job 1d80bc9d: a is planning``."""
        for job_id, job in self.jobs.items():
            if doing := job.activity or self._final_activity(job):
                yield f"job {job_id}: {doing}"

    def _final_activity(self, job: JobProgress) -> str:
        """Return ``merging and writing reports`` if all workers have ended, but the job has not.

        Return "" at any other time.
        """
        if job.final_status or not job.workers or len(job.workers) < job.tasks:
            return ""
        is_worked_on = any(self.workers[each] not in _ENDED for each in job.workers)
        return "" if is_worked_on else "merging and writing reports"

    @property
    def cost_usd(self) -> float | None:
        """Reported cost of all workers so far, in US dollars; None if no worker reported a cost."""
        known_costs = [cost for cost in self._costs.values() if cost is not None]
        return sum(known_costs) if known_costs else None

    @property
    def cost_is_partial(self) -> bool:
        return None in self._costs.values()

    def remaining_seconds(self, now: float) -> float | None:
        """Return the estimated time until all tasks are done, in seconds.

        Return None if too few tasks have ended for an estimate, or if no task remains.
        """
        if len(self._finished_seconds) < LEAST_FINISHED:
            return None
        mean_seconds = sum(self._finished_seconds) / len(self._finished_seconds)
        remaining_seconds = [max(0.0, mean_seconds - (now - at)) for _, at in self.running()]
        lanes = max(1, self._most_running)
        return (
            max([(self.queued * mean_seconds + sum(remaining_seconds)) / lanes, *remaining_seconds])
            or None
        )


#: Status of the worker after an event, by kind of event. For kinds that are not listed, the event's
#: data or ``_DEFAULT_STATUS`` has the status.
_STATUS: dict[str, str] = {
    EventKind.WORKER_STARTED: "running",
    EventKind.WORKER_RESUMED: "running",
    EventKind.WORKER_WAITING: "waiting",
    EventKind.WORKER_RETRYING: "pending",
}
#: Status of the worker after an event whose data has no status, by kind of event.
_DEFAULT_STATUS: dict[str, str] = {
    EventKind.WORKER_SENT_BACK: "pending",
    EventKind.WORKER_ENDED: "ended",
}
_OF_GATES = (
    EventKind.GATES_STARTED,
    EventKind.GATE_RUN_STARTED,
    EventKind.GATE_RUN_ENDED,
    EventKind.GATE_ENDED,
)
