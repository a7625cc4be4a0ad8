"""Questions to people, and their answers. Frozen values."""

from enum import StrEnum

from orchestrator.core.lazy_dataclass import dataclass

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
        decided_by = f" by key {self.by!r}" if self.by else ", because no answer came in time"
        return f"{DECIDED[self.decision]}{decided_by}{f': {self.comment}' if self.comment else ''}"
