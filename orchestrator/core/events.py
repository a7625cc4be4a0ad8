"""Events: typed facts about jobs and workers, stored in order.

Streams, reports, and metrics are built from events.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.core.lazy_dataclass import dataclass


class Key(NamedTuple):
    """One key of the data of an event."""

    name: str
    #: The Python type of the value: str, list[str], float | None, ...
    type: Any
    meaning: str
    #: True if every event of the kind has the key.
    always: bool = True


_BY = Key("by", str, "name of the caller's API key")
_BY_OR_CAUSE = Key("by", str, "name of the caller's API key; without a caller, the cause as text")
_STOPPED_BY = Key(
    "by", str, "the cause as text: a caller such as `key 'alice'`, a worker, or a limit"
)
_ATTEMPT = Key("attempt", int, "number of the attempt, from 1")
_AGENT = Key("agent", str, "name of the agent")
_TASK = Key("task_id", str, "id of the task")
_RUN = Key("run", int, "number of the job's run; the first run has the number 1")
_GATE = Key("gate", str, "name of the gate")
_ON = Key("on", str, "`base commit`, `merged result`, or the id of a worker")
_LOCKS = Key("names", list[str], "names of the locks")
_LOCK = Key("lock", str, "`claim` (of a task) or `lease` (of a running attempt)")
_MESSAGE = Key("id", str, "id of the message, a UUID")
_LANDING = (
    _BY,
    Key("branch", str, "the branch of the user"),
    Key("commit", str, "the branch's commit after the landing"),
    Key("before", str, "the branch's commit before the landing"),
)


def _failure(strategy: str, reason: str, checkpoint: str) -> tuple[Key, ...]:
    """Return the keys of an event about a failed attempt.

    If the failure was classified, the event has all of these keys; otherwise none. Each argument
    is the description of the key of the same name; ``reason``: of ``strategy_reason``.
    """
    kinds = "`transient`, `corrupted_state`, `logic_error`, or `unknown`"
    return (
        Key("failure_kind", str, kinds, False),
        Key("strategy", str, strategy, False),
        Key("strategy_reason", str, reason, False),
        Key("confidence", float, "how certain `failure_kind` and `strategy` are, 0 to 1", False),
        Key("checkpoint", str, checkpoint, False),
        Key("kept", str, "checkpoint with the attempt's changes; empty without a worktree", False),
    )


_STARTED = (
    _ATTEMPT,
    _AGENT,
    Key("node", str, "the node of a cluster on which the attempt runs", False),
)
_RETRYING = (
    Key("attempt", int, "number of the failed attempt"),
    Key("reason", str, "why the attempt failed"),
    Key("delay_seconds", float, "seconds until the retry"),
    *_failure(
        "`retry_current`, `rollback_last`, or `rollback_safe`",
        "why this strategy was selected",
        "checkpoint from which the next attempt starts; empty if it starts from the current files",
    ),
)
_ENDED = (
    Key("status", str, "the final status of the worker"),
    Key("reason", str, "why the worker has this status"),
    Key("files_created", list[str], "at most 100 paths of changed files"),
    *_failure(
        "`escalate`: no automatic retry follows",
        "why no automatic retry follows",
        "empty, because no automatic retry follows",
    ),
)


class EventKind(StrEnum):
    """The kinds of events: the name of each kind, what happened, and the keys of the data."""

    meaning: str
    keys: tuple[Key, ...]

    def __new__(cls, name: str, meaning: str, *keys: Key) -> "EventKind":
        kind = str.__new__(cls, name)
        kind._value_, kind.meaning, kind.keys = name, meaning, keys
        return kind

    JOB_SUBMITTED = (
        "job_submitted",
        "A job was accepted and stored.",
        Key("request", str, "the job's request"),
        Key("parent_worker_id", str | None, "the worker that started the child job"),
        Key("depth", int, "0 for a root job, 1 for its child jobs, ..."),
        Key("tasks", int, "number of tasks; 0 if a planner creates them"),
    )
    JOB_PLANNED = (
        "job_planned",
        "A planner has created the job's tasks.",
        Key("source", str, "name of the planning agent, or `rules`"),
        Key("tasks", int, "number of tasks"),
        Key("reason", str, "if the rules replaced a planning agent, the reason; otherwise empty"),
        Key("fallback_from", str, "the planning agent that the rules replaced", False),
    )
    JOB_APPROVED = (
        "job_approved",
        "A person has approved the job's plan.",
        _BY,
        Key("comment", str, "comment of the person", False),
    )
    PLAN_EDITED = (
        "plan_edited",
        "A person has edited the job's plan.",
        _BY,
        Key("version", int, "the new version of the plan"),
        Key("tasks", int, "number of tasks"),
    )
    JOB_STARTED = "job_started", "The first worker of a job is about to start."
    JOB_CANCEL_REQUESTED = "job_cancel_requested", "The job is being stopped.", _STOPPED_BY
    JOB_PAUSED = (
        "job_paused",
        "Nothing new starts in the job until it resumes.",
        _BY_OR_CAUSE,
        Key("running", str, "what running workers do: `finish` or `stop`"),
    )
    JOB_RESUMED = "job_resumed", "A paused job continues.", _BY_OR_CAUSE
    JOB_RETRIED = (
        "job_retried",
        "An ended job runs its unsuccessful tasks again, or workers that resolve conflicts. The "
        "event `job_reopened` follows.",
        _BY,
        Key(
            "workers",
            int,
            "number of workers that run again; 0 if workers resolve conflicts, because these "
            "workers are selected later",
        ),
        _RUN,
    )
    LIMIT_ASKED = (
        "limit_asked",
        "The job has reached a limit, is paused, and asks a person.",
        Key("limit", str, "name of the limit: `max_cost_usd`, `max_wall_seconds`, ..."),
        Key("reason", str, "the limit and its value, as text"),
        Key("until", float, "time at which the job is stopped, in seconds since 1970"),
    )
    BUDGET_RAISED = (
        "budget_raised",
        "A person raised limits of the job.",
        _BY,
        Key("max_steps", int, "the new limit, if it was raised", False),
        Key("max_tokens", int, "the new limit, if it was raised", False),
        Key("max_cost_usd", float, "the new limit in USD, if it was raised", False),
        Key("max_wall_seconds", float, "the new limit in seconds, if it was raised", False),
    )
    QUESTION_ASKED = (
        "question_asked",
        "A task waits for a person.",
        _TASK,
        Key("question", str, "text of the question"),
        Key(
            "due_at",
            float | None,
            "time at which the question is answered automatically if no person has answered, in "
            "seconds since 1970; null: never",
        ),
    )
    QUESTION_ANSWERED = (
        "question_answered",
        "A person, or the timeout, has answered the question.",
        _TASK,
        Key("answer", str, "`approve` or `reject`"),
        Key(
            "by",
            str,
            "name of the API key of the person who answered; empty if the timeout answered",
        ),
        Key("comment", str, "comment of the person; possibly empty"),
    )
    JOB_REOPENED = (
        "job_reopened",
        "An ended job runs again, because of a retry, feedback, or `merge --resolve`.",
        _BY,
        _RUN,
    )
    AGENT_PASSED_OVER = (
        "agent_passed_over",
        "Agent fallback of a job or of one worker: the login of the best agent failed, so the "
        "next-best agent runs the tasks for which the user named no agent.",
        Key("agent", str, "the agent whose login failed"),
        Key("instead", str, "the agent that runs the tasks"),
        Key("reason", str, "why the login failed"),
    )
    CHILD_JOB_REFUSED = (
        "child_job_refused",
        "A worker's child job was rejected, because of a limit or a cycle.",
        Key("limit", str, "kind of the error: `limit-depth`, `limit-workers`, `cycle`, ..."),
        Key("detail", str, "the error's message"),
        Key("request", str, "the start of the child job's request"),
        Key("number", int, "number of the worker's rejected child jobs so far"),
    )
    JOB_ENDED = (
        "job_ended",
        "All workers have ended, and the reports are written.",
        Key("status", str, "the final status of the job"),
        Key("reason", str, "why the job has this status"),
    )
    JOB_LANDED = "job_landed", "The job's result was merged into a branch of the user.", *_LANDING
    LANDING_UNDONE = (
        "landing_undone",
        "The landing was undone: the branch was reset to its commit before the landing.",
        *_LANDING,
    )
    WORKER_STARTED = "worker_started", "An attempt is about to start.", *_STARTED
    WORKER_WAITING = (
        "worker_waiting",
        "The worker has released its slot, and waits for its child jobs or for locks.",
        Key("child_job_ids", list[str], "ids of the child jobs; empty for locks"),
        Key("locks", list[str], "names of the locks", False),
        Key("reason", str, "why the worker waits for the locks", False),
    )
    WORKER_RESUMED = "worker_resumed", "The worker has its slot again."
    WORKER_RETRYING = "worker_retrying", "An attempt failed and a retry follows.", *_RETRYING
    WORKER_SENT_BACK = (
        "worker_sent_back",
        "Merge rejection: the worker's changes conflict with other workers' changes, or the gates "
        "fail on the merged result.",
        Key("attempt", int, "number of the rejected attempt"),
        Key("reason", str, "why the changes were rejected"),
        Key("status", str, "`pending` if the worker is retried; otherwise `failed`"),
    )
    FEEDBACK_GIVEN = (
        "feedback_given",
        "A person commented on the worker's change, so another attempt follows.",
        _BY,
        Key("comments", int, "number of comments on lines"),
        Key("attempt", int, "number of the attempt that begins with the comments"),
        Key("commit", str, "the commit on which the person commented"),
        Key(
            "landed",
            list[str],
            "branches of the user that contain a result from before the feedback",
        ),
    )
    WORKER_CANCEL_REQUESTED = (
        "worker_cancel_requested",
        "A caller requested the end of one worker; its job continues.",
        Key("by", str, "the caller as text, such as `key 'alice'`"),
    )
    WORKER_ROLLED_BACK = (
        "worker_rolled_back",
        "A person rolled the worker's branch back to a checkpoint.",
        _BY,
        Key("attempt", int, "the worker's latest attempt"),
        Key("checkpoint", str, "name of the checkpoint"),
        Key("commit", str, "commit of the checkpoint"),
        Key("kept", str, "checkpoint with the state before the rollback"),
    )
    WORKER_USED = (
        "worker_used",
        "The worker's total usage so far. Unknown figures are null.",
        Key("steps", int | None, "number of calls of a model"),
        Key("input_tokens", int | None, "tokens of input, except tokens of a cache"),
        Key("output_tokens", int | None, "tokens of output"),
        Key("cache_read_tokens", int | None, "tokens that were read from a cache"),
        Key("cache_write_tokens", int | None, "tokens that were written into a cache"),
        Key("cost_usd", float | None, "cost in USD"),
        Key("cost_estimated", bool, "true if the cost was computed from a price table"),
        Key("partial", bool, "true if the figures are lower bounds"),
    )
    GATES_STARTED = (
        "gates_started",
        "The gates of an attempt begin. The event is omitted if the attempt has already failed, or "
        "changed no file that a gate checks.",
        _ATTEMPT,
        Key("gates", list[str], "names of the gates that apply to the changed files"),
    )
    GATE_RUN_STARTED = "gate_run_started", "A run of a gate begins.", _GATE, _ON
    GATE_RUN_ENDED = (
        "gate_run_ended",
        "A run of a gate has ended. If a gate runs twice on the base commit to confirm its "
        "findings, one event reports both runs.",
        _GATE,
        _ON,
        Key("seconds", float, "duration in seconds"),
    )
    GATE_ENDED = (
        "gate_ended",
        "The result of a gate for an attempt is known.",
        _ATTEMPT,
        _GATE,
        Key(
            "status",
            str,
            "`passed`, `failed`, `known` (pre-existing), `skipped` (did not run; does not block), "
            "or `broken` (did not run; blocks if required)",
        ),
        Key("outcome", str, "`passed`, `failed`, or `did_not_run`"),
        Key("cause", str | None, "why the gate did not run: `no_tests`, ..."),
        Key("required", bool, "true if the gate can reject the change"),
        Key("seconds", float, "duration in seconds"),
        Key("failures", list[str], "the first 10 findings that are not in the baseline"),
        Key("known", int, "number of findings that are also in the baseline"),
        Key(
            "note",
            str,
            "why the gate did not run, or that the change modifies the gate; possibly empty",
        ),
        Key("log", str, "path of the output, below the root job's directory"),
    )
    LOCK_TAKEN = (
        "lock_taken",
        "Locks were acquired.",
        _LOCKS,
        _LOCK,
        Key("numbers", list[int], "numbers of the leases", False),
    )
    LOCK_RELEASED = (
        "lock_released",
        "Locks were released.",
        _LOCKS,
        _LOCK,
        Key(
            "by",
            str,
            "if a person ended the lease: name of the person's API key; otherwise empty",
            False,
        ),
    )
    LATE_RESULT = (
        "late_result",
        "The result of a lost attempt has arrived.",
        _ATTEMPT,
        Key("taken", bool, "true if the result is used"),
        Key("ended", str, "how the attempt ended"),
        Key("record", str, "path of the attempt's exit record"),
    )
    WORKER_MESSAGED = (
        "worker_messaged",
        "A person sent a message to the worker.",
        _BY,
        _MESSAGE,
        Key("text", str, "text of the message"),
    )
    WORKER_MESSAGE_DELIVERED = (
        "worker_message_delivered",
        "An attempt's agent has read a message.",
        _MESSAGE,
        _ATTEMPT,
    )
    WORKER_MESSAGE_UNDELIVERED = (
        "worker_message_undelivered",
        "The worker ended before its agent read a message.",
        _MESSAGE,
    )
    WORKER_ENDED = "worker_ended", "The worker has ended.", *_ENDED
    PLANNER_STARTED = (
        "planner_started",
        "An attempt of a job's planner is about to start.",
        *_STARTED,
    )
    PLANNER_RETRYING = (
        "planner_retrying",
        "A plan was rejected, or its planner failed, and the planner is retried.",
        *_RETRYING,
    )
    PLANNER_ENDED = "planner_ended", "A planner has ended.", *_ENDED
    REVIEWER_STARTED = (
        "reviewer_started",
        "An attempt of a reviewer is about to start.",
        *_STARTED,
    )
    REVIEWER_RETRYING = (
        "reviewer_retrying",
        "A review was rejected, or its agent failed, and the reviewer is retried.",
        *_RETRYING,
    )
    REVIEWER_ENDED = "reviewer_ended", "A reviewer has ended.", *_ENDED
    CANDIDATE_CHOSEN = (
        "candidate_chosen",
        "The candidates of a task were compared. The event belongs to the selected candidate.",
        _TASK,
        Key("by", str, "the deciding criterion: `gates`, `review`, `person`, ..."),
        Key("reason", str, "why this candidate was selected"),
        Key("order", list[str], "ids of the candidates, best first"),
    )


#: Key: kind of a worker's event. Value: kind of the same event of a planner.
OF_PLANNER: Mapping[EventKind, EventKind] = {
    EventKind.WORKER_STARTED: EventKind.PLANNER_STARTED,
    EventKind.WORKER_RETRYING: EventKind.PLANNER_RETRYING,
    EventKind.WORKER_ENDED: EventKind.PLANNER_ENDED,
}
#: Key: kind of a worker's event. Value: kind of the same event of a reviewer.
OF_REVIEWER: Mapping[EventKind, EventKind] = {
    EventKind.WORKER_STARTED: EventKind.REVIEWER_STARTED,
    EventKind.WORKER_RETRYING: EventKind.REVIEWER_RETRYING,
    EventKind.WORKER_ENDED: EventKind.REVIEWER_ENDED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event. ``seq`` counts from 1 within a root job, without gaps.

    ``data`` has the keys that the kind declares. Events of earlier versions may lack some keys.
    """

    root_id: str
    seq: int
    job_id: str
    kind: EventKind
    at: float
    worker_id: str | None = None
    data: Mapping[str, object] = field(default_factory=dict)
