"""Notifies observers of stored changes, in order, from a background thread."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from operator import attrgetter
from queue import Empty, SimpleQueue

from orchestrator.core.ports import Change, Observer

logger = logging.getLogger(__name__)


#: Seconds of changes that observers get together: waking a thread for each change would take the
#: interpreter from the thread that stores the next one.
PAUSE_SECONDS = 0.003

_PARTS = tuple(Change.__dataclass_fields__)
_parts = attrgetter(*_PARTS)


class Publisher:
    def __init__(self) -> None:
        self._queue: SimpleQueue[Change | None] = SimpleQueue()
        self._observers: list[Observer] = []
        self._lock = threading.Lock()
        self._told_more = threading.Condition()
        self._announced = 0
        self._told = 0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Deliver queued changes, then end."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def add(self, observer: Observer) -> Callable[[], None]:
        """Add an observer; return a function that removes it."""
        with self._lock:
            self._observers.append(observer)

        def remove() -> None:
            with self._lock:
                if observer in self._observers:
                    self._observers.remove(observer)

        return remove

    def announce(self) -> None:
        """Announce a change that is about to be stored; ``publish`` or ``withdraw`` must follow."""
        self._announced += 1

    def publish(self, change: Change) -> None:
        self._queue.put(change)

    def withdraw(self) -> None:
        """Cancel an announced change that could not be stored."""
        self._queue.put(Change())

    def catch_up(self, seconds: float) -> bool:
        """Wait until observers have all changes stored so far; False after the timeout.

        Not for the publisher's own thread.
        """
        announced = self._announced
        with self._told_more:
            return self._told_more.wait_for(lambda: self._told >= announced, seconds)

    def _run(self) -> None:
        ended = False
        while not ended:
            changes = [self._queue.get(), *self._rest()]
            ended = None in changes
            present = [change for change in changes if change is not None]
            if present:
                self._tell(merged(present), len(present))
                if not ended:
                    time.sleep(PAUSE_SECONDS)

    def _rest(self) -> Iterator[Change | None]:
        with suppress(Empty):
            while True:
                yield self._queue.get_nowait()

    def _tell(self, change: Change, count: int) -> None:
        with self._lock:
            observers = list(self._observers)
        for observer in observers:
            try:
                observer(change)
            except Exception:
                # Observers may fail without harm to a job.
                logger.exception("an observer failed", extra={"observer": repr(observer)})
        with self._told_more:
            self._told += count
            self._told_more.notify_all()


def merged(changes: Sequence[Change]) -> Change:
    """Merge changes into one; a later value of the same row comes later."""
    if len(changes) == 1:
        return changes[0]
    columns = zip(*map(_parts, changes), strict=True)
    return Change(**{name: list(chain(*each)) for name, each in zip(_PARTS, columns, strict=True)})
