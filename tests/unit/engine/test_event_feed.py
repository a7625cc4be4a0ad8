"""The feed of all jobs: the items that a reader gets after it reconnects."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Job
from orchestrator.core.ports import StateChange
from orchestrator.engine import event_feed
from orchestrator.engine.event_feed import Feed, FeedKind
from orchestrator.store import SqlStore, sqlite_url
from tests.contract.store_values import a_job, a_worker, an_event


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = SqlStore(sqlite_url(tmp_path / "orchestrator.db"))
    store.open()
    yield store
    store.close()


def publish(feed: Feed, store: SqlStore, change: StateChange) -> None:
    store.save(change)
    feed(change)


def approval(job: Job, *, awaits: bool) -> StateChange:
    return StateChange(jobs=[replace(job, awaits_approval=awaits)])


def test_needs_that_changed_while_a_reader_was_away_are_replayed(store: SqlStore) -> None:
    feed, job = Feed(store), a_job()
    publish(feed, store, StateChange(new_jobs=[job]))
    end = feed.listen(lambda: None)
    feed.prepare()
    seen = feed.last

    publish(feed, store, approval(job, awaits=True))
    publish(feed, store, approval(job, awaits=False))

    needs = [item for item in feed.after(seen) or () if item.kind is FeedKind.NEEDS]
    assert [[each.kind for each in item.needs] for item in needs] == [["approval"], []]
    end()


def test_a_reader_is_reset_if_it_missed_items(store: SqlStore) -> None:
    feed, job = Feed(store), a_job()
    publish(feed, store, StateChange(new_jobs=[job], events=[an_event(job, 1)]))
    seen = feed.last
    publish(feed, store, approval(job, awaits=True))
    publish(feed, store, StateChange(events=[an_event(job, 2)]))

    assert feed.after(feed.last) == []
    assert feed.after(seen - 1) is None
    assert feed.after(feed.last + 1) is None


def test_a_reader_behind_the_stored_items_is_reset(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MOST_ITEMS", 3)
    feed, job = Feed(store), a_job()
    feed._items = type(feed._items)(maxlen=3)
    publish(feed, store, StateChange(new_jobs=[job]))
    start = feed.last

    for seq in range(1, 7):
        publish(feed, store, StateChange(events=[an_event(job, seq, kind=EventKind.JOB_STARTED)]))

    assert feed.after(start + 2) is None
    assert [item.number for item in feed.after(start + 3) or ()] == [
        start + 4,
        start + 5,
        start + 6,
    ]


def test_a_closed_feed_reads_no_more_from_the_store(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = threading.Timer

    def at_once(seconds: float, action: Callable[[], None]) -> threading.Timer:
        monkeypatch.setattr(event_feed, "FIGURES_SECONDS", 0.0)
        return timer(0.0, action)

    monkeypatch.setattr(event_feed, "FIGURES_SECONDS", 3600.0)
    monkeypatch.setattr(event_feed.threading, "Timer", at_once)
    reads, reading, go_on = [], threading.Event(), threading.Event()
    counts = SqlStore.status_counts

    def slow(self: SqlStore, roots: Sequence[str]) -> object:
        reads.append(roots)
        if len(reads) == 2:
            reading.set()
            assert go_on.wait(10)
        return counts(self, roots)

    monkeypatch.setattr(SqlStore, "status_counts", slow)
    feed, job = Feed(store), a_job()
    feed.listen(lambda: None)
    worker = a_worker(job)
    publish(feed, store, StateChange(new_jobs=[job], new_workers=[worker]))
    publish(feed, store, StateChange(workers=[worker]))
    assert reading.wait(10), "the timer reads the rest"
    closing = threading.Thread(target=feed.close)
    closing.start()
    closing.join(0.1)
    assert closing.is_alive(), "a running read ends first"
    go_on.set()
    closing.join(10)
    assert not closing.is_alive()
    feed.close()
