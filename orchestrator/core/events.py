"""Typed facts, stored in order; streams, reports and metrics are built from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EventKind(StrEnum):
    #: A job was accepted and stored. data: request, parent_worker_id, depth, tasks
    JOB_SUBMITTED = "job_submitted"
    #: A job has got its tasks from a planner. data: source, tasks, reason
    JOB_PLANNED = "job_planned"
    #: A person has approved the job's plan. data: by
    JOB_APPROVED = "job_approved"
    #: The first worker of a job is about to start.
    JOB_STARTED = "job_started"
    #: Somebody asked for the job's end. data: by
    JOB_CANCEL_REQUESTED = "job_cancel_requested"
    #: What did not succeed runs again. data: by, workers
    JOB_RETRIED = "job_retried"
    #: A worker asked for a child job and hit a limit. data: limit, detail, request, number
    CHILD_JOB_REFUSED = "child_job_refused"
    #: All workers are done and the reports are written. data: status, reason
    JOB_ENDED = "job_ended"
    #: An attempt is about to start. data: attempt, agent
    WORKER_STARTED = "worker_started"
    #: The worker lends its slot while its child jobs run. data: child_job_ids
    WORKER_WAITING = "worker_waiting"
    #: The worker has its slot again.
    WORKER_RESUMED = "worker_resumed"
    #: An attempt failed and another follows. data: attempt, reason, delay_seconds
    WORKER_RETRYING = "worker_retrying"
    #: What it has used so far, in all. data: steps, input_tokens, output_tokens, cost_usd, ...
    WORKER_USED = "worker_used"
    #: An attempt that was given up has ended after all. data: attempt, taken, ended, record
    LATE_RESULT = "late_result"
    #: The worker is done. data: status, reason, files_created
    WORKER_ENDED = "worker_ended"
    #: An attempt of a job's planner is about to start. data: attempt, agent
    PLANNER_STARTED = "planner_started"
    #: A plan was refused, or its planner failed, and is asked again. data: as of worker_retrying
    PLANNER_RETRYING = "planner_retrying"
    #: A planner is done. data: status, reason
    PLANNER_ENDED = "planner_ended"


#: What is told of a planner in place of what is told of a worker.
OF_PLANNER: Mapping[EventKind, EventKind] = {
    EventKind.WORKER_STARTED: EventKind.PLANNER_STARTED,
    EventKind.WORKER_RETRYING: EventKind.PLANNER_RETRYING,
    EventKind.WORKER_ENDED: EventKind.PLANNER_ENDED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """``seq`` counts from 1 within a root job, without gaps."""

    root_id: str
    seq: int
    job_id: str
    kind: EventKind
    at: float
    worker_id: str | None = None
    data: Mapping[str, object] = field(default_factory=dict)
