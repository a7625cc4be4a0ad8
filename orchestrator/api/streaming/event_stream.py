"""Streams of Server-Sent Events: the events of one job, or the changes of all jobs.

A job's stored events are sent first, then its live events, without gaps or repetitions.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from orchestrator.api.serializers.events import brief_values, event_values
from orchestrator.api.serializers.job_lists import feed_values
from orchestrator.api.socket_loop.socket_loop import SocketLoop
from orchestrator.api.streaming.waiting_connection import WaitingConnection
from orchestrator.core.errors import NotFound
from orchestrator.core.events import Event, EventKind
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job
from orchestrator.engine.event_feed import Feed, FeedItem
from orchestrator.engine.service.service import Service

logger = logging.getLogger(__name__)

#: Events that end a run of a job, and events that begin the next run.
_TURNS = (EventKind.JOB_ENDED, EventKind.JOB_RETRIED, EventKind.JOB_REOPENED)

PAGE_EVENTS = 500
GREETING = b"retry: 1000\n\n"
HEARTBEAT = b": heartbeat\n\n"
#: Name of the event that tells a reader to read the job again, because earlier events are not sent.
RESET = "reset"
#: Maximum number of unsent brief events for one reader. A slower reader gets the event RESET.
MOST_BEHIND = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class EventPage:
    """The next events of a job."""

    #: True if the job had ended before the events were read.
    ended: bool
    events: Sequence[Event]
    #: Ids of the stream's jobs; None: all jobs of the root job.
    members: frozenset[str] | None
    #: Number of the latest event if earlier events are omitted: the reader must read the job again.
    #: None if no event is omitted.
    reset_to: int | None = None

    @property
    def may_have_more_after(self) -> bool:
        """True if the store may have more events after this page.

        A root job's page is the last page if it is not full. A child job's page may be short
        because events of other jobs were removed from it. So only an empty page is the last page of
        a child job.
        """
        return len(self.events) >= PAGE_EVENTS or (self.members is not None and bool(self.events))


def frame(event: Event) -> bytes:
    return sse_frame(event.seq, event.kind, event_values(event))


def brief_frame(event: Event) -> bytes:
    """Return the short form of an event, for tables of workers, as a Server-Sent Event."""
    return sse_frame(event.seq, event.kind, brief_values(event))


def sse_frame(number: int, name: str, values: Mapping[str, object]) -> bytes:
    data = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return f"id: {number}\nevent: {name}\ndata: {data}\n\n".encode("utf-8", "replace")


class Frames:
    """Cache of recent events as Server-Sent Events: each event is encoded once."""

    SIZE = 4096

    def __init__(self, make: Callable[[Event], bytes] = frame) -> None:
        self._make = make
        self._cache: dict[tuple[str, int], bytes] = {}

    def of(self, events: Sequence[Event]) -> bytes:
        if len(self._cache) > self.SIZE:
            self._cache.clear()
        return b"".join(self._encoded(event) for event in events)

    def _encoded(self, event: Event) -> bytes:
        key = (event.root_id, event.seq)
        if key not in self._cache:
            self._cache[key] = self._make(event)
        return self._cache[key]


class EventStream(WaitingConnection):
    """Sends stored events page by page, then published events.

    Until the last stored page is sent, new events are read from the store, too.
    """

    def __init__(
        self,
        socket_loop: SocketLoop,
        service: Service,
        caller: Caller,
        job: Job,
        *,
        after: int,
        frames: Frames,
    ) -> None:
        super().__init__(socket_loop, job.root_id)
        self._service = service
        self._caller = caller
        self._job_id = job.id
        self._is_root = job.is_root
        self._sent = after
        self._frames = frames
        self._members: frozenset[str] | None = None
        self._live = False
        self._done = False
        self._reading = False
        self._read_again = False

    def begin(self) -> None:
        self._writer.write(GREETING)
        self._catch_up()

    def published(self, events: Sequence[Event]) -> None:
        if self._done:
            return
        if not self._live:
            self._read_again = True
        elif any(
            event.kind is EventKind.JOB_SUBMITTED and not self._is_of_this_tree(event)
            for event in events
        ):
            self._catch_up()
        else:
            self._send([event for event in events if self._is_of_this_tree(event)])
            self._check_after(events)

    def drained(self) -> None:
        if not (self._live or self._reading or self._done):
            self._read()

    def beat(self) -> None:
        if not (self._done or self._writer.pending):
            self._writer.write(HEARTBEAT)

    def _is_of_this_tree(self, event: Event) -> bool:
        return self._members is None or event.job_id in self._members

    def _catch_up(self) -> None:
        self._live = False
        if not self._reading:
            self._read()

    def _read(self) -> None:
        self._reading, self._read_again = True, False
        self._socket_loop.read(self._page, self._arrived, self)

    def _page(self) -> EventPage:
        service, caller, job_id = self._service, self._caller, self._job_id
        ended = service.access.job(caller, job_id).status.ended
        members = None if self._is_root else service.job_details.subtree(caller, job_id)
        events = service.job_details.events(caller, job_id, self._sent, PAGE_EVENTS)
        return EventPage(ended=ended, events=events, members=members)

    def _arrived(self, future: Future[EventPage]) -> None:
        self._reading = False
        if not self._open or future.cancelled():
            return
        if (error := future.exception()) is not None:
            if not isinstance(error, NotFound):
                logger.warning("ended a stream, because its events cannot be read", exc_info=error)
            self._end_unread()
            return
        page = future.result()
        self._members = page.members
        if page.reset_to is not None:
            self._sent = page.reset_to
            self._writer.write(sse_frame(self._sent, RESET, {"seq": self._sent}))
        self._send(page.events)
        self._continue_after(page)

    def _end_unread(self) -> None:
        """End the stream because its events could not be read."""
        self.drop()

    def _continue_after(self, page: EventPage) -> None:
        if not self._open:
            return
        if page.may_have_more_after or self._read_again:
            if not self._writer.pending:
                self._read()  # if data is pending, ``drained`` reads later
        elif page.ended and not self._runs_again(page.events):
            self._done = True
            self._finish()
        else:
            self._live = True

    def _finish(self) -> None:
        self._writer.finish()

    def _runs_again(self, events: Sequence[Event]) -> bool:
        """True if ``events`` show that a new run of the job has begun, and has not ended."""
        kinds = [event.kind for event in events if event.job_id == self._job_id]
        turns = [kind for kind in kinds if kind in _TURNS]
        return bool(turns) and turns[-1] is not EventKind.JOB_ENDED

    def _send(self, events: Sequence[Event]) -> None:
        new_events = [event for event in events if event.seq > self._sent]
        if not new_events:
            return
        self._sent = new_events[-1].seq
        self._writer.write(self._frames.of(new_events))
        if self._live and self._writer.pending > self._socket_loop.options.lag_limit_bytes:
            self._handle_lag()

    def _handle_lag(self) -> None:
        payload = {"job_id": self._job_id}
        logger.info("disconnected a client that read events too slowly", extra=payload)
        self.drop()

    def _check_after(self, events: Sequence[Event]) -> None:
        # Read the store before the stream ends, because a person may have retried the job already.
        for event in events:
            if event.kind is EventKind.JOB_ENDED and event.job_id == self._job_id and self._open:
                self._catch_up()


class BriefStream(EventStream):
    """Sends events in their short form.

    A reader that is far behind gets the event `reset`, and must read the job again.
    """

    def __init__(
        self,
        socket_loop: SocketLoop,
        service: Service,
        caller: Caller,
        job: Job,
        *,
        after: int,
        frames: Frames,
        from_now: bool = False,
    ) -> None:
        super().__init__(socket_loop, service, caller, job, after=after, frames=frames)
        self._from_now = from_now

    def _page(self) -> EventPage:
        page = super()._page()
        if not self._from_now and len(page.events) < MOST_BEHIND:
            return page
        last_seq = self._service.job_lists.last_seq(self._caller, self._job_id)
        from_now, self._from_now = self._from_now, False
        if from_now or last_seq - self._sent > MOST_BEHIND:
            return replace(page, events=(), reset_to=last_seq)
        return page

    def _handle_lag(self) -> None:
        self._live = False  # The store is read again when the reader has received pending events.


#: Root id of the stream of all jobs. No job has this id, so the socket loop passes no events to the
#: stream.
NO_ROOT = ""


class FeedFrames:
    """Cache of recent changes of jobs as Server-Sent Events: each change is encoded once."""

    SIZE = 4096

    def __init__(self) -> None:
        self._cache: dict[int, bytes] = {}

    def of(self, item: FeedItem) -> bytes:
        if len(self._cache) > self.SIZE:
            self._cache.clear()
        if item.number not in self._cache:
            self._cache[item.number] = sse_frame(item.number, item.kind, feed_values(item))
        return self._cache[item.number]


class FeedStream(WaitingConnection):
    """Sends changes of all jobs as fast as the reader receives them.

    A reader that has missed changes gets the event `reset`, and must read everything again.
    """

    def __init__(
        self,
        socket_loop: SocketLoop,
        feed: Feed,
        is_visible: Callable[[FeedItem], bool],
        frames: FeedFrames,
        *,
        after: int,
    ) -> None:
        super().__init__(socket_loop, NO_ROOT)
        self._feed = feed
        self._is_visible = is_visible
        self._frames = frames
        self._sent = after or feed.last
        self._woken = False
        self._stop_listening: Callable[[], None] = lambda: None

    def begin(self) -> None:
        self._writer.write(GREETING)
        self._stop_listening = self._feed.listen(self._wake)
        self._socket_loop.read(self._feed.prepare, lambda _: self._send(), self)

    def published(self, events: Sequence[Event]) -> None:
        """Ignore events of single jobs."""

    def drained(self) -> None:
        self._send()

    def beat(self) -> None:
        if not self._writer.pending:
            self._writer.write(HEARTBEAT)

    def closed(self) -> None:
        self._stop_listening()
        super().closed()

    def _wake(self) -> None:
        # Called in the feed's own thread.
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
                b"".join(self._frames.of(each) for each in items if self._is_visible(each))
            )
