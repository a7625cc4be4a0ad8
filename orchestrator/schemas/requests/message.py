"""Requests for messages of a person to a worker."""

from typing import Annotated

from pydantic import Field

from orchestrator.core.model.attempt.message import MOST_CHARACTERS, MOST_MESSAGES
from orchestrator.schemas.fields.text import TEXT_PATTERN, Text, Wire

MessageId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class MessageBody(Wire):
    """Words to a worker that has not ended."""

    text: Annotated[Text, Field(min_length=1, max_length=MOST_CHARACTERS, pattern=TEXT_PATTERN)]
    """Text for the worker's agent, as data: at most 10,000 characters."""


class MessagesReadBody(Wire):
    """Messages that the calling worker's agent has read."""

    delivered: Annotated[
        tuple[MessageId, ...], Field(strict=False, min_length=1, max_length=MOST_MESSAGES)
    ]
    """Ids of the messages."""
