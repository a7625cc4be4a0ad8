"""Messages: a person's words to a worker that has not ended."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace

#: The kind of the error for a worker that gets no message.
CANNOT_MESSAGE = "cannot-message"
#: Most messages to one worker.
MOST_MESSAGES = 100
#: Most characters of a message.
MOST_CHARACTERS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerMessage:
    """A person's message, as data for the worker's agent."""

    #: A UUID.
    id: str
    at: float
    by: str
    text: str
    #: The latest attempt whose agent has read the message; 0: none yet.
    attempt: int = 0
    #: When an agent read it first; None: none yet.
    delivered_at: float | None = None


def delivered(
    messages: Sequence[WorkerMessage], ids: Collection[str], attempt: int, now: float
) -> tuple[WorkerMessage, ...]:
    """Return the messages after an attempt's agent has read those with these ids."""
    return tuple(
        replace(each, attempt=attempt, delivered_at=each.delivered_at or now)
        if each.id in ids
        else each
        for each in messages
    )


def undelivered(messages: Sequence[WorkerMessage]) -> tuple[WorkerMessage, ...]:
    """Return the messages that no agent has read."""
    return tuple(each for each in messages if each.delivered_at is None)


#: Names of a message's file in the control directory of an attempt: new, and read by the agent.
FILE_PREFIX, NEW_SUFFIX, READ_SUFFIX = "message-", ".json", ".read"


def file_name(message_id: str) -> str:
    return f"{FILE_PREFIX}{message_id}{NEW_SUFFIX}"


def document(message: WorkerMessage) -> str:
    """Return the content of a message's file."""
    return json.dumps(asdict(message))
