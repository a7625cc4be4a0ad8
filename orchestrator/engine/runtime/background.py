"""Work outside the supervisor's thread: slow work in background threads, and running processes.

Reads of the store are repeated until the store answers. Work that a full disk stopped is repeated
after growing pauses, until the disk has space.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from orchestrator.core.errors import StoreAway
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Exit

logger = logging.getLogger(__name__)

T = TypeVar("T")
RETRY_SECONDS = 0.5


def when_reachable(read: Callable[[], T], given_up: threading.Event) -> T:
    """Repeat ``read`` until the store answers. Raise StoreAway once ``given_up`` is set."""
    is_logged = False
    while True:
        try:
            return read()
        except StoreAway as error:
            if not is_logged:
                logger.warning("the store is unavailable; retrying: %s", error)
            is_logged = True
            if given_up.wait(RETRY_SECONDS):
                raise


class PrestartedThreadPool(ThreadPoolExecutor):
    """A thread pool that starts one thread at once, and further threads when they are needed.

    If no further thread can start, the first thread runs the work. The standard library's pool then
    raises an error, although it has queued the work.
    """

    def __init__(self, most: int, name: str) -> None:
        """Start the first thread. Raise RuntimeError if that is not possible."""
        super().__init__(most, name)
        self.submit(_nothing)

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


def _nothing() -> None:
    """Do nothing. The pool starts its first thread to run this function."""


#: Seconds until the first repetition. Each further pause is twice as long as the one before.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(slots=True)
class _Wait:
    reason: str
    work: Callable[[], None]
    pause: float
    due: float
    #: True from the start of a repetition until the work calls ``done`` or ``hold``.
    is_tried: bool = False


class SpaceWaits:
    """Work that waits until the disk has space. Any thread may call.

    ``begin``: the function that runs the work in a thread.
    """

    def __init__(self, begin: Callable[[Callable[[], None]], None]) -> None:
        self._begin = begin
        self._waits: dict[str, _Wait] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def reason(self) -> str:
        with self._changed:
            return next((wait.reason for wait in self._waits.values()), "")

    def hold(self, name: str, work: Callable[[], None], reason: str) -> bool:
        """Repeat ``work`` after a pause. Return True if work with this name was not waiting before.

        At its end, the work must call ``done``, or ``hold`` again.
        """
        with self._changed:
            present = self._waits.get(name)
            pause = FIRST_PAUSE_SECONDS
            if present is not None:
                pause = min(2 * present.pause, LONGEST_PAUSE_SECONDS)
            else:
                logger.warning("%s", reason, extra={"attempt": name})
            self._waits[name] = _Wait(reason, work, pause, time.monotonic() + pause)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="space", daemon=True)
                self._thread.start()
            self._changed.notify()
            return present is None

    def done(self, name: str) -> bool:
        """Record that the work no longer waits. Return True if it was waiting. Idempotent."""
        with self._changed:
            return self._waits.pop(name, None) is not None

    def wake(self, name: str) -> None:
        with self._changed:
            if name in self._waits:
                self._waits[name].due = 0.0
                self._changed.notify()

    def close(self) -> None:
        """Run nothing more. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                waits = [each for each in self._waits.values() if not each.is_tried]
                if self._closed or not waits:
                    # Set this while holding the lock, so that ``hold`` finds this thread running,
                    # or starts another one.
                    self._thread = None
                    return
                seconds = min(each.due for each in waits) - time.monotonic()
                if seconds > 0:
                    self._changed.wait(seconds)
                    continue
                due = [each for each in waits if each.due <= time.monotonic()]
                for each in due:
                    each.is_tried = True
            for each in due:
                self._begin(each.work)


