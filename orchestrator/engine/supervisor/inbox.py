"""The inbox: a queue of messages to one thread. The thread also waits for launcher events."""

import threading
import time
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class EventSource(Protocol):
    """The launcher, as a source of events for the inbox. For the contracts, see ``Launcher``."""

    def listen(self, seconds: float | None) -> bool: ...

    def gather(self, seconds: float) -> None: ...

    def wake(self) -> None: ...


class Inbox(Generic[T]):
    """A queue of messages to one thread. While this thread waits, it also listens to the launcher.

    Any thread may put messages, but only one thread may take them. A second thread for the launcher
    would be slower: both threads would wait for Python's interpreter lock each time a worker ends.
    """

    def __init__(self, launcher: EventSource) -> None:
        self._launcher = launcher
        self._queue: SimpleQueue[T] = SimpleQueue()
        #: Id of the thread that waits; 0 if no thread waits.
        self._waiting = 0
        #: Time of the latest read of the launcher's events, in monotonic seconds.
        self._listened_at = 0.0

    def put(self, item: T) -> None:
        self._queue.put(item)
        # No wake-up is needed if the waiting thread itself puts the item: this thread checks the
        # queue next.
        if self._waiting not in (0, threading.get_ident()):
            self._launcher.wake()

    def wait(self, seconds: float | None, gather_seconds: float = 0.0) -> list[T]:
        """Return all queued items. If the queue is empty, first wait until an item arrives.

        ``seconds``: maximum time of the wait; None: no limit. The result is empty if no item
        arrives in this time.

        ``gather_seconds``: minimum seconds between two reads of the launcher's events, so that one
        read gets many events. The wait ends early if another thread puts an item into the queue.
        """
        self._waiting = threading.get_ident()
        gather_seconds += self._listened_at - time.monotonic()
        if gather_seconds > 0 and self._queue.empty():
            self._launcher.gather(gather_seconds)
        self._listened_at = time.monotonic()
        self._launcher.listen(seconds if self._queue.empty() else 0.0)
        self._waiting = 0
        return self.take_queued()

    def take_queued(self) -> list[T]:
        items: list[T] = []
        try:
            while True:
                items.append(self._queue.get_nowait())
        except Empty:
            return items
