"""The feed of events: the latest events of all jobs, from which clients read what has changed.

Each item has a number, in the order in which this server stored the items. The first number is the
time of the server's start, in milliseconds. A restarted server therefore uses larger numbers than
the server before the restart.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from math import inf

from orchestrator.core.events import EventKind
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.outcome.job.human_needs import Need, kind_of_worker, kinds_of_job, needs_in
from orchestrator.core.ports import StateChange, Store
from orchestrator.core.ports.read_models import Progress
from orchestrator.engine.runtime import clock

#: Maximum number of items that the feed stores. A reader can resume after any stored item.
MOST_ITEMS = 2000
#: Minimum seconds between two items of kind USAGE for the same job tree.
FIGURES_SECONDS = 1.0
#: Kinds of job events that the feed contains.
FEED_EVENTS = frozenset(
    {
        EventKind.JOB_SUBMITTED,
        EventKind.JOB_PLANNED,
        EventKind.JOB_APPROVED,
        EventKind.JOB_STARTED,
        EventKind.JOB_CANCEL_REQUESTED,
        EventKind.JOB_PAUSED,
        EventKind.JOB_RESUMED,
        EventKind.JOB_RETRIED,
        EventKind.JOB_REOPENED,
        EventKind.JOB_ENDED,
        EventKind.JOB_LANDED,
    }
)


class FeedKind(StrEnum):
    #: The needs of a job tree have changed. A need is what a person must do for a job.
    NEEDS = "needs"
    #: Numbers of workers and usage of a job tree; at most one item per second.
    USAGE = "usage"


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedItem:
    """One item of the feed: a job event, or the current needs or figures of a job tree.

    Figures are the number of workers for each status, and the tokens and cost of these workers.
    """

    number: int
    kind: EventKind | FeedKind
    #: Name of the key that submitted the root job.
    submitted_by: str
    root_id: str
    job_id: str
    at: float
    data: Mapping[str, object]
    needs: Sequence[Need]
    figures: Progress | None


class Feed:
    """The feed of events, an observer of stored changes. Any thread may call.

    The needs and figures of job trees are read from the store only while a listener exists.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        #: Lock that is held while needs or figures are read and their items are added.
        self._working = threading.Lock()
        self._items: deque[FeedItem] = deque(maxlen=MOST_ITEMS)
        self._last = int(clock.now() * 1000)
        #: The feed has every item with a number above this number. Earlier items may be missing.
        self._complete_after = self._last
        self._listeners: list[Callable[[], None]] = []
        #: Ids of root jobs whose workers have changed since the latest read of the tree's figures.
        self._changed: set[str] = set()
        #: Times of the latest reads of figures, in monotonic seconds, by root job id.
        self._read_at: dict[str, float] = {}
        #: The needs that the feed has reported last, by root job id.
        self._reported_needs: dict[str, Sequence[Need]] = {}
        self._timer: threading.Timer | None = None
        self._is_closed = False

    @property
    def last(self) -> int:
        return self._last

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after each addition of items. Return a function that ends the calls."""
        with self._lock:
            self._listeners.append(listener)

        def end() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return end

    def prepare(self) -> None:
        """Read the current needs of all jobs, so that the feed can report the end of a need."""
        with self._working:
            needs = needs_in(self._store.jobs_with_needs(None, None))
            self._reported_needs = {
                root_id: [need for need in needs if need.root_job_id == root_id]
                for root_id in {need.root_job_id for need in needs}
            }

    def after(self, number: int) -> Sequence[FeedItem] | None:
        """Return the items with a number greater than ``number``.

        Return None if some of these items are not stored, or if ``number`` is above the number of
        the latest item.
        """
        with self._lock:
            if not self._complete_after <= number <= self._last:
                return None
            return [item for item in self._items if item.number > number]

    def __call__(self, change: StateChange) -> None:
        with self._working:
            self._add_items_of(change)
        self._notify()

    def _add_items_of(self, change: StateChange) -> None:
        for event in change.events:
            if event.kind in FEED_EVENTS:
                self._add_item(event.kind, event.root_id, event.job_id, event.at, data=event.data)
        if not self._listeners:
            if change.workers or change.new_workers or change.jobs:
                with self._lock:
                    self._complete_after = self._last
                    self._reported_needs.clear()
            return
        for root_id in _with_changed_needs(change, self._reported_needs):
            needs = needs_in(self._store.jobs_with_needs([root_id], None))
            if needs != list(self._reported_needs.get(root_id, ())):
                self._reported_needs[root_id] = needs
                self._add_item(FeedKind.NEEDS, root_id, root_id, clock.now(), needs=needs)
        self._changed |= {each.root_id for each in (*change.new_workers, *change.workers)}
        ended_roots = {each.root_id for each in change.events if each.kind is EventKind.JOB_ENDED}
        self._add_figures(at_once=ended_roots)

    def close(self) -> None:
        """Stop reading the store. If a read is running, wait for its end. Idempotent."""
        with self._working:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()

    def _add_item(
        self,
        kind: EventKind | FeedKind,
        root_id: str,
        job_id: str,
        at: float,
        *,
        data: Mapping[str, object] | None = None,
        needs: Sequence[Need] = (),
        figures: Progress | None = None,
    ) -> None:
        root = self._store.job(root_id)
        with self._lock:
            self._last += 1
            if len(self._items) == MOST_ITEMS:
                self._complete_after = max(self._complete_after, self._items[0].number)
            self._items.append(
                FeedItem(
                    number=self._last,
                    kind=kind,
                    submitted_by=root.submitted_by if root else "",
                    root_id=root_id,
                    job_id=job_id,
                    at=at,
                    data=data or {},
                    needs=needs,
                    figures=figures,
                )
            )

    def _add_figures(self, at_once: Iterable[str] = ()) -> None:
        """For each changed job tree, add an item with the tree's current figures. See ``FeedItem``.

        ``at_once``: ids of root jobs whose item is added without delay. Any other tree gets at most
        one item per second.
        """
        now, roots_at_once = time.monotonic(), set(at_once)
        due = {
            root_id
            for root_id in self._changed
            if root_id in roots_at_once or now - self._read_at.get(root_id, -inf) >= FIGURES_SECONDS
        }
        self._changed -= due
        self._read_at = {
            root_id: at for root_id, at in self._read_at.items() if now - at < FIGURES_SECONDS
        } | dict.fromkeys(due, now)
        for root_id, counts in self._store.status_counts(sorted(due)).items() if due else ():
            self._add_item(
                FeedKind.USAGE, root_id, root_id, clock.now(), figures=Progress.of(counts)
            )
        if self._changed and self._timer is None and not self._is_closed:
            self._timer = threading.Timer(FIGURES_SECONDS, self._add_delayed_figures)
            self._timer.daemon = True
            self._timer.start()

    def _add_delayed_figures(self) -> None:
        with self._working:
            self._timer = None
            if not self._is_closed:
                self._add_figures()
        self._notify()

    def _notify(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener()


def _with_changed_needs(change: StateChange, reported_needs: Mapping[str, object]) -> set[str]:
    """Return the ids of root jobs whose needs may differ from ``reported_needs`` after a change."""
    jobs: Sequence[Job] = (*change.new_jobs, *change.jobs)
    workers: Sequence[Worker] = (*change.new_workers, *change.workers)
    roots_with_needs = {job.root_id for job in jobs if kinds_of_job(job)}
    roots_with_needs |= {worker.root_id for worker in workers if kind_of_worker(worker)}
    changed_roots = {job.root_id for job in jobs} | {worker.root_id for worker in workers}
    return roots_with_needs | (changed_roots & reported_needs.keys())
