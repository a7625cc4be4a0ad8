"""Events: typed facts, stored in order. Streams, reports and metrics are built from them."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from orchestrator.core.lazy_dataclass import dataclass


class EventKind(StrEnum):
    #: A job was accepted and stored. data: request, parent_worker_id, depth, tasks
    JOB_SUBMITTED = "job_submitted"
    #: A planner has created the job's tasks. data: source, tasks, reason; if the rules created
    #: them instead of an agent, also fallback_from
    JOB_PLANNED = "job_planned"
    #: A person has approved the job's plan. data: by, comment
    JOB_APPROVED = "job_approved"
    #: A person has edited the job's plan. data: by, version, tasks
    PLAN_EDITED = "plan_edited"
    #: The first worker of a job is about to start.
    JOB_STARTED = "job_started"
    #: A caller requested the job's end. data: by
    JOB_CANCEL_REQUESTED = "job_cancel_requested"
    #: Nothing new starts in the job until it resumes. data: by, running (finish or stop)
    JOB_PAUSED = "job_paused"
    #: A paused job continues. data: by
    JOB_RESUMED = "job_resumed"
    #: Unsuccessful tasks run again. data: by, workers, run
    JOB_RETRIED = "job_retried"
    #: The job has reached a limit, is paused, and asks a person. data: limit, reason, until
    LIMIT_ASKED = "limit_asked"
    #: A person raised limits of the job. data: by, and the new limits by name
    BUDGET_RAISED = "budget_raised"
    #: A task waits for a person. data: task_id, question, due_at
    QUESTION_ASKED = "question_asked"
    #: A person, or the timeout (``by`` is empty), has answered the question. data: task_id, answer
    #: (approve or reject), by, comment
    QUESTION_ANSWERED = "question_answered"
    #: An ended job runs again: after a retry, or for feedback. data: by, run
    JOB_REOPENED = "job_reopened"
    #: Agent fallback of a job or of one worker: the login of the best agent failed, and the next
    #: best agent runs the tasks for which the user left the agent open. data: agent, instead,
    #: reason
    AGENT_PASSED_OVER = "agent_passed_over"
    #: A limit rejected a worker's child job. data: limit, detail, request, number
    CHILD_JOB_REFUSED = "child_job_refused"
    #: All workers have ended, and the reports are written. data: status, reason
    JOB_ENDED = "job_ended"
    #: The job's result was merged into a branch of the user. data: by, branch, commit, before
    JOB_LANDED = "job_landed"
    #: The landing was undone: the branch was reset to its commit before the landing. data: by,
    #: branch, commit, before
    LANDING_UNDONE = "landing_undone"
    #: An attempt is about to start. data: attempt, agent
    WORKER_STARTED = "worker_started"
    #: The worker released its slot while its child jobs run. data: child_job_ids
    WORKER_WAITING = "worker_waiting"
    #: The worker has its slot again.
    WORKER_RESUMED = "worker_resumed"
    #: An attempt failed and a retry follows. data: attempt, reason, delay_seconds, failure_kind,
    #: strategy, strategy_reason, confidence, checkpoint, kept
    WORKER_RETRYING = "worker_retrying"
    #: Merge rejection: the worker's changes conflict with other workers' changes, or fail the gates
    #: together with them. The worker is retried, or has failed. data: attempt, reason, status
    WORKER_SENT_BACK = "worker_sent_back"
    #: A person commented on the worker's change, so another attempt follows. data: by, comments
    #: (number), attempt, commit, landed (branches that have the earlier result)
    FEEDBACK_GIVEN = "feedback_given"
    #: A caller requested the end of one worker; its job continues. data: by
    WORKER_CANCEL_REQUESTED = "worker_cancel_requested"
    #: A person rolled the worker's branch back to a checkpoint. data: by, attempt, checkpoint,
    #: commit, kept
    WORKER_ROLLED_BACK = "worker_rolled_back"
    #: The worker's total usage so far. data: steps, input_tokens, output_tokens, cost_usd, ...
    WORKER_USED = "worker_used"
    #: An attempt has no failure so far, and its gates begin. data: attempt, gates
    GATES_STARTED = "gates_started"
    #: A run of a gate begins. data: gate, on (a worker, "base commit" or "merged result")
    GATE_RUN_STARTED = "gate_run_started"
    #: A run of a gate has ended. On the base commit, a gate may run twice; one event reports both
    #: runs. data: gate, on, seconds
    GATE_RUN_ENDED = "gate_run_ended"
    #: Result of one gate. data: attempt, gate, status, required, seconds, failures, known, ...
    GATE_ENDED = "gate_ended"
    #: Locks were acquired. data: names, lock (claim or lease), numbers of leases
    LOCK_TAKEN = "lock_taken"
    #: Locks were released. data: names, lock, by (the person who ended a lease; otherwise empty)
    LOCK_RELEASED = "lock_released"
    #: Late result of a lost attempt. data: attempt, taken, ended, record
    LATE_RESULT = "late_result"
    #: A person sent a message to the worker. data: by, id, text
    WORKER_MESSAGED = "worker_messaged"
    #: An attempt's agent has read a message. data: id, attempt
    WORKER_MESSAGE_DELIVERED = "worker_message_delivered"
    #: The worker ended before its agent read a message. data: id
    WORKER_MESSAGE_UNDELIVERED = "worker_message_undelivered"
    #: The worker has ended. data: status, reason, files_created; after a failure also its kind and
    #: strategy as in ``worker_retrying``
    WORKER_ENDED = "worker_ended"
    #: An attempt of a job's planner is about to start. data: attempt, agent
    PLANNER_STARTED = "planner_started"
    #: A plan was rejected, or its planner failed, and the planner is retried. data: as in
    #: worker_retrying
    PLANNER_RETRYING = "planner_retrying"
    #: A planner is done. data: status, reason
    PLANNER_ENDED = "planner_ended"
    #: An attempt of a task's reviewer is about to start. data: attempt, agent
    REVIEWER_STARTED = "reviewer_started"
    #: A review was rejected, or its agent failed, and the reviewer is retried. data: as in
    #: worker_retrying
    REVIEWER_RETRYING = "reviewer_retrying"
    #: A reviewer is done. data: status, reason
    REVIEWER_ENDED = "reviewer_ended"
    #: The candidates of a task were compared. The event belongs to the selected candidate. data:
    #: task_id, by, reason, order (the candidates, best first)
    CANDIDATE_CHOSEN = "candidate_chosen"


#: Events of planners that replace events of workers, by the replaced event.
OF_PLANNER: Mapping[EventKind, EventKind] = {
    EventKind.WORKER_STARTED: EventKind.PLANNER_STARTED,
    EventKind.WORKER_RETRYING: EventKind.PLANNER_RETRYING,
    EventKind.WORKER_ENDED: EventKind.PLANNER_ENDED,
}
#: Events of reviewers that replace events of workers, by the replaced event.
OF_REVIEWER: Mapping[EventKind, EventKind] = {
    EventKind.WORKER_STARTED: EventKind.REVIEWER_STARTED,
    EventKind.WORKER_RETRYING: EventKind.REVIEWER_RETRYING,
    EventKind.WORKER_ENDED: EventKind.REVIEWER_ENDED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event. ``seq`` counts from 1 within a root job, without gaps."""

    root_id: str
    seq: int
    job_id: str
    kind: EventKind
    at: float
    worker_id: str | None = None
    data: Mapping[str, object] = field(default_factory=dict)