class BackgroundPool:
    """A few threads that prepare attempts. Any thread may call.

    An attempt that is stopped before its launch is never launched. After the launch, only the
    launcher can stop the attempt.
    """

    def __init__(self) -> None:
        self._threads = PrestartedThreadPool(min(8, (os.cpu_count() or 1) + 2), "background")
        self._lock = threading.Lock()
        #: Attempts in preparation. The value is the attempt's exit if the attempt was stopped
        #: during its preparation; otherwise None.
        self._preparing: dict[str, Exit | None] = {}
        self._closed = False
        #: Work that is delayed by a full disk.
        self.space = SpaceWaits(self.later)

    def begin(self, attempt: str, work: Callable[[], None]) -> None:
        """Prepare an attempt in the background. ``work`` must call ``ready`` at its end."""
        with self._lock:
            self._preparing[attempt] = None
        self.later(work)

    def ready(self, attempt: str, launch: Callable[[], None]) -> Exit | None:
        """Call ``launch``, unless the attempt was stopped during its preparation.

        Return the exit of a stopped attempt; otherwise None.
        """
        with self._lock:
            stopped = self._preparing.pop(attempt, None)
            if stopped is None and not self._closed:
                launch()
        return stopped

    def stopped(self, attempt: str) -> Exit | None:
        with self._lock:
            return self._preparing.get(attempt)

    def stop(self, attempt: str, exit: Exit) -> bool:
        """Stop an attempt that is being prepared. Idempotent.

        Return True if the attempt was not launched yet.
        """
        with self._lock:
            if attempt not in self._preparing:
                return False
            self._preparing[attempt] = self._preparing[attempt] or exit
            return True

    def later(self, work: Callable[[], None]) -> None:
        """Run work in a thread.

        After ``close``, do nothing, because the next server finds the same work in the stored
        state.
        """
        try:
            self._threads.submit(_logged, work)
        except RuntimeError:
            logger.info("the server is stopping: the work continues after the next start")

    def close(self) -> None:
        """Wait for running work. Start and launch nothing more. Idempotent."""
        with self._lock:
            self._closed = True
        self.space.close()
        self._threads.shutdown(wait=True, cancel_futures=True)


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        logger.exception("background work failed")


#: Called once with the end of a process, in the thread that reports it. Must not block.
EndHandler = Callable[[Exit], None]


@dataclass(frozen=True, slots=True)
class PreloadHandlers:
    """The two handlers of a preloaded launch.

    ``on_begun`` is called when the launch begins, with the start as Unix time. ``on_returned`` is
    called when the launch is returned.
    """

    on_begun: Callable[[float], None]
    on_returned: Callable[[], None]


class RunningProcesses:
    """The registry of this server's processes; implements ``core.ports.launcher.LauncherEvents``.

    Attempts, gates, and the preparation of shared contexts run under one launcher. Each caller
    registers a handler for a process id before it starts the process::

        processes.expect(launch.attempt_id, on_end)
        launcher.start(launch)

    Any thread may call. No lock is needed, because each call is one atomic operation on a
    dictionary.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, EndHandler] = {}
        #: Handlers of preloaded launches that have not begun, by process.
        self._preloads: dict[str, PreloadHandlers] = {}

    def expect(self, process: str, on_end: EndHandler) -> None:
        self._handlers[process] = on_end

    def expect_preloaded(self, process: str, on_end: EndHandler, handlers: PreloadHandlers) -> None:
        self._handlers[process] = on_end
        self._preloads[process] = handlers

    @property
    def ids(self) -> frozenset[str]:
        """A snapshot of the ids of registered processes that have not ended."""
        return frozenset(self._handlers)

    def started(self, attempt_id: str, pid: int) -> None:
        """Do nothing, because starts are recorded before they are attempted."""

    def begun(self, attempt_id: str, at: float) -> None:
        handlers = self._preloads.pop(attempt_id, None)
        if handlers is not None:
            handlers.on_begun(at)

    def returned(self, attempt_id: str) -> None:
        self._handlers.pop(attempt_id, None)
        handlers = self._preloads.pop(attempt_id, None)
        if handlers is not None:
            handlers.on_returned()

    def ended(self, attempt_id: str, exit: Exit) -> None:
        """Call the process's handler, and drop the process.

        Idempotent. Ignore an unknown process.
        """
        self._preloads.pop(attempt_id, None)
        on_end = self._handlers.pop(attempt_id, None)
        if on_end is not None:
            on_end(exit)
