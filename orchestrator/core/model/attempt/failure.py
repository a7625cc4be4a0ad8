"""Classified failures of attempts, and the state in which the next attempt starts."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import zip_longest

from orchestrator.core.lazy_dataclass import dataclass

#: Name of the checkpoint of a worker's start.
START = "start"


def before(attempt: int) -> str:
    """Return the name of the checkpoint before an attempt."""
    return f"{attempt}-before"


def after(attempt: int) -> str:
    """Return the name of the checkpoint after an attempt."""
    return f"{attempt}-after"


# Causes of failures. NO_CHANGES, ASKED, GATES, LOGIN, CREDIT, and NOT_STARTED are names of rows in
# ``core.outcome.failure_rules``.

#: The worker had to change files, but changed none, or reported that it did not do the work.
NO_CHANGES = "no_changes"
#: The worker changed no file, because it waits for an answer that no person will give.
ASKED = "asked"
#: A gate blocks the worker's changes.
GATES = "gates"
#: The login of the worker's agent failed.
LOGIN = "login"
#: The account of the worker's agent has no credit.
CREDIT = "credit"

#: Merge rejection: the attempt succeeded, but its changes cannot be merged.
SENT_BACK = "sent back"
#: A person commented on the change of an ended worker, so another attempt follows.
FEEDBACK = "feedback"
#: Fingerprint that replaces the failure of a worker when the worker continues with another agent or
#: on another machine. No real failure has this fingerprint, so the next failure does not count as a
#: repetition.
HANDED_ON = "handed on"
#: The tool's program could not be started.
NOT_STARTED = "tool not started"


class FailureKind(StrEnum):
    #: A temporary cause: a rate limit, a lost process, a timeout.
    TRANSIENT = "transient"
    #: The worktree is broken, or its files are incomplete. No attempt can continue from its state.
    CORRUPTED_STATE = "corrupted_state"
    #: The worker's changes are wrong, or a retry would fail in the same way.
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
    #: The next attempt continues from the state of this attempt.
    RETRY_CURRENT = "retry_current"
    #: Roll back to the checkpoint before this attempt.
    ROLLBACK_LAST = "rollback_last"
    #: Roll back to the last good checkpoint (``WorkerResult.good``). If there is none, roll back to
    #: the worker's start.
    ROLLBACK_SAFE = "rollback_safe"
    #: No automatic attempt follows, and the caller is notified. A person may request another
    #: attempt.
    ESCALATE = "escalate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollback:
    """A person's rollback of a worker to a checkpoint."""

    at: float
    by: str
    #: The worker's latest attempt at the time of the rollback.
    attempt: int
    checkpoint: str
    commit: str
    #: The checkpoint with the state before the rollback.
    kept: str

    def payload(self) -> Mapping[str, object]:
        return {
            "by": self.by,
            "attempt": self.attempt,
            "checkpoint": self.checkpoint,
            "commit": self.commit,
            "kept": self.kept,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Classified failure of one attempt. The server stores it before any rollback or retry."""

    attempt: int
    kind: FailureKind
    strategy: RetryStrategy
    #: Why this strategy was selected, as text.
    reason: str
    #: How certain kind and strategy are, from 0 to 1: a fixed value of the row ``cause``, for each
    #: strategy.
    confidence: float
    #: The names of the gates that failed.
    gates: tuple[str, ...] = ()
    #: Paths of the logs of ``gates`` in the same order, below the root job's directory; "": no log.
    #: Empty in failures that earlier releases stored.
    gate_logs: tuple[str, ...] = ()
    #: Name of a row in ``core.outcome.failure_rules``. Similar failures have the same row.
    cause: str = ""
    #: The checkpoint from which the next attempt starts; empty: from this attempt's state.
    checkpoint: str = ""
    #: The checkpoint with this attempt's changes; empty without a worktree.
    kept: str = ""
    #: True if the next attempt starts without the changes of this attempt. The changes are then
    #: only in the checkpoint ``kept``.
    undone: bool = False

    @property
    def rejections(self) -> tuple[tuple[str, str], ...]:
        """Name and log of each gate that rejected the attempt; the log may be empty."""
        return tuple(zip_longest(self.gates, self.gate_logs, fillvalue=""))

    def payload(self) -> Mapping[str, object]:
        return {
            "failure_kind": str(self.kind),
            "strategy": str(self.strategy),
            "strategy_reason": self.reason,
            "confidence": self.confidence,
            "checkpoint": self.checkpoint,
            "kept": self.kept,
        }
