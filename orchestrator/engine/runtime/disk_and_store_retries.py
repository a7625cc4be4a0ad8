"""Retries work that failed because the disk was full, or because the store was unavailable."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from orchestrator.core.errors import StoreAway
from orchestrator.core.lazy_dataclass import dataclass

logger = logging.getLogger(__name__)

#: Seconds before the first retry on a full disk. Each further pause is twice as long.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
#: Seconds between two reads while the store is unavailable.
STORE_RETRY_SECONDS = 0.5

T = TypeVar("T")


@dataclass(slots=True)
class _WaitingWork:
    reason: str
    work: Callable[[], None]
    pause: float
    due: float
    #: True from the start of a retry until the work calls ``done`` or ``hold``.
    is_running: bool = False


class DiskSpaceRetries:
    """Work that is retried until the disk has space. The pauses between retries grow.

    Any thread may call. ``begin``: a function that runs the given work in a thread.
    """

    def __init__(self, begin: Callable[[Callable[[], None]], None]) -> None:
        self._begin = begin
        self._waiting: dict[str, _WaitingWork] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def reason(self) -> str:
        with self._changed:
            return next((each.reason for each in self._waiting.values()), "")

    def hold(self, name: str, work: Callable[[], None], reason: str) -> bool:
        """Run ``work`` after a pause. Return True if no work with this name was waiting before.

        At its end, ``work`` must call ``done`` after success, or ``hold`` again after a failure.
        ``reason``: why the work waits, for the log and the status.
        """
        with self._changed:
            earlier_work = self._waiting.get(name)
            pause = FIRST_PAUSE_SECONDS
            if earlier_work is not None:
                pause = min(2 * earlier_work.pause, LONGEST_PAUSE_SECONDS)
            else:
                logger.warning("%s", reason, extra={"attempt": name})
            self._waiting[name] = _WaitingWork(reason, work, pause, time.monotonic() + pause)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="space", daemon=True)
                self._thread.start()
            self._changed.notify()
            return earlier_work is None

    def done(self, name: str) -> bool:
        """Record that the named work needs no further retry. Idempotent.

        Return True if the work was waiting for a retry.
        """
        with self._changed:
            return self._waiting.pop(name, None) is not None

    def wake(self, name: str) -> None:
        with self._changed:
            if name in self._waiting:
                self._waiting[name].due = 0.0
                self._changed.notify()

    def close(self) -> None:
        """Run no further work. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                waiting = [each for each in self._waiting.values() if not each.is_running]
                if self._closed or not waiting:
                    # Reset this field while the lock is held, so that ``hold`` starts another
                    # thread for later work.
                    self._thread = None
                    return
                seconds = min(each.due for each in waiting) - time.monotonic()
                if seconds > 0:
                    self._changed.wait(seconds)
                    continue
                due = [each for each in waiting if each.due <= time.monotonic()]
                for each in due:
                    each.is_running = True
            for each in due:
                self._begin(each.work)


def when_reachable(read: Callable[[], T], stopping: threading.Event) -> T:
    """Call ``read`` until it succeeds, and return its result. Retry after StoreAway.

    If ``stopping`` is set, do not retry: raise StoreAway.
    """
    is_logged = False
    while True:
        try:
            return read()
        except StoreAway as error:
            if not is_logged:
                logger.warning("the store is unavailable; retrying: %s", error)
            is_logged = True
            if stopping.wait(STORE_RETRY_SECONDS):
                raise
