"""The socket loop: one thread for all event streams, followed logs, and waiting calls."""

import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Generic, Protocol, TypeVar

from orchestrator.api.server_options import ApiOptions
from orchestrator.core.errors import Unavailable
from orchestrator.core.events import Event
from orchestrator.engine.runtime.thread_pool import PrestartedThreadPool
from orchestrator.engine.service.queries.job_details import Listener

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Dropped calls stay in the heap until there are more dropped calls than scheduled calls plus this
#: number. Removing them sooner would cost time, because each removal reads the whole heap.
_MOST_DROPPED = 64

#: Threads that read the store for the socket loop, so that a slow read delays no stream.
READER_THREADS = 2
CLOSE_SECONDS = 5.0


class Timers(Generic[T]):
    """Scheduled calls, the earliest first.

    Each call has an owner and a due time (monotonic seconds).
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None], T]] = []
        self._order = itertools.count()
        #: Number of calls of each owner. ``_call_count`` is the sum of these numbers.
        self._calls_by_owner: Counter[T] = Counter()
        self._call_count = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_at(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def add(self, at: float, call: Callable[[], None], owner: T) -> None:
        heapq.heappush(self._heap, (at, next(self._order), call, owner))
        self._calls_by_owner[owner] += 1
        self._call_count += 1

    def forget(self, owner: T) -> None:
        """Drop all calls of an owner, because they would keep the owner in memory. Idempotent."""
        self._call_count -= self._calls_by_owner.pop(owner, 0)
        if len(self._heap) > 2 * self._call_count + _MOST_DROPPED:
            self._heap = [each for each in self._heap if each[-1] in self._calls_by_owner]
            heapq.heapify(self._heap)

    def take_due(self, now: float) -> Iterator[tuple[Callable[[], None], T]]:
        while self._heap and self._heap[0][0] <= now:
            _, _, call, owner = heapq.heappop(self._heap)
            if owner in self._calls_by_owner:
                self._call_count -= 1
                self._calls_by_owner[owner] -= 1
                if not self._calls_by_owner[owner]:
                    del self._calls_by_owner[owner]
                yield call, owner


class LoopConnection(Protocol):
    """A connection that waits for events in the socket loop.

    All methods except ``concerns`` are called in the socket loop's thread.
    """

    @property
    def root_id(self) -> str:
        """Id of the root job whose events the connection receives."""

    def opened(self) -> None:
        """Called after registration. The connection gets every event published from now on."""

    def concerns(self, events: Sequence[Event]) -> bool:
        """True if the connection must get at least one of ``events``.

        The events are of the connection's job tree. Called in the thread that publishes them.
        """

    def published(self, events: Sequence[Event]) -> None: ...

    def closed(self) -> None:
        """Called after the connection was closed. Releases all resources. Idempotent."""

    def stopped(self) -> None:
        """Called when the server stops. Ends the connection, possibly after a last message."""


class Watched(Protocol):
    @property
    def socket(self) -> socket.socket: ...

    def ready(self, mask: int) -> None: ...


class SocketLoop:
    """Serves waiting connections in one thread, which runs all callbacks.

    The thread starts with the first connection.
    """

    def __init__(
        self, subscribe: Callable[[Listener], Callable[[], None]], options: ApiOptions
    ) -> None:
        self.options = options
        self._subscribe = subscribe
        self._waiting: set[LoopConnection] = set()
        self._by_root: dict[str, set[LoopConnection]] = {}
        self._calls: deque[tuple[Callable[[], None], LoopConnection | None]] = deque()
        self._published: deque[Sequence[Event]] = deque()
        self._timers: Timers[LoopConnection] = Timers()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def check_room(self) -> None:
        """Raise Unavailable if too many connections wait, or the loop's thread cannot start.

        Also raise Unavailable if the server is stopping. Raise OSError if no descriptor is
        available.
        """
        self._start()
        if len(self._waiting) >= self.options.open_streams_limit:
            raise Unavailable(
                f"limit reached: {self.options.open_streams_limit} open streams and waiting calls; "
                "close some of them, or retry later"
            )

    def park(self, connection: LoopConnection) -> None:
        """Begin to serve a waiting connection. Any thread may call."""
        self._start()
        self.call_soon(partial(self._open, connection))

    def leave(self, connection: LoopConnection) -> None:
        """Remove a connection, and call its ``closed``. Idempotent."""
        if connection not in self._waiting:
            return
        self._waiting.discard(connection)
        siblings = self._by_root.get(connection.root_id, set())
        siblings.discard(connection)
        if not siblings:
            self._by_root.pop(connection.root_id, None)
        self._timers.forget(connection)
        connection.closed()

    def call_soon(self, call: Callable[[], None], owner: LoopConnection | None = None) -> None:
        """Run ``call`` in the socket loop's thread. Any thread may call.

        If ``call`` fails, the connection ``owner`` is removed.
        """
        self._calls.append((call, owner))
        # No wake-up for calls from the loop's own thread: the loop checks its queue before it
        # sleeps. Hundreds of streams would otherwise write to the pipe.
        if threading.current_thread() is not self._thread:
            self._wake()

    def call_after(
        self, seconds: float, call: Callable[[], None], owner: LoopConnection, align: float = 0.0
    ) -> None:
        """Run ``call`` after ``seconds``.

        With ``align``, ``call`` waits until the clock's next multiple of ``align`` seconds. Calls
        with the same ``align`` then run together.
        """
        due_at = time.monotonic() + seconds
        if align:
            due_at += -due_at % align
        self._timers.add(due_at, call, owner)

    def read(
        self, read: Callable[[], T], arrived: Callable[[Future[T]], None], owner: LoopConnection
    ) -> None:
        """Run ``read`` in a reader thread, and pass the finished future to ``arrived``.

        ``arrived`` runs in the socket loop's thread.
        """
        future = self._readers.submit(read)
        future.add_done_callback(lambda finished: self.call_soon(partial(arrived, finished), owner))

    def watch(self, watched: Watched, *, writing: bool = False) -> None:
        """Call ``watched.ready`` when the socket of ``watched`` can be read.

        With ``writing``, also call it when the socket can be written.
        """
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        if watched.socket in self._selector.get_map():
            self._selector.modify(watched.socket, mask, watched)
        else:
            self._selector.register(watched.socket, mask, watched)

    def forget(self, watched: Watched) -> None:
        if watched.socket.fileno() >= 0 and watched.socket in self._selector.get_map():
            self._selector.unregister(watched.socket)

    def close(self) -> None:
        """End all waiting connections. Idempotent.

        Any thread except the socket loop's may call.
        """
        with self._lock:
            self._closing = True
            thread = self._thread
        if thread is not None and thread.is_alive():
            self._wake()
            thread.join(CLOSE_SECONDS)

    def _start(self) -> None:
        with self._lock:
            if self._closing:
                raise Unavailable("the server is stopping; repeat the call in a moment")
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="socket-loop", daemon=True)
            try:
                self._open_up()
            except RuntimeError as error:
                raise _no_thread(error) from error
            try:
                thread.start()
            except RuntimeError as error:
                self._close_down()
                raise _no_thread(error) from error
            self._thread = thread

    def _open_up(self) -> None:
        # If a step raises, the stack closes the descriptors of all earlier steps.
        with contextlib.ExitStack() as cleanup:
            self._selector = cleanup.enter_context(selectors.DefaultSelector())
            self._woken, self._waker = map(cleanup.enter_context, socket.socketpair())
            self._woken.setblocking(False)
            self._waker.setblocking(False)
            self._selector.register(self._woken, selectors.EVENT_READ)
            self._readers = PrestartedThreadPool(READER_THREADS, "socket-loop-reader")
            cleanup.pop_all()
        self._unsubscribe = self._subscribe(self._publish)

    def _close_down(self) -> None:
        self._unsubscribe()
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def _publish(self, events: Sequence[Event]) -> None:
        # Most events concern no connection. For example, a caller that waits for a job needs only
        # the job's end.
        if self._by_root and self._concerns_any(events):
            self._published.append(events)
            self._wake()

    def _concerns_any(self, events: Sequence[Event]) -> bool:
        return any(
            connection.concerns([event for event in events if event.root_id == root_id])
            for root_id in {event.root_id for event in events}
            for connection in tuple(self._by_root.get(root_id, ()))
        )

    def _wake(self) -> None:
        # An error means that the pipe is full or closed. If it is full, the loop wakes anyway.
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turn()
        finally:
            for connection in tuple(self._waiting):
                self._run_guarded(connection.stopped)
                self._run_guarded(partial(self.leave, connection))
            self._close_down()

    def _turn(self) -> None:
        for key, mask in self._selector.select(self._idle_seconds()):
            if key.data is None:
                self._drain_waker()
            else:
                self._run_guarded(partial(key.data.ready, mask))
        for _ in range(len(self._calls)):
            self._run_guarded(*self._calls.popleft())
        self._distribute_events()
        for call, owner in self._timers.take_due(time.monotonic()):
            self._run_guarded(call, owner)

    def _idle_seconds(self) -> float | None:
        if self._calls:
            return 0.0
        next_at = self._timers.next_at
        return None if next_at is None else max(0.0, next_at - time.monotonic())

    def _drain_waker(self) -> None:
        try:
            while len(self._woken.recv(4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def _distribute_events(self) -> None:
        by_root: dict[str, list[Event]] = defaultdict(list)
        for _ in range(len(self._published)):
            for event in self._published.popleft():
                by_root[event.root_id].append(event)
        for root_id, events in by_root.items():
            for connection in tuple(self._by_root.get(root_id, ())):
                self._run_guarded(partial(connection.published, events), connection)

    def _open(self, connection: LoopConnection) -> None:
        self._waiting.add(connection)
        self._by_root.setdefault(connection.root_id, set()).add(connection)
        self._run_guarded(connection.opened, connection)

    def _run_guarded(
        self, call: Callable[[], None], connection: LoopConnection | None = None
    ) -> None:
        # An error ends only the connection that caused it.
        try:
            call()
        except Exception:
            logger.exception("a waiting connection failed")
            if connection is not None:
                self.leave(connection)


def _no_thread(error: RuntimeError) -> Unavailable:
    return Unavailable(f"cannot start a thread for streams: {error}; retry later")
