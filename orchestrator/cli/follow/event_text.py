"""Converts events of a job to lines of text."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import duration, first_line, moment
from orchestrator.core.events import EventKind
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.text.formatting import plural

REASON_CHARACTERS = 160
NAME_CHARACTERS = 80
#: Minimum duration of a gate's run on the base commit or on the merged result, in seconds. The end
#: of a shorter run gets no line.
LEAST_SHOWN_SECONDS = 1.0

Event = Mapping[str, Any]
Facts = Mapping[str, Any]


class EarlierFacts(Protocol):
    """Facts from earlier events. The text of a later event may need such facts."""

    @property
    def started_at(self) -> Mapping[str, float]: ...

    def resumed_because(self, worker: str) -> str: ...


def line_of(event: Event, progress: EarlierFacts) -> str | None:
    """Return the text of an event in one line; None if the user need not see the event.

    ``progress``: facts from the events before this event.
    """
    kind, facts = str(event["kind"]), event.get("data") or {}
    worker = str(event.get("worker_id") or "")
    if kind == EventKind.JOB_SUBMITTED:
        return _child_job(str(event["job_id"]), facts)
    subject = indent(worker) + worker if worker else f"job {event['job_id']}"
    if kind in (EventKind.GATE_RUN_STARTED, EventKind.GATE_RUN_ENDED, EventKind.GATE_ENDED):
        return _gate_line(kind, subject if worker else "", worker, facts)
    if kind == EventKind.WORKER_RESUMED:
        return f"{subject} resumed{progress.resumed_because(worker)}"
    if kind == EventKind.WORKER_ENDED:
        return _ended(subject, facts, moment(event.get("at")), progress.started_at.get(worker))
    if kind in _OF_JOBS:
        subject = f"job {event['job_id']}"
    text_of = _TEXTS.get(kind)
    return text_of(subject, facts) if text_of else None


def _paused(subject: str, facts: Facts) -> str:
    by = str(facts.get("by"))
    if by.startswith("max_"):
        return f"{subject} paused by {by}"  # a limit, with its value
    job = subject.removeprefix("job ")
    return f"{subject} paused by key {by!r}; show how to resume: {COMMAND} status {job}"


def _child_job(job: str, facts: Facts) -> str | None:
    worker = str(facts.get("parent_worker_id") or "")
    if not worker:
        return None
    request = first_line(facts.get("request"), NAME_CHARACTERS)
    return f"{indent(worker)}{worker} started child job {job}: {request}"


def _started(subject: str, facts: Facts) -> str:
    attempt = int(facts.get("attempt") or 1)
    attempt_text = f", attempt {attempt}" if attempt > 1 else ""
    return f"{subject} started ({facts.get('agent') or ''}{attempt_text})"


def _waiting(subject: str, facts: Facts) -> str:
    return f"{subject} waiting for {awaited(facts)}; slot released"


def _sent_back(subject: str, facts: Facts) -> str:
    is_retried = str(facts.get("status") or "pending") == "pending"
    return f"{subject} not merged{because(facts)}{'; retrying on the merged result' * is_retried}"


def _retrying(subject: str, facts: Facts) -> str:
    attempt, delay = facts.get("attempt"), float(facts.get("delay_seconds") or 0)
    number = f"attempt {attempt} " if attempt else ""
    when = f" in {duration(delay)}" if delay else ""
    return f"{subject} {number}failed{because(facts)}; retrying{when}"


def _rolled_back(subject: str, facts: Facts) -> str:
    return f"{subject} was rolled back to {facts.get('checkpoint')} by {facts.get('by')}"


def _ended(subject: str, facts: Facts, at: float | None, began: float | None) -> str:
    status = str(facts.get("status") or "ended")
    with_jobs = status == WorkerStatus.RECURSIVE_SUCCESS
    status = WorkerStatus.SUCCESS.value if with_jobs else status
    elapsed = "" if at is None or began is None else f" after {duration(at - began)}"
    children = " (with child jobs)" if with_jobs else ""
    return f"{subject} {status}{elapsed}{children}{because(facts)}"


def _gates(subject: str, facts: Facts) -> str | None:
    gates = ", ".join(first_line(gate, NAME_CHARACTERS) for gate in facts.get("gates") or ())
    return f"{subject} running gates: {gates}" if gates else None


def _refused(subject: str, facts: Facts) -> str:
    return f"{subject}: child job rejected: {first_line(facts.get('detail'), REASON_CHARACTERS)}"


def _late(subject: str, facts: Facts) -> str:
    ended = first_line(facts.get("ended"), REASON_CHARACTERS)
    if facts.get("taken"):
        return f"{subject}: late result accepted ({ended})"
    record = first_line(facts.get("record"), REASON_CHARACTERS)
    return f"{subject}: late result not used ({ended}){f'; saved in {record}' if record else ''}"


def _passed_over(subject: str, facts: Facts) -> str:
    reason = first_line(facts.get("reason"), REASON_CHARACTERS)
    why = f" ({reason})" if reason else ""
    return f"{subject}: using {facts.get('instead')} instead of {facts.get('agent')}{why}"


def _planned(subject: str, facts: Facts) -> str:
    tasks, instead = int(facts.get("tasks") or 0), facts.get("fallback_from")
    text = f"{subject}: {plural(tasks, 'task')}, planned by {facts.get('source')}"
    return f"{text}{f' instead of {instead}' if instead else ''}{because(facts)}"


def _asked(subject: str, facts: Facts) -> str:
    question = first_line(facts.get("question"), REASON_CHARACTERS)
    text = f"{subject} asks a person: {question} (task {facts.get('task_id')})"
    return f"{text}; to answer: {COMMAND} inbox"


_DECIDED = {"approve": "approved", "reject": "rejected"}


def _answered(subject: str, facts: Facts) -> str:
    by = facts.get("by")
    comment = first_line(facts.get("comment"), REASON_CHARACTERS)
    how = f"by {by}" if by else "by its timeout"
    decision = _DECIDED.get(str(facts.get("answer")), "answered")
    return f"{subject} {decision} {how}{f': {comment}' if comment else ''}"


def _chosen(_: str, facts: Facts) -> str:
    order, task = facts.get("order") or ["?"], facts.get("task_id")
    reason = first_line(facts.get("reason"), REASON_CHARACTERS)
    prefix = f"{task}: " if task else ""
    why = f" ({reason})" if reason else ""
    return f"{prefix}{order[0]} chosen of {len(order)} candidates{why}"


def _feedback(subject: str, facts: Facts) -> str:
    count = int(facts.get("comments") or 0)
    text = plural(count, "comment") if count else "a comment"
    return f"{subject}: feedback of {facts.get('by')} ({text}); attempt {facts.get('attempt')}"


def _retried(subject: str, facts: Facts) -> str:
    number = facts.get("workers")
    tasks = plural(number, "task") if number else "tasks"
    return f"{subject}: retrying {tasks} that did not succeed"


def _messaged(subject: str, facts: Facts) -> str:
    text = first_line(facts.get("text"), REASON_CHARACTERS)
    return f"{subject}: message from {facts.get('by')}: {text}"


def _landed(subject: str, facts: Facts) -> str:
    return f"{subject}: landed on {facts.get('branch')} by {facts.get('by')}"


def _undone(subject: str, facts: Facts) -> str:
    return f"{subject}: landing on {facts.get('branch')} undone by {facts.get('by')}"


_TEXTS: Mapping[str, Callable[[str, Facts], str | None]] = {
    EventKind.WORKER_STARTED: _started,
    EventKind.WORKER_WAITING: _waiting,
    EventKind.WORKER_SENT_BACK: _sent_back,
    EventKind.WORKER_RETRYING: _retrying,
    EventKind.WORKER_ROLLED_BACK: _rolled_back,
    EventKind.FEEDBACK_GIVEN: _feedback,
    EventKind.GATES_STARTED: _gates,
    EventKind.CHILD_JOB_REFUSED: _refused,
    EventKind.LATE_RESULT: _late,
    EventKind.AGENT_PASSED_OVER: _passed_over,
    EventKind.PLANNER_STARTED: lambda subject, facts: (
        f"{subject}: {facts.get('agent')} is planning"
    ),
    EventKind.PLANNER_RETRYING: lambda subject, facts: f"{subject}: planning again{because(facts)}",
    EventKind.JOB_PLANNED: _planned,
    EventKind.REVIEWER_STARTED: lambda subject, facts: (
        f"{subject}: {facts.get('agent')} is reviewing the candidates of a task"
    ),
    EventKind.CANDIDATE_CHOSEN: _chosen,
    EventKind.JOB_APPROVED: lambda subject, _: f"{subject} was approved",
    EventKind.PLAN_EDITED: lambda subject, facts: (
        f"{subject}: the plan was edited by key {facts.get('by')!r}"
    ),
    EventKind.JOB_PAUSED: _paused,
    EventKind.JOB_RESUMED: lambda subject, facts: f"{subject} resumed by key {facts.get('by')!r}",
    EventKind.LIMIT_ASKED: lambda subject, facts: (
        f"{subject} paused: {facts.get('reason')} reached; to raise the limit: {COMMAND} inbox"
    ),
    EventKind.BUDGET_RAISED: lambda subject, facts: (
        f"{subject}: limits raised by key {facts.get('by')!r}"
    ),
    EventKind.QUESTION_ASKED: _asked,
    EventKind.QUESTION_ANSWERED: _answered,
    EventKind.JOB_CANCEL_REQUESTED: lambda subject, _: f"stopping {subject} ...",
    EventKind.WORKER_CANCEL_REQUESTED: lambda subject, _: f"stopping {subject} ...",
    EventKind.JOB_RETRIED: _retried,
    EventKind.WORKER_MESSAGED: _messaged,
    EventKind.WORKER_MESSAGE_DELIVERED: lambda subject, _: f"{subject} has read a message",
    EventKind.WORKER_MESSAGE_UNDELIVERED: lambda subject, _: (
        f"{subject} ended before it read its message"
    ),
    EventKind.JOB_LANDED: _landed,
    EventKind.LANDING_UNDONE: _undone,
}
#: Events of jobs. If such an event has a worker, the worker is the planner or the reviewer.
_OF_JOBS = (EventKind.PLANNER_STARTED, EventKind.PLANNER_RETRYING, EventKind.REVIEWER_STARTED)


def indent(worker_id: str) -> str:
    """Return the blanks before a worker's line: none for ``worker_2``, two for ``worker_2_1``."""
    return "  " * max(0, worker_id.count("_") - 1)


