"""Each message is delivered at least once, despite killed servers and unavailable receivers."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.model.job_facts import JobFacts, Landed
from orchestrator.core.ports import StateChange
from orchestrator.core.ports.outbox import EntryState, OutboxEntry, Topic
from orchestrator.outbox.delivery.allowed_addresses import AddressPolicy
from orchestrator.outbox.delivery.delivery_retries import after_attempt
from orchestrator.outbox.delivery.http_sender import HttpSender, Outcome
from orchestrator.outbox.delivery.message_bodies import MessageBodies
from orchestrator.outbox.delivery.outbox_dispatcher import (
    MOST_AT_ONCE,
    MOST_OF_ENDPOINT,
    OutboxDispatcher,
)
from orchestrator.store import SqlStore
from tests.contract.store_adapters import ADAPTERS, database
from tests.contract.store_values import a_job, an_event
from tests.faults.zygote import Zygote
from tests.integration.outbox.receiver import receiving
from tests.integration.site import ServerProcess, shell, until
from tests.support.crashing import Crash, crash_at
from tests.support.examples import examples


def an_entry(number: int, endpoint: str = "webhook:ci", due_at: float = 0.0) -> OutboxEntry:
    return OutboxEntry(
        id=f"msg_a_{number}_{endpoint}",
        root_id="a",
        job_id="a",
        seq=number,
        endpoint=endpoint,
        topic=Topic.JOB_ENDED,
        created_at=0.0,
        due_at=due_at,
    )


@pytest.fixture(params=ADAPTERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    with database(request.param, tmp_path) as url:
        store = SqlStore(url, alone=True)
        store.open()
        store.save(StateChange(new_jobs=[a_job()]))
        yield store
        store.close()


def keep(store: SqlStore, *entries: OutboxEntry) -> None:
    kind = EventKind.JOB_ENDED
    events = [an_event(a_job(), each.seq, kind=kind) for each in entries]
    store.save(StateChange(events=events, outbox=entries))


def test_entries_are_stored_with_their_event_and_come_back_when_due(store: SqlStore) -> None:
    keep(store, an_entry(1), an_entry(2, due_at=50.0), an_entry(3, "notify:me"))
    outbox = store.outbox

    assert [each.seq for each in outbox.due(10.0, (), 10)] == [1, 3]
    assert [each.seq for each in outbox.due(10.0, ("notify:me",), 10)] == [1]
    assert outbox.next_due() == 0.0
    done = after_attempt(an_entry(1), Outcome(status=200), 11.0)
    outbox.record([done])
    outbox.fail_pending("notify:me", "off", 12.0)
    assert outbox.entry(done.id) == done
    assert outbox.next_due() == 50.0
    assert {name: dict(each) for name, each in outbox.counts().items()} == {
        "webhook:ci": {"delivered": 1, "pending": 1},
        "notify:me": {"failed": 1},
    }


def test_a_message_names_the_branches_with_the_result(store: SqlStore) -> None:
    landed = Landed(branch="main", commit="c", before="b", at=1.0, by="me")
    facts = JobFacts(landed=(landed,), landed_on=("earlier", "main"))
    store.save(StateChange(new_jobs=[a_job("b", facts=facts)]))

    body = MessageBodies(store, str, str).of(replace(an_entry(1), root_id="b", job_id="b"))

    assert body is not None
    assert body["data"]["changes"]["landed_on"] == ["main", "earlier"]


def test_an_event_that_cannot_be_stored_leaves_no_message(store: SqlStore) -> None:
    keep(store, an_entry(1))

    with pytest.raises(Exception, match=r"(?i)unique|constraint"):
        keep(store, an_entry(2), an_entry(1))

    assert store.outbox.entry(an_entry(2).id) is None and store.last_seq("a") == 1


def test_a_receiver_that_is_down_for_half_an_hour_gets_the_message(store: SqlStore) -> None:
    with receiving() as later:
        port = later.host
    clock = [0.0]
    attempts: list[float] = []
    opened = threading.Event()

    def wait(condition: threading.Condition, seconds: float) -> None:
        if sender._sending:  # a message is being sent
            condition.wait(0.01)
        else:
            clock[0] += max(seconds, 0.001)

    def deliver(entry: OutboxEntry) -> Sequence[OutboxEntry]:
        attempts.append(clock[0])
        if clock[0] < 1800:
            outcome = HttpSender(AddressPolicy([port]), 5, time.time).post(
                f"http://{port}/hook", b"{}", {}
            )
        else:
            outcome = Outcome(status=200)
            opened.set()
        return [after_attempt(entry, outcome, clock[0], lambda low, high: 1.0)]

    sender = OutboxDispatcher(store.outbox, deliver, lambda: clock[0], wait)
    keep(store, an_entry(1))
    sender.start()
    assert opened.wait(60)
    found = until(
        lambda: (
            (e := store.outbox.entry(an_entry(1).id)) and e.state is not EntryState.PENDING and e
        ),
        "the message is delivered",
    )
    sender.stop()

    assert found.state is EntryState.DELIVERED
    assert attempts == pytest.approx([0.0, 5.0, 305.0, 2105.0], abs=1.0)


def test_a_receiver_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    with database("sqlite", tmp_path) as url:
        store = SqlStore(url)
        store.open()
        store.save(StateChange(new_jobs=[a_job()]))
        release, most, now_hanging = threading.Event(), [0], [0]
        lock = threading.Lock()
        delivered: list[str] = []

        def deliver(entry: OutboxEntry) -> Sequence[OutboxEntry]:
            if entry.endpoint == "webhook:hangs":
                with lock:
                    now_hanging[0] += 1
                    most[0] = max(most[0], now_hanging[0])
                release.wait(60)
                with lock:
                    now_hanging[0] -= 1
            delivered.append(entry.endpoint)
            return [after_attempt(entry, Outcome(status=200), 1.0)]

        sender = OutboxDispatcher(store.outbox, deliver, lambda: 1.0)
        keep(store, *(an_entry(number, "webhook:hangs") for number in range(1, 30)))
        keep(store, *(an_entry(number, "webhook:works") for number in range(30, 60)))
        sender.start()
        try:
            until(lambda: delivered.count("webhook:works") == 30, "the others are delivered")
            assert delivered.count("webhook:hangs") == 0
            assert most[0] == MOST_OF_ENDPOINT < MOST_AT_ONCE
        finally:
            release.set()
        until(lambda: len(delivered) == 59, "all are delivered")
        until(lambda: store.outbox.next_due() is None, "all are recorded")
        sender.stop()
        store.close()


def test_a_crash_before_the_record_repeats_the_message_with_its_id(
    store: SqlStore,
) -> None:
    sent: list[str] = []

    def deliver(entry: OutboxEntry) -> Sequence[OutboxEntry]:
        sent.append(entry.id)
        return [after_attempt(entry, Outcome(status=200), 1.0)]

    keep(store, an_entry(1))
    with crash_at(1, "outbox: before the record"), pytest.raises(Crash):
        store.outbox.record(deliver(an_entry(1)))
    sender = OutboxDispatcher(store.outbox, deliver, lambda: 1.0)
    sender.start()
    until(lambda: store.outbox.next_due() is None, "the message is recorded")
    sender.stop()

    assert sent == [an_entry(1).id] * 2


@pytest.mark.timeout(600)
def test_every_end_is_delivered_although_the_server_is_killed(
    tmp_path: Path, zygote: Zygote
) -> None:
    """The server is killed with -9 at random times. A message may arrive twice, with the same
    id.
    """
    kills, jobs_each = examples(4, 40), 4
    chance = random.Random(20)
    with receiving() as receiver:
        endpoint = {"name": "ci", "url": receiver.url()}
        webhooks = {"endpoints": [endpoint], "allow_hosts": [receiver.host]}
        server = ServerProcess(tmp_path / "server", {"webhooks": webhooks}, zygote)
        jobs: list[str] = []
        try:
            for _ in range(kills):
                server.start()
                jobs += [server.submit(f"Job {n}", [shell("true")]) for n in range(jobs_each)]
                # Only the time of the kill is random. The test waits for conditions.
                time.sleep(chance.uniform(0.0, 0.6))
                server.kill()
            server.start()
            for job_id in jobs:
                server.wait(job_id)
            until(lambda: all(map(receiver.about, jobs)), "every end was delivered", 120)
        finally:
            server.stop()
        for job_id in jobs:
            ids = {each.id for each in receiver.about(job_id)}
            assert len(ids) == 1, ids
