"""Work around attempts that takes too long for the threads that own state or listen."""

import logging
import os
import threading
from collections.abc import Callable

from orchestrator.core.evidence import Exit
from orchestrator.engine.space_waits import SpaceWaits
from orchestrator.engine.threads import SteadyThreads

logger = logging.getLogger(__name__)


class Beside:
    """A few threads. Any thread may call.

    A stop either comes before an attempt is launched, and then it never is, or finds it launched.
    """

    def __init__(self) -> None:
        self._threads = SteadyThreads(min(8, (os.cpu_count() or 1) + 2), "beside")
        self._lock = threading.Lock()
        #: Attempts that are made ready, and how they were stopped.
        self._preparing: dict[str, Exit | None] = {}
        self._closed = False
        #: What a full disk holds up.
        self.space = SpaceWaits(self.later)

    def begin(self, attempt: str, work: Callable[[], None]) -> None:
        """Have an attempt made ready; ``work`` ends with a call of ``ready``."""
        with self._lock:
            self._preparing[attempt] = None
        self.later(work)

    def ready(self, attempt: str, launch: Callable[[], None]) -> Exit | None:
        """Launch it, or say how it was stopped before."""
        with self._lock:
            stopped = self._preparing.pop(attempt, None)
            if stopped is None and not self._closed:
                launch()
        return stopped

    def stopped(self, attempt: str) -> Exit | None:
        """How an attempt that is made ready was stopped meanwhile."""
        with self._lock:
            return self._preparing.get(attempt)

    def stop(self, attempt: str, exit: Exit) -> bool:
        """Whether it had not been launched yet. Idempotent."""
        with self._lock:
            if attempt not in self._preparing:
                return False
            self._preparing[attempt] = self._preparing[attempt] or exit
            return True

    def later(self, work: Callable[[], None]) -> None:
        """After ``close``: never. The next server finds what is to be done."""
        try:
            self._threads.submit(_logged, work)
        except RuntimeError:
            logger.info("the server is stopping: the next one goes on")

    def close(self) -> None:
        """Wait for what is being done; begin and launch nothing more. Idempotent."""
        with self._lock:
            self._closed = True
        self.space.close()
        self._threads.shutdown(wait=True, cancel_futures=True)


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        logger.exception("work beside the loop failed")
