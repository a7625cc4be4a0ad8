"""Answers about a person's comments on a worker's change."""

from datetime import datetime

from pydantic import Field

from orchestrator.core.model.decisions.feedback import Side
from orchestrator.schemas.answers.common import Answer, Links


class FeedbackGivenAnswer(Answer):
    """The comments are stored, and one more attempt of the worker follows."""

    job_id: str
    worker_id: str
    attempt: int
    """Number of the attempt that gets the comments."""
    run: int
    """Present run of the job: feedback to an ended job begins the next one."""
    landed: list[str] = Field(default_factory=list)
    """Branches of the user that have the result from before; land the new one, too."""
    duplicate: bool = False
    """True if an earlier call with the same Idempotency-Key had stored the comments."""
    links: Links


class CommentAnswer(Answer):
    """A comment on lines of one file."""

    path: str
    side: Side
    line: int
    end_line: int
    text: str
    code: str
    """The lines, as they were in the commit."""


class FeedbackAnswer(Answer):
    """Comments that a person sent at one time."""

    at: datetime
    by: str
    attempt: int
    """Number of the attempt that they began."""
    answered_by: int | None = None
    """Number of the attempt that succeeded with them; null: none yet."""
    commit: str
    """Commit that they are on."""
    summary: str
    comments: list[CommentAnswer]
