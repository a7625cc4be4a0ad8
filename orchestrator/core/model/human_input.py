"""What people send to jobs: messages, feedback, pauses, and answers to questions. Frozen values."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from enum import StrEnum

from orchestrator.core.lazy_dataclass import dataclass

#: Kind of the error if a worker cannot receive a message.
CANNOT_MESSAGE = "cannot-message"
#: Maximum number of messages to one worker.
MOST_MESSAGES = 100
#: Maximum number of characters of a message.
MOST_CHARACTERS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerMessage:
    #: A UUID.
    id: str
    at: float
    by: str
    text: str
    #: The latest attempt whose agent has read the message; 0: no agent has read it.
    attempt: int = 0
    #: Time at which an agent first read the message; None if no agent has read it.
    delivered_at: float | None = None


def mark_delivered(
    messages: Sequence[WorkerMessage], ids: Collection[str], attempt: int, now: float
) -> tuple[WorkerMessage, ...]:
    """Return all messages. Messages with an id in ``ids`` are marked as read in ``attempt``."""
    return tuple(
        replace(each, attempt=attempt, delivered_at=each.delivered_at or now)
        if each.id in ids
        else each
        for each in messages
    )


def undelivered(messages: Sequence[WorkerMessage]) -> tuple[WorkerMessage, ...]:
    return tuple(each for each in messages if each.delivered_at is None)


#: Parts of the name of a message's file in the control directory of an attempt. The suffix shows
#: whether the message is new, or was read by the agent.
FILE_PREFIX, NEW_SUFFIX, READ_SUFFIX = "message-", ".json", ".read"


def message_file_name(message_id: str) -> str:
    return f"{FILE_PREFIX}{message_id}{NEW_SUFFIX}"


def message_document(message: WorkerMessage) -> str:
    return json.dumps(asdict(message))


#: Maximum number of rounds of feedback that are stored with a worker.
MOST_ROUNDS = 20


class Side(StrEnum):
    """The side of a diff that a comment is on."""

    #: The worker's change.
    NEW = "new"
    #: The commit from which the worker started.
    OLD = "old"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comment:
    path: str
    line: int
    #: The last line; equal to ``line`` for a comment on one line.
    end_line: int
    text: str
    side: Side = Side.NEW
    #: Text of the commented lines, shortened if it is long.
    code: str = ""

    @property
    def place(self) -> str:
        lines = f"{self.line}" if self.end_line == self.line else f"{self.line}-{self.end_line}"
        return f"{self.path}:{lines}{' (before the change)' if self.side is Side.OLD else ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Feedback:
    at: float
    by: str
    #: The attempt that begins with these comments.
    attempt: int
    #: The commit whose diff the person commented on.
    commit: str
    comments: tuple[Comment, ...] = ()
    summary: str = ""
    #: The attempt that answered the comments: the first successful attempt since they were sent; 0
    #: if no attempt has succeeded since then.
    answered_by: int = 0
    #: The Idempotency-Key of the call and a fingerprint of its content; empty without a key.
    key: str = ""
    digest: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedbackRequest:
    """A person's comments, before the server adds the code of the commented lines."""

    comments: tuple[Comment, ...]
    summary: str
    #: The commit whose diff the person commented on, or the beginning of the commit's id.
    commit: str
    #: The agent for the next attempt; empty: the worker's agent.
    agent: str = ""
    #: The Idempotency-Key of the call; empty: none.
    key: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedbackGiven:
    job_id: str
    worker_id: str
    attempt: int
    run: int
    #: Branches of the user that contain the result from before the feedback.
    landed: tuple[str, ...] = ()
    #: True if an earlier call with the same Idempotency-Key had stored the feedback.
    duplicate: bool = False


def mark_answered(rounds: Sequence[Feedback], attempt: int) -> tuple[Feedback, ...]:
    """Return all rounds of feedback. Each unanswered round is marked as answered by ``attempt``.

    ``attempt``: number of an attempt that succeeded.
    """
    return tuple(
        each if each.answered_by else replace(each, answered_by=attempt) for each in rounds
    )


def open_rounds(rounds: Sequence[Feedback]) -> tuple[Feedback, ...]:
    """Return the rounds of feedback that no successful attempt has answered."""
    return tuple(each for each in rounds if not each.answered_by)


class RunningMode(StrEnum):
    """What a pause does with running attempts."""

    #: Running attempts continue to their end.
    FINISH = "finish"
    #: Running attempts are stopped. After the pause, they run again without using a retry.
    STOP = "stop"


class PauseCause(StrEnum):
    """Why a job is paused. The cause decides how the job resumes."""

    #: A person paused the job or an ancestor job.
    PERSON = "person"
    #: A person paused all jobs.
    EVERYTHING = "everything"
    #: The job or an ancestor job reached a limit, and asks a person (``on_limit: ask``).
    LIMIT = "limit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """The pause of one job or of all jobs."""

    #: Time at which the pause stopped the job's wall time.
    at: float
    #: The caller who paused the job, or the limit that was reached, for people.
    by: str
    running: RunningMode = RunningMode.FINISH
    cause: PauseCause = PauseCause.PERSON
    #: The job that was paused: this job or an ancestor job; empty if all jobs were paused.
    job_id: str = ""
    #: The limit that was reached, such as ``max_cost_usd``; empty for other causes.
    limit: str = ""
    #: Time at which the job is stopped if no person raises the limit before; None without a limit.
    until: float | None = None

    def asks(self, job_id: str) -> bool:
        """True if the job ``job_id`` itself reached its limit, and waits for a person."""
        return self.cause is PauseCause.LIMIT and self.job_id == job_id

    @property
    def stops(self) -> bool:
        return self.running is RunningMode.STOP


#: Used in place of an agent's name: a person answers the task's question.
PERSON = "person"


class Decision(StrEnum):
    """An answer to a question, from a person or from a timeout (``on_timeout``)."""

    APPROVE = "approve"
    REJECT = "reject"


#: The words for the decisions in ``Question.outcome``.
DECIDED = {Decision.APPROVE: "approved", Decision.REJECT: "rejected"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    asked_at: float
    #: The question; empty for questions of earlier versions.
    text: str = ""
    #: Time at which the timeout decides; None: never.
    due_at: float | None = None
    #: Start of the wait for the answer: the time of the question, or the end of the latest pause.
    #: From then on, time in which the job only waits for the answer is no wall time.
    counted_from: float = 0.0
    #: None while the question is open.
    decision: Decision | None = None
    #: Name of the caller's key; empty if the timeout decided.
    by: str = ""
    comment: str = ""
    answered_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self.decision is None

    @property
    def outcome(self) -> str:
        """The answer, such as "approved by key alice: go ahead"; "" if the question is open."""
        if self.decision is None:
            return ""
        decided_by = f" by key {self.by}" if self.by else ", because no answer came in time"
        return f"{DECIDED[self.decision]}{decided_by}{f': {self.comment}' if self.comment else ''}"
