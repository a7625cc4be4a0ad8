"""Answers about messages of a person to a worker."""

from datetime import datetime
from typing import Literal

from orchestrator.schemas.answers.common import Answer, Links


class MessageSentAnswer(Answer):
    """The message is stored, and the worker's agent gets it."""

    job_id: str
    worker_id: str
    message_id: str
    delivery: Literal["next_step"]
    """When the agent reads it: before its next call of the model."""
    links: Links


class MessagesReadAnswer(Answer):
    """The read messages are recorded."""

    delivered: int
    """Number of the messages in the call."""


class MessageAnswer(Answer):
    """A message of a person to the worker."""

    id: str
    at: datetime
    by: str
    text: str
    attempt: int | None = None
    """Latest attempt whose agent has read the message; null: none has."""
    delivered_at: datetime | None = None
    """When an agent read it first; null: not delivered."""
