"""Calls about webhooks, deliveries, and notifications."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from orchestrator.core.ports.outbox import EntryState, Topic
from orchestrator.schemas.answers.answer import Answer
from orchestrator.schemas.fields.bounded_types import StrictModel, Text


class NotifyTestRequest(StrictModel):
    """A request for test notifications."""

    name: Annotated[Text, Field(max_length=100)] = ""
    """Name of a target (default: all targets)."""


class EndpointAnswer(Answer):
    """A receiver of messages."""

    name: str
    kind: str
    """Kind of the receiver: webhook, notification, or callback (an address that a job names)."""
    address: str
    """Scheme and host of the address; the rest of the address may be secret."""
    events: list[str]
    off: str
    """Why no messages are sent to the endpoint; empty if messages are sent."""
    counts: dict[str, int]
    """Number of deliveries by state."""


class EndpointsAnswer(Answer):
    """All receivers of messages."""

    endpoints: list[EndpointAnswer]


class TestAnswer(Answer):
    """Outcome of a test message."""

    name: str
    delivered: bool
    status: int | None = None
    """HTTP status; omitted without an answer."""
    error: str
    """Why the message was not accepted; empty if it was accepted."""
    seconds: float


class TestsAnswer(Answer):
    """Outcomes of test notifications."""

    tests: list[TestAnswer]


class DeliveryAnswer(Answer):
    """One message to one receiver."""

    id: str
    """Id of the message, the same in all attempts; sent in the header webhook-id."""
    job_id: str
    root_job_id: str
    seq: int
    """Number (`seq`) of the message's event in the root job."""
    endpoint: str
    """Receiver: webhook:NAME, notify:NAME, or callback."""
    event: Topic
    state: EntryState
    attempts: int
    created_at: datetime
    due_at: datetime | None = None
    """Time of the next attempt; omitted if no attempt follows."""
    done_at: datetime | None = None
    status: int | None = None
    """HTTP status of the latest attempt; omitted without an answer."""
    error: str
    """Why the latest attempt failed; empty if it did not fail."""
    answer: str
    """Beginning of the latest answer's body."""


class DeliveriesAnswer(Answer):
    """Messages to receivers, the latest first."""

    deliveries: list[DeliveryAnswer]
    total: int
    page: int
    page_size: int
