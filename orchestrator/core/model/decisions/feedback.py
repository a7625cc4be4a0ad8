"""Feedback: a person's comments on a worker's change, for one more attempt on its branch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

#: Most rounds of feedback that are stored with a worker.
MOST_ROUNDS = 20


class Side(StrEnum):
    """The side of a diff that a comment is on."""

    #: The worker's change.
    NEW = "new"
    #: The commit from which the worker started.
    OLD = "old"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comment:
    """A comment on lines of one file."""

    path: str
    line: int
    #: The last line; equal to ``line`` for one line.
    end_line: int
    text: str
    side: Side = Side.NEW
    #: The lines themselves, shortened if they are long.
    code: str = ""

    @property
    def place(self) -> str:
        """The path with its lines, for people."""
        lines = f"{self.line}" if self.end_line == self.line else f"{self.line}-{self.end_line}"
        return f"{self.path}:{lines}{' (before the change)' if self.side is Side.OLD else ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Feedback:
    """Comments that a person sent back at one time."""

    at: float
    by: str
    #: The attempt that they begin.
    attempt: int
    #: The commit that the person looked at.
    commit: str
    comments: tuple[Comment, ...] = ()
    summary: str = ""
    #: The attempt that answered them: the first that succeeded since. 0: none yet.
    answered_by: int = 0
    #: The Idempotency-Key of the call and a fingerprint of its content; empty without a key.
    key: str = ""
    digest: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedbackRequest:
    """Comments as a person sends them, before the code of their lines is read."""

    comments: tuple[Comment, ...]
    summary: str
    #: The commit that the person looked at, or the beginning of its name.
    commit: str
    #: The agent for the next attempt; empty: the worker's.
    agent: str = ""
    #: The Idempotency-Key of the call; empty: none.
    key: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedbackGiven:
    """Stored feedback, and the attempt that follows."""

    job_id: str
    worker_id: str
    attempt: int
    run: int
    #: Branches of the user that have the result from before.
    landed: tuple[str, ...] = ()
    #: True if a call with the same Idempotency-Key had stored it.
    duplicate: bool = False


def answered(rounds: Sequence[Feedback], attempt: int) -> tuple[Feedback, ...]:
    """Return the rounds after a successful attempt, which answered all open rounds."""
    return tuple(
        each if each.answered_by else replace(each, answered_by=attempt) for each in rounds
    )


def open_rounds(rounds: Sequence[Feedback]) -> tuple[Feedback, ...]:
    """Return the rounds that no successful attempt has answered."""
    return tuple(each for each in rounds if not each.answered_by)
