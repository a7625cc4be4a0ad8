"""The base class of event streams, followed logs and waits."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from orchestrator.api.sockets.hub import Hub
from orchestrator.api.sockets.response_sinks import Sink
from orchestrator.core.events import Event

logger = logging.getLogger(__name__)

#: A reader that receives nothing for so many seconds is dropped.
STALL_SECONDS = 120.0


class ParkedConnection(ABC):
    """An object that holds a connection but no thread. Runs in the hub's thread.

    ``park`` is called once, from any thread.
    """

    def __init__(self, hub: Hub, root_id: str) -> None:
        self._hub = hub
        self._root_id = root_id
        self._open = True
        self._sink: Sink

    @property
    def root_id(self) -> str:
        return self._root_id

    def park(self, sink: Sink) -> None:
        self._sink = sink
        self._hub.park(self)

    def opened(self) -> None:
        self._sink.attach(self)
        self._watch_for_stall()
        self.begin()

    @abstractmethod
    def begin(self) -> None:
        """Begin the work. From now on, no event is missed."""

    @abstractmethod
    def published(self, events: Sequence[Event]) -> None:
        """Receive stored events of the whole tree, in order."""

    def drained(self) -> None:  # noqa: B027 - only what is sent in pieces goes on then
        """Called after all written data has been sent."""

    def gone(self) -> None:
        self._hub.leave(self)

    def stopped(self) -> None:
        self.drop()

    def drop(self) -> None:
        """End without a last message, because the reader can resume."""
        self._hub.leave(self)

    def closed(self) -> None:
        self._open = False
        self._sink.abort()

    def _watch_for_stall(self) -> None:
        self._hub.call_after(self._hub.options.heartbeat_seconds, self._beat, self, align=0.25)

    def _beat(self) -> None:
        if not self._open:
            return
        if self._sink.pending and time.monotonic() - self._sink.progress_at > STALL_SECONDS:
            logger.info("dropped a reader that takes nothing", extra={"root_id": self._root_id})
            self.drop()
            return
        self.beat()
        self._watch_for_stall()

    def beat(self) -> None:  # noqa: B027 - not everything has something to do then
        """Called every ``heartbeat_seconds``."""
