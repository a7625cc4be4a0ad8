"""A pool of background threads for slow work, such as gates and the preparation of attempts."""

import logging
import os
import threading
from collections.abc import Callable

from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.engine.runtime.disk_and_store_retries import DiskSpaceRetries
from orchestrator.engine.runtime.thread_pool import PrestartedThreadPool

logger = logging.getLogger(__name__)


class BackgroundPool:
    """A few threads for slow work, such as the preparation of attempts. Any thread may call.

    If ``stop`` is called before an attempt's launch, the attempt is never launched. After the
    launch, only the launcher can stop the attempt.
    """

    def __init__(self) -> None:
        self._threads = PrestartedThreadPool(min(8, (os.cpu_count() or 1) + 2), "background")
        self._lock = threading.Lock()
        #: Attempts in preparation. The value is the attempt's exit if the attempt was stopped
        #: during its preparation; otherwise None.
        self._preparing: dict[str, Exit | None] = {}
        self._closed = False
        #: Work that is delayed by a full disk.
        self.space_retries = DiskSpaceRetries(self.submit)

    def begin(self, attempt: str, work: Callable[[], None]) -> None:
        """Prepare an attempt in the background. ``work`` must call ``ready`` at its end."""
        with self._lock:
            self._preparing[attempt] = None
        self.submit(work)

    def ready(self, attempt: str, launch: Callable[[], None]) -> Exit | None:
        """End the preparation of an attempt. If the attempt was not stopped, call ``launch``.

        Return the exit of a stopped attempt; otherwise None. After ``close``, do not launch.
        """
        with self._lock:
            early_exit = self._preparing.pop(attempt, None)
            if early_exit is None and not self._closed:
                launch()
        return early_exit

    def early_exit(self, attempt: str) -> Exit | None:
        with self._lock:
            return self._preparing.get(attempt)

    def stop(self, attempt: str, exit: Exit) -> bool:
        """Stop an attempt that is being prepared. Idempotent.

        Return False if the attempt is not being prepared, for example because it was launched.
        """
        with self._lock:
            if attempt not in self._preparing:
                return False
            self._preparing[attempt] = self._preparing[attempt] or exit
            return True

    def submit(self, work: Callable[[], None]) -> None:
        """Run ``work`` in a background thread.

        After ``close``, do nothing: the next server finds the same work in the stored state.
        """
        try:
            self._threads.submit(_logged, work)
        except RuntimeError:
            logger.info("the server is stopping: background work continues after the next start")

    def close(self) -> None:
        """Wait for running work. Start no further work, and launch no attempts. Idempotent."""
        with self._lock:
            self._closed = True
        self.space_retries.close()
        self._threads.shutdown(wait=True, cancel_futures=True)


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        logger.exception("background work failed")
