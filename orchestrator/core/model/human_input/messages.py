"""Messages that people send to running workers. Frozen values."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace

from orchestrator.core.lazy_dataclass import dataclass

#: Kind of the error if a worker cannot receive a message.
CANNOT_MESSAGE = "cannot-message"
#: Maximum number of messages to one worker.
MOST_MESSAGES = 100
#: Maximum number of characters of a message.
MOST_CHARACTERS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerMessage:
    #: A UUID.
    id: str
    at: float
    by: str
    text: str
    #: The latest attempt whose agent has read the message; 0: no agent has read it.
    attempt: int = 0
    #: Time at which an agent first read the message; None if no agent has read it.
    delivered_at: float | None = None


def mark_delivered(
    messages: Sequence[WorkerMessage], ids: Collection[str], attempt: int, now: float
) -> tuple[WorkerMessage, ...]:
    """Return all messages. Messages with an id in ``ids`` are marked as read in ``attempt``."""
    return tuple(
        replace(each, attempt=attempt, delivered_at=each.delivered_at or now)
        if each.id in ids
        else each
        for each in messages
    )


def undelivered(messages: Sequence[WorkerMessage]) -> tuple[WorkerMessage, ...]:
    return tuple(each for each in messages if each.delivered_at is None)


#: Parts of the name of a message's file in the control directory of an attempt. The suffix shows
#: whether the message is new, or was read by the agent.
FILE_PREFIX, NEW_SUFFIX, READ_SUFFIX = "message-", ".json", ".read"


def message_file_name(message_id: str) -> str:
    return f"{FILE_PREFIX}{message_id}{NEW_SUFFIX}"


def message_document(message: WorkerMessage) -> str:
    return json.dumps(asdict(message))
