"""Feedback: a person's comments on the changes of a worker. Frozen values."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from orchestrator.core.lazy_dataclass import dataclass

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
    #: The head of the worker's branch when the comments were sent.
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
