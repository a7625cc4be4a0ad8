"""Sends the due entries of the outbox: one thread selects entries, and other threads send them."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from orchestrator.core.errors import StoreError
from orchestrator.core.ports import StateChange
from orchestrator.core.ports.outbox import OutboxEntry, OutboxStore

logger = logging.getLogger(__name__)

#: Maximum number of messages that are sent at the same time: in total, and to one endpoint. The
#: second limit is lower, so that a silent endpoint does not delay messages to other endpoints.
MOST_AT_ONCE, MOST_OF_ENDPOINT = 8, 4
#: Maximum seconds between two reads of the store while no entry is due.
LONGEST_WAIT_SECONDS = 60.0
#: Seconds until a retry after an error of the store.
STORE_PAUSE_SECONDS = 2.0
#: Maximum seconds for which ``stop`` still sends messages. The next server sends the rest.
STOP_SECONDS = 5.0
#: ``stop`` also sends messages that become due within this number of seconds. The command `run`
#: stops its server right after a job, but notifications about the job become due a moment later.
AHEAD_SECONDS = 10.0

#: Function that sends one entry. Returns this entry, and further entries of the same message, with
#: their new states.
Deliver = Callable[[OutboxEntry], Sequence[OutboxEntry]]


class OutboxDispatcher:
    """Sends due entries of the outbox in the background.

    One thread selects the due entries. This thread is started when there is an entry to send.
    """

    def __init__(
        self,
        store: OutboxStore,
        deliver: Deliver,
        now: Callable[[], float],
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
        *,
        most_of: Callable[[str], int] = lambda endpoint: MOST_OF_ENDPOINT,
    ) -> None:
        """``deliver`` sends one entry, and is called in a separate thread.

        ``wait`` waits for a condition, at most the given seconds. ``most_of`` returns the maximum
        number of messages that are sent to an endpoint in parallel.
        """
        self._store = store
        self._deliver = deliver
        self._now = now
        self._wait = wait
        self._most_of = most_of
        self._news = threading.Condition()
        self._woken = False
        #: True after the call of ``stop``: the thread sends the last messages.
        self._closing = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        #: Entries that are being sent, by id.
        self._sending: dict[str, OutboxEntry] = {}
        #: For each entry that was sent: its id, and the new states to store.
        self._sent: SimpleQueue[tuple[str, Sequence[OutboxEntry]]] = SimpleQueue()
        self._unrecorded: list[OutboxEntry] = []

    def start(self) -> None:
        """Start the thread if the store has pending entries of an earlier server.

        Also start the thread if the store fails: the thread retries.
        """
        try:
            waiting = self._store.next_due() is not None
        except StoreError:
            waiting = True
        if waiting:
            self.wake()

    def observe(self, change: StateChange) -> None:
        """Wake the thread. Call this method after each stored change that has new entries."""
        self.wake()

    def wake(self) -> None:
        with self._news:
            self._woken = True
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
                self._thread.start()
            self._news.notify()

    def stop(self) -> None:
        """Send entries that had no attempt yet, for at most STOP_SECONDS. Then end the thread.

        Entries are sent if they are due now or within AHEAD_SECONDS. The next server sends the
        remaining entries of the store. Idempotent.
        """
        self._end(closing=True)
        self._end(closing=False)

    def _end(self, *, closing: bool) -> None:
        with self._news:
            self._closing, self._stopping = True, not closing
            self._woken = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS if closing else STORE_PAUSE_SECONDS)

    def _run(self) -> None:
        while True:
            try:
                seconds = self._turn()
            except StoreError as error:
                logger.warning("cannot read or write the outbox, retrying: %s", error.message)
                seconds = STORE_PAUSE_SECONDS
            except Exception:
                logger.exception("cannot send messages of the outbox, retrying")
                seconds = STORE_PAUSE_SECONDS
            with self._news:
                if self._stopping or (self._closing and not self._sending):
                    return
                if not self._woken:
                    self._wait(self._news, seconds)
                self._woken = False

    def _turn(self) -> float:
        self._record()
        free = MOST_AT_ONCE - len(self._sending)
        if free > 0:
            self._send_due(free)
        if len(self._sending) >= MOST_AT_ONCE:
            return LONGEST_WAIT_SECONDS
        due = self._store.next_due() if not self._sending else self._now() + 1.0
        if due is None:
            return LONGEST_WAIT_SECONDS
        return min(LONGEST_WAIT_SECONDS, max(0.0, due - self._now()))

    def _record(self) -> None:
        try:
            while True:
                entry_id, entries = self._sent.get_nowait()
                self._unrecorded += entries
                self._sending.pop(entry_id, None)
        except Empty:
            pass
        if self._unrecorded:
            # If ``record`` raises, the states stay in ``_unrecorded``, and the next turn stores
            # them before it sends further messages.
            self._store.record(self._unrecorded)
            self._unrecorded = []

    def _send_due(self, free: int) -> None:
        numbers = Counter(each.endpoint for each in self._sending.values())
        busy = [name for name, number in numbers.items() if number >= self._most_of(name)]
        now = self._now() + (AHEAD_SECONDS if self._closing else 0.0)
        for entry in self._store.due(now, busy, free + len(self._sending)):
            if self._closing and entry.attempts:
                continue
            full = numbers[entry.endpoint] >= self._most_of(entry.endpoint)
            if entry.id in self._sending or full or len(self._sending) >= MOST_AT_ONCE:
                continue
            numbers[entry.endpoint] += 1
            name = f"outbox-{entry.endpoint}"
            thread = threading.Thread(target=self._send, args=(entry,), name=name, daemon=True)
            self._sending[entry.id] = entry
            try:
                thread.start()
            except RuntimeError:  # No thread is available. A later turn sends the entry.
                del self._sending[entry.id]
                raise

    def _send(self, entry: OutboxEntry) -> None:
        entries: Sequence[OutboxEntry] = ()
        try:
            entries = self._deliver(entry)
        except Exception:
            # The entry stays due, so a later turn sends it.
            logger.exception(
                "cannot send message %s, retrying", entry.id, extra={"entry": entry.id}
            )
            threading.Event().wait(STORE_PAUSE_SECONDS)
        self._sent.put((entry.id, entries))
        self.wake()