def _gate_line(kind: str, subject: str, worker: str, facts: Facts) -> str | None:
    """Return the line of a gate's event: ``worker_1: running gate tests on the base commit``.

    Return None if the event gets no line. ``facts``: the event's data.
    """
    prefix, name = f"{subject}: " if subject else "", first_line(facts.get("gate"), NAME_CHARACTERS)
    if kind == EventKind.GATE_ENDED:
        return _gate_ended(f"{prefix}gate {name}", facts)
    # No line for the start and end of a worker's own gates: the line of gates_started lists the
    # gates, and the line of each outcome has the duration.
    if worker and facts.get("on") == worker:
        return None
    on = first_line(facts.get("on"), NAME_CHARACTERS)
    if kind == EventKind.GATE_RUN_STARTED:
        return f"{prefix}running gate {name} on the {on}"
    seconds = float(facts.get("seconds") or 0)
    is_shown = seconds >= LEAST_SHOWN_SECONDS
    return f"{prefix}gate {name} on the {on} ended after {duration(seconds)}" if is_shown else None


def _gate_ended(gate: str, facts: Facts) -> str | None:
    if facts.get("cause") == "nothing_changed":
        return None
    outcome = str(facts.get("outcome") or facts.get("status")).replace("_", " ")
    seconds = float(facts.get("seconds") or 0)
    elapsed = f" after {duration(seconds)}" if seconds else ""
    failures = "; ".join(map(str, facts.get("failures") or ()))
    why = first_line(
        failures or (outcome != "passed" and facts.get("note")) or "", REASON_CHARACTERS
    )
    return f"{gate} {outcome}{elapsed}{f': {why}' if why else ''}"


def awaited(facts: Facts) -> str:
    jobs, locks = (
        ", ".join(first_line(each, NAME_CHARACTERS) for each in facts.get(kind) or ())
        for kind in ("child_job_ids", "locks")
    )
    parts = (f"child job {jobs}" if jobs else "", f"lock {locks}" if locks else "")
    return " and ".join(filter(None, parts)) or "child jobs"


def because(facts: Facts) -> str:
    reason = first_line(facts.get("reason"), REASON_CHARACTERS)
    return f": {reason}" if reason else ""
