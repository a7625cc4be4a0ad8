"""Questions of tasks that wait for a person, and their answers. Frozen values."""

from dataclasses import dataclass
from enum import StrEnum

#: In place of an agent's name: a person answers the task's question.
PERSON = "person"


class Decision(StrEnum):
    """An answer to a question, from a person or from a timeout (``on_timeout``)."""

    APPROVE = "approve"
    REJECT = "reject"


#: The decisions as results.
DECIDED = {Decision.APPROVE: "approved", Decision.REJECT: "rejected"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """An asked question, and its answer."""

    asked_at: float
    #: What is asked; empty for questions of earlier versions.
    text: str = ""
    #: When the timeout decides; None: never.
    due_at: float | None = None
    #: Since when the wait does not count as wall time if nothing of the job runs: the question, or
    #: the end of the latest pause.
    counted_from: float = 0.0
    #: None: it is open.
    decision: Decision | None = None
    #: The name of the caller's key; empty: the timeout decided.
    by: str = ""
    comment: str = ""
    answered_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self.decision is None

    @property
    def outcome(self) -> str:
        """The answer as text, such as "approved by key alice: go ahead"; empty while the question
        is open.
        """
        if self.decision is None:
            return ""
        who = f" by key {self.by}" if self.by else ", because no answer came in time"
        return f"{DECIDED[self.decision]}{who}{f': {self.comment}' if self.comment else ''}"
