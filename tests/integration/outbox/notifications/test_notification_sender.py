"""Notifications are combined, skipped, delayed, and sent by mail."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.failure import LOGIN, Failure, FailureKind, RetryStrategy
from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import StateChange
from orchestrator.core.ports.outbox import EntryState, OutboxEntry, Topic
from orchestrator.outbox.delivery.allowed_addresses import AddressPolicy
from orchestrator.outbox.delivery.http_sender import HttpSender
from orchestrator.outbox.delivery.message_bodies import MessageBodies
from orchestrator.outbox.delivery.outbox_dispatcher import OutboxDispatcher
from orchestrator.outbox.notifications import apprise_services, mail
from orchestrator.outbox.notifications.notification import Notification
from orchestrator.outbox.notifications.notification_sender import Notifications
from orchestrator.outbox.notifications.targets import Target, TargetKind
from orchestrator.store import SqlStore, sqlite_url
from tests.contract.store_values import a_job, a_worker, an_event
from tests.integration.outbox.receiver import Receiver, receiving
from tests.integration.site import until

WORKERS = 48
JOB = a_job(created_at=1.0)


def waits_for_login(index: int) -> Worker:
    failure = Failure(
        attempt=1,
        kind=FailureKind.UNKNOWN,
        strategy=RetryStrategy.ESCALATE,
        reason="",
        confidence=1.0,
        cause=LOGIN,
    )
    return a_worker(
        JOB,
        index,
        status=WorkerStatus.FAILED,
        attempt=1,
        reason="log in",
        result=WorkerResult(failures=(failure,)),
    )


def a_need(seq: int, target: str = "me") -> OutboxEntry:
    return OutboxEntry(
        id=f"ntf_a_{seq}_{target}",
        root_id="a",
        job_id="a",
        seq=seq,
        endpoint=f"notify:{target}",
        topic=Topic.NEEDS_YOU,
        created_at=1.0,
        due_at=6.0,
    )


@dataclass
class Desk:
    store: SqlStore
    receiver: Receiver
    at: datetime = field(default_factory=lambda: datetime(2026, 1, 31, 12, 0))

    def notifications(self, quiet: tuple[int, int] | None = None) -> Notifications:
        target = Target(name="me", kind=TargetKind.JSON, url=self.receiver.url(), quiet=quiet)
        return Notifications(
            {"me": target},
            HttpSender(AddressPolicy([self.receiver.host]), 5, time.time),
            MessageBodies(self.store, lambda: "http://localhost", str),
            self.store.outbox,
            lambda: 10.0,
            lambda: self.at,
        )

    def keep(self, entries: Sequence[OutboxEntry], workers: Sequence[Worker] = ()) -> None:
        events = [an_event(JOB, each.seq, kind=EventKind.WORKER_ENDED) for each in entries]
        self.store.save(StateChange(new_workers=workers, events=events, outbox=entries))

    def state(self, entry: OutboxEntry) -> OutboxEntry:
        found = self.store.outbox.entry(entry.id)
        assert found is not None
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    store = SqlStore(sqlite_url(tmp_path / "orchestrator.db"))
    store.open()
    store.save(StateChange(new_jobs=[JOB]))
    with receiving() as receiver:
        yield Desk(store, receiver)
    store.close()


def test_many_workers_that_need_you_are_one_message(desk: Desk) -> None:
    entries = [a_need(seq) for seq in range(1, WORKERS + 1)]
    workers = [replace(waits_for_login(n), agent=f"agent_{n}") for n in range(WORKERS)]
    desk.keep(entries, workers)
    notifications = desk.notifications()
    sender = OutboxDispatcher(
        desk.store.outbox, notifications.deliver, lambda: 10.0, most_of=lambda endpoint: 1
    )
    sender.start()
    until(lambda: desk.store.outbox.next_due() is None, "all needs are sent")
    sender.stop()

    (message,) = desk.receiver.received
    assert message.body["needs_you"] is True
    assert {desk.state(each).state for each in entries} == {EntryState.DELIVERED}


def test_a_need_that_has_ended_is_not_sent(desk: Desk) -> None:
    desk.keep([a_need(1)])

    (entry,) = desk.notifications().deliver(a_need(1))

    assert entry.state is EntryState.SKIPPED and not desk.receiver.received


def test_quiet_hours_delay_what_is_due(desk: Desk) -> None:
    desk.keep([a_need(1)], [waits_for_login(0)])
    desk.at = datetime(2026, 1, 31, 23, 0)

    (entry,) = desk.notifications(quiet=(22 * 60, 7 * 60)).deliver(a_need(1))

    assert (entry.state, entry.due_at) == (EntryState.PENDING, 10.0 + 8 * 3600)
    assert not desk.receiver.received


NOTIFICATION = Notification(
    needs_you=True, title="Needs you: Grüße", text="Deploy?", link="http://x/jobs/a"
)


class Mailbox:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages.append(envelope)
        return "250 OK"


@contextmanager
def mailing(handler: Any, **options: Any) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def test_a_mail_arrives(tmp_path: Path) -> None:
    mailbox = Mailbox()
    with mailing(mailbox) as port:
        outcome = mail.send(
            f"smtp://127.0.0.1:{port}?from=bot@x.org&to=me@x.org&to=b@x.org", NOTIFICATION
        )

    assert outcome.delivered, outcome.error
    (envelope,) = mailbox.messages
    assert (envelope.mail_from, envelope.rcpt_tos) == ("bot@x.org", ["me@x.org", "b@x.org"])
    assert b"X-Priority: 2" in envelope.content and b"http://x/jobs/a" in envelope.content


def test_a_refused_mail_is_final() -> None:
    class Refusing(Mailbox):
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            return "554 no"

    with mailing(Refusing()) as port:
        outcome = mail.send(f"smtp://127.0.0.1:{port}?from=bot@x.org&to=me@x.org", NOTIFICATION)

    assert (outcome.error, outcome.final) == ("SMTP 554", True)


def test_a_mail_server_that_is_down_is_named_with_its_cause() -> None:
    outcome = mail.send("smtp://127.0.0.1:1?from=bot@x.org&to=me@x.org", NOTIFICATION)

    assert outcome.error == "cannot connect to the mail server 127.0.0.1: Connection refused"
    assert not outcome.final


def test_a_password_is_not_sent_to_a_mail_server_without_encryption() -> None:
    passwords: list[bytes] = []

    def noted(server: Any, session: Any, envelope: Any, mechanism: str, login: Any) -> Any:
        passwords.append(login)
        return AuthResult(success=True)

    mailbox = Mailbox()
    with mailing(mailbox, auth_require_tls=False, authenticator=noted) as port:
        url = f"smtp://me:hidden@127.0.0.1:{port}?from=a@x.org&to=b@x.org"
        outcome = mail.send(url, NOTIFICATION)

    assert outcome.final and "smtps://" in outcome.error and "hidden" not in outcome.error
    assert (passwords, mailbox.messages) == ([], [])


@contextmanager
def dripping(beginning: bytes) -> Iterator[int]:
    """A server that sends a byte every 50 ms, but never a complete line or TLS record."""
    stopped = threading.Event()

    def serve() -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            connection.sendall(beginning)
            while not stopped.wait(0.05):
                connection.sendall(b"2")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            stopped.set()
            thread.join(10)


# The beginning of a TLS record of 16,384 bytes.
@pytest.mark.parametrize(
    ("scheme", "beginning"), [("smtp", b"220-"), ("smtps", b"\x16\x03\x03\x40\x00\x02")]
)
def test_a_mail_has_a_deadline_although_the_server_sends_byte_by_byte(
    scheme: str, beginning: bytes
) -> None:
    with dripping(beginning) as port:
        url = f"{scheme}://127.0.0.1:{port}?from=bot@x.org&to=me@x.org"
        outcome = mail.send(url, NOTIFICATION, within=0.3)

    assert (outcome.error, outcome.final) == (
        "the mail server did not accept the mail within 0.3 s",
        False,
    )


def test_a_missing_package_is_named_with_the_command() -> None:
    outcome = apprise_services.send("tgram://token/chat", NOTIFICATION)

    assert outcome.final and outcome.error.endswith("run: ./install.sh --with apprise")
