"""Events of all jobs, as Server-Sent Events."""

from collections.abc import Callable, Sequence

from orchestrator.api.serializers.job_cards import feed_values
from orchestrator.api.sockets.socket_loop import SocketLoop
from orchestrator.api.streaming.event_stream import GREETING, HEARTBEAT, RESET, sse_frame
from orchestrator.api.streaming.waiting_connection import WaitingConnection
from orchestrator.core.events import Event
from orchestrator.engine.service.read_models.feed import Feed, FeedItem

#: Root id of this stream. No job has this id, because the feed wakes the stream, not a job's
#: events.
NO_ROOT = ""


class FeedFrames:
    """Cache of the encoded recent items, so that an item with many readers is encoded once."""

    SIZE = 4096

    def __init__(self) -> None:
        self._known: dict[int, bytes] = {}

    def of(self, item: FeedItem) -> bytes:
        if len(self._known) > self.SIZE:
            self._known.clear()
        if item.number not in self._known:
            self._known[item.number] = sse_frame(item.number, item.kind, feed_values(item))
        return self._known[item.number]


class FeedStream(WaitingConnection):
    """Sends items of the feed as fast as the reader receives them.

    A reader that missed items is told to read everything again.
    """

    def __init__(
        self,
        socket_loop: SocketLoop,
        feed: Feed,
        sees: Callable[[FeedItem], bool],
        frames: FeedFrames,
        *,
        after: int,
    ) -> None:
        super().__init__(socket_loop, NO_ROOT)
        self._feed = feed
        self._sees = sees
        self._frames = frames
        self._sent = after or feed.last
        self._woken = False
        self._end: Callable[[], None] = lambda: None

    def begin(self) -> None:
        self._writer.write(GREETING)
        self._end = self._feed.listen(self._wake)
        self._socket_loop.read(self._feed.prepare, lambda _: self._send(), self)

    def published(self, events: Sequence[Event]) -> None:
        """Do nothing with events of single jobs, because the feed wakes the stream."""

    def drained(self) -> None:
        self._send()

    def beat(self) -> None:
        if not self._writer.pending:
            self._writer.write(HEARTBEAT)

    def closed(self) -> None:
        self._end()
        super().closed()

    def _wake(self) -> None:
        """Schedule the sending of new items.

        The feed calls this method in the feed's own thread.
        """
        if not self._woken:
            self._woken = True
            self._socket_loop.call_soon(self._send, self)

    def _send(self) -> None:
        self._woken = False
        if not self._open or self._writer.pending > self._socket_loop.options.lag_limit_bytes:
            return  # the rest follows when the reader has received all sent data
        items = self._feed.after(self._sent)
        if items is None:
            self._sent = self._feed.last
            self._writer.write(sse_frame(self._sent, RESET, {}))
        elif items:
            self._sent = items[-1].number
            self._writer.write(
                b"".join(self._frames.of(each) for each in items if self._sees(each))
            )
