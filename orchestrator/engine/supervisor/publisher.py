"""The publisher: passes stored changes to observers, from a background thread."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from operator import attrgetter
from queue import Empty, SimpleQueue

from orchestrator.core.ports import Observer, StateChange

logger = logging.getLogger(__name__)

#: Seconds for which changes are collected before observers get them. Otherwise, each change would
#: wake the observers' thread. That thread would compete for the interpreter with the supervisor's
#: thread, and delay the next change.
PAUSE_SECONDS = 0.003

_FIELDS = tuple(StateChange.__dataclass_fields__)
_field_values = attrgetter(*_FIELDS)


class Publisher:
    """Notifies observers of stored changes, in order, from a background thread."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[StateChange | None] = SimpleQueue()
        #: Pairs: an observer, and the name of a field of ``StateChange``. The observer gets only
        #: changes in which this field has values; all changes if the name is empty.
        self._observers: list[tuple[Observer, str]] = []
        self._lock = threading.Lock()
        self._delivered_more = threading.Condition()
        self._announced = 0
        self._delivered = 0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Deliver the queued changes to the observers, then end the thread."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def add(self, observer: Observer, field: str = "") -> Callable[[], None]:
        """Add an observer; return a function that removes it.

        ``field``: name of a field of ``StateChange``, such as "outbox". The observer gets only
        changes in which this field has values; "": all changes.
        """
        entry = observer, field
        with self._lock:
            self._observers.append(entry)

        def remove() -> None:
            with self._lock:
                if entry in self._observers:
                    self._observers.remove(entry)

        return remove

    def announce(self) -> None:
        """Count a change that is about to be stored, so that ``catch_up`` waits for it.

        The caller must then call ``publish`` or ``withdraw``.
        """
        self._announced += 1

    def publish(self, change: StateChange) -> None:
        self._queue.put(change)

    def withdraw(self) -> None:
        """Cancel the announcement of a change that could not be stored."""
        self._queue.put(StateChange())

    def catch_up(self, seconds: float) -> bool:
        """Wait until observers have received all stored changes.

        Return True, or False if the wait takes longer than ``seconds``.

        The publisher's own thread must not call this method.
        """
        announced = self._announced
        with self._delivered_more:
            return self._delivered_more.wait_for(lambda: self._delivered >= announced, seconds)

    def _run(self) -> None:
        is_ended = False
        while not is_ended:
            items = [self._queue.get(), *self._queued_changes()]
            is_ended = None in items
            changes = [change for change in items if change is not None]
            if changes:
                self._deliver(merged(changes), len(changes))
                if not is_ended:
                    time.sleep(PAUSE_SECONDS)

    def _queued_changes(self) -> Iterator[StateChange | None]:
        with suppress(Empty):
            while True:
                yield self._queue.get_nowait()

    def _deliver(self, change: StateChange, count: int) -> None:
        with self._lock:
            observers = list(self._observers)
        for observer, field in observers:
            if field and not getattr(change, field):
                continue
            try:
                observer(change)
            except Exception:
                # An observer's failure must not affect jobs.
                logger.exception("an observer failed", extra={"observer": repr(observer)})
        with self._delivered_more:
            self._delivered += count
            self._delivered_more.notify_all()


def merged(changes: Sequence[StateChange]) -> StateChange:
    """Merge changes into one change.

    If several changes store the same row, the result contains all versions of the row, in the order
    of the changes.
    """
    if len(changes) == 1:
        return changes[0]
    columns = zip(*map(_field_values, changes), strict=True)
    return StateChange(
        **{name: list(chain(*column)) for name, column in zip(_FIELDS, columns, strict=True)}
    )
