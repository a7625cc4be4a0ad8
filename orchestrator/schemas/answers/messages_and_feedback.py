"""Answers about the input of people to workers: messages, and feedback."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from orchestrator.core.model.human_input.feedback import Side
from orchestrator.schemas.answers.answer import Answer, Links, no_items


class MessageSentAnswer(Answer):
    """The message is stored, and the worker's agent gets it."""

    job_id: str
    worker_id: str
    message_id: str
    delivery: Literal["next_step"]
    """When the agent reads the message. next_step: before the agent calls the model again."""
    links: Links


class MessagesReadAnswer(Answer):
    """The server has recorded which messages the agent has read."""

    delivered: int
    """Number of message ids in the call."""


class MessageAnswer(Answer):
    """A message of a person to the worker."""

    id: str
    at: datetime
    by: str
    text: str
    attempt: int | None = None
    """Latest attempt whose agent has read the message; omitted if no agent has read it."""
    delivered_at: datetime | None = None
    """Time when an agent first read the message; omitted if no agent has read it."""


class FeedbackGivenAnswer(Answer):
    """The comments are stored, and one more attempt of the worker follows."""

    job_id: str
    worker_id: str
    attempt: int
    """Number of the attempt that gets the comments."""
    run: int
    """Number of the job's current run: feedback to an ended job begins the next run."""
    landed: list[str] = Field(default_factory=no_items)
    """Branches of the user that have the previous result. To add the new result, land again."""
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
    """The text of the lines in the commit."""


class FeedbackAnswer(Answer):
    """Comments that a person sent at one time."""

    at: datetime
    by: str
    attempt: int
    """Number of the attempt that the comments started."""
    answered_by: int | None = None
    """Number of the attempt that answered the comments (the first successful attempt); omitted
    if no attempt has succeeded yet.
    """
    commit: str
    """Commit that the comments refer to."""
    summary: str
    comments: list[CommentAnswer]
