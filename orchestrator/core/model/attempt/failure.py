"""What is made of the failure of an attempt, and what the next attempt begins with."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

#: The checkpoint that a worker began with.
START = "start"


def before(attempt: int) -> str:
    """Name of the checkpoint that was made when an attempt was about to begin."""
    return f"{attempt}-before"


def after(attempt: int) -> str:
    """Name of the checkpoint that was made when an attempt was over."""
    return f"{attempt}-after"


#: Causes of failures, and names of their rows in ``core.outcome.attempt_outcome``.
#: The worker was to change files and changed none, or reported that it did not do the work.
NO_CHANGES = "no_changes"
#: It changed no file and waits for an answer that does not come.
ASKED = "asked"
#: A gate blocks its work.
GATES = "gates"

#: It succeeded, and what it changed cannot be merged: the kind of failure of its next attempt.
SENT_BACK = "sent back"
#: In place of the fingerprint of a failure: another agent carries on.
HANDED_ON = "handed on"
#: Its tool's program could not be started.
NOT_STARTED = "tool not started"


class FailureKind(StrEnum):
    #: It has to do with the moment: a rate limit, a lost process, a time limit.
    TRANSIENT = "transient"
    #: What the attempt left cannot be built on: a broken worktree, half-written files.
    CORRUPTED_STATE = "corrupted_state"
    #: Its work is wrong, or it would fail in the same way again.
    LOGIC_ERROR = "logic_error"
    UNKNOWN = "unknown"

    @property
    def words(self) -> str:
        return _KINDS[self]


_KINDS = {
    FailureKind.TRANSIENT: "a transient failure",
    FailureKind.CORRUPTED_STATE: "corrupted state",
    FailureKind.LOGIC_ERROR: "a logic error",
    FailureKind.UNKNOWN: "an unknown failure",
}


class RetryStrategy(StrEnum):
    #: The next attempt goes on with what this one left.
    RETRY_CURRENT = "retry_current"
    #: Back to the checkpoint before this attempt.
    ROLLBACK_LAST = "rollback_last"
    #: Back to the last checkpoint known to be good: its gates passed; else the worker's start.
    ROLLBACK_SAFE = "rollback_safe"
    #: No further attempt by itself: whoever asked for the work is told.
    ESCALATE = "escalate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollback:
    """Somebody had a worker's branch go back to a checkpoint."""

    at: float
    by: str
    #: The worker's latest one then.
    attempt: int
    checkpoint: str
    commit: str
    #: The checkpoint that keeps what was there before.
    kept: str

    def told(self) -> Mapping[str, object]:
        """For events."""
        return {
            "by": self.by,
            "attempt": self.attempt,
            "checkpoint": self.checkpoint,
            "commit": self.commit,
            "kept": self.kept,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One failed attempt, classified. Stored before anything is done about it."""

    attempt: int
    kind: FailureKind
    strategy: RetryStrategy
    #: Why this strategy, in words.
    reason: str
    #: From 0 to 1.
    confidence: float
    #: The checks that stood in the way, by name.
    gates: tuple[str, ...] = ()
    #: Which row of the table it was: equal for failures that are alike.
    cause: str = ""
    #: The checkpoint that the next attempt begins with; empty: with what this one left.
    checkpoint: str = ""
    #: The checkpoint that keeps what this attempt left; empty without a worktree.
    kept: str = ""
    #: The next attempt lacks changes that this one left: only ``kept`` has them.
    undone: bool = False

    def told(self) -> Mapping[str, object]:
        """For events."""
        return {
            "failure_kind": str(self.kind),
            "strategy": str(self.strategy),
            "strategy_reason": self.reason,
            "confidence": self.confidence,
            "checkpoint": self.checkpoint,
            "kept": self.kept,
        }
