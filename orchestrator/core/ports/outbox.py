"""The outbox: messages to external receivers.

A message is stored in the same transaction as the event that it reports.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.states import JobStatus

#: Name of the endpoint for messages to a job's ``callback_url``.
CALLBACK = "callback"


class Topic(StrEnum):
    """The subject of a message. Receivers select topics by these names."""

    #: The first worker of a root job is about to start.
    JOB_STARTED = "job_started"
    #: A root job has ended.
    JOB_ENDED = "job_ended"
    #: A job waits for a person.
    NEEDS_YOU = "needs_you"
    #: The result of a job is on a branch of the user.
    JOB_LANDED = "job_landed"


class EntryState(StrEnum):
    #: The message is sent when it is due.
    PENDING = "pending"
    #: The receiver has accepted the message.
    DELIVERED = "delivered"
    #: The receiver has not accepted the message, and no retry follows.
    FAILED = "failed"
    #: The notification became unnecessary before it was due.
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxEntry:
    """One message to one receiver. Its text is composed when the message is sent."""

    #: Id of the message. All attempts to send the message have the same id, so that receivers
    #: recognize a repeated message.
    id: str
    root_id: str
    job_id: str
    #: Number of the event in the root job.
    seq: int
    #: ``webhook:NAME``, ``notify:NAME``, or ``callback``.
    endpoint: str
    topic: Topic
    #: Times are Unix times.
    created_at: float
    due_at: float
    state: EntryState = EntryState.PENDING
    attempts: int = 0
    #: HTTP status of the latest attempt to send; None: no answer.
    last_status: int | None = None
    #: Why the latest attempt to send failed.
    last_error: str = ""
    #: Beginning of the latest answer's body, without secrets.
    answer: str = ""
    done_at: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    endpoint: str
    topics: Collection[str]
    #: Labels that the root job must have.
    labels: Collection[tuple[str, str]] = ()
    #: Statuses of ended jobs; empty: all.
    statuses: Collection[JobStatus] = ()
    #: Minimum age of a job, in seconds. If the job ends before this age, its end is not reported. A
    #: need of a younger job is reported when the job reaches this age.
    min_seconds: float = 0.0
    #: Seconds before the first attempt to send. Messages that arrive within this time are sent to
    #: the endpoint together.
    delay_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryFilter:
    """The entries to list. An empty field does not restrict the list."""

    endpoint: str
    state: str
    #: Id of a root job or of a child job.
    job_id: str


class EntryPage(NamedTuple):
    #: The latest first.
    entries: Sequence[OutboxEntry]
    total: int


class OutboxStore(Protocol):
    """The stored messages. Any thread may call. Every method may raise StoreError.

    ``core.ports.store.Store.save`` adds messages.
    """

    def due(self, now: float, busy: Collection[str], limit: int) -> Sequence[OutboxEntry]:
        """Return the due entries in order of due time. Omit entries of the endpoints ``busy``."""

    def next_due(self) -> float | None:
        """Return the due time of the next pending entry; None if no entry is pending."""

    def pending(self, endpoint: str, root_id: str) -> Sequence[OutboxEntry]:
        """Return the pending entries of one endpoint and root job, due or not."""

    def record(self, entries: Sequence[OutboxEntry]) -> None:
        """Replace the stored entries that have the same ids. Idempotent.

        An entry that is no longer stored is skipped.
        """

    def fail_pending(self, endpoint: str, error: str, now: float) -> None: ...

    def entry(self, entry_id: str) -> OutboxEntry | None: ...

    def page(self, entry_filter: EntryFilter, offset: int, limit: int) -> EntryPage: ...

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return the number of entries by endpoint and state."""


class EndpointInfo(NamedTuple):
    """A receiver of messages, as API answers show it, without secrets."""

    name: str
    #: webhook, notification, or callback
    kind: str
    #: Scheme and host of the address.
    address: str
    topics: Sequence[str]
    #: Why nothing is sent to the endpoint; empty if messages are sent.
    off: str
    counts: Mapping[str, int]


class TestResult(NamedTuple):
    delivered: bool
    #: HTTP status; None: no answer came.
    status: int | None
    error: str
    seconds: float


class OutboxCalls(Protocol):
    """The outbox for administrators. Methods raise NotFound for an unknown name or id."""

    def endpoints(self) -> Sequence[EndpointInfo]: ...

    def test(self, name: str) -> TestResult:
        """Send a test message to a webhook now, and wait for the answer."""

    def test_notifications(self, name: str) -> Mapping[str, TestResult]:
        """Send a test notification to one target, or to all if ``name`` is empty."""

    def deliveries(self, entry_filter: EntryFilter, offset: int, limit: int) -> EntryPage:
        """Return a page of messages. Raise InvalidRequest for an unknown endpoint."""

    def redeliver(self, entry_id: str) -> OutboxEntry:
        """Queue a message to be sent again now, and return it.

        The message keeps its id. Its number of attempts to send becomes 0.
        """

    def check_url(self, url: str) -> None:
        """Raise InvalidRequest if messages to this URL are forbidden."""
