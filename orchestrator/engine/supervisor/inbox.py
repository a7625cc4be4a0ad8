"""What has happened, in order, for the one loop that owns state."""

import threading
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class EventSource(Protocol):
    """Where things happen that nobody puts: a launcher, of which see both."""

    def listen(self, seconds: float | None) -> bool: ...

    def wake(self) -> None: ...


class Inbox(Generic[T]):
    """Any thread puts; one thread takes, and listens to the launcher while it waits.

    One thread for both: each worker's end would wake two otherwise, which take the interpreter
    from one another.
    """

    def __init__(self, launcher: EventSource) -> None:
        self._launcher = launcher
        self._queue: SimpleQueue[T] = SimpleQueue()
        #: The thread that waits now.
        self._waiting = 0

    def put(self, item: T) -> None:
        self._queue.put(item)
        # What is reported while it listens, it finds by itself.
        if self._waiting not in (0, threading.get_ident()):
            self._launcher.wake()

    def wait(self, seconds: float | None) -> list[T]:
        """Everything that has happened; waits at most so long until something has."""
        self._waiting = threading.get_ident()
        self._launcher.listen(seconds if self._queue.empty() else 0.0)
        self._waiting = 0
        return self.rest()

    def rest(self) -> list[T]:
        """What is there already."""
        items: list[T] = []
        try:
            while True:
                items.append(self._queue.get_nowait())
        except Empty:
            return items
