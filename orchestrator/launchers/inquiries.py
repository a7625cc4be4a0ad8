"""How attempts ended whose shims cannot say so, found out in threads beside."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from orchestrator.core.evidence import Exit

logger = logging.getLogger(__name__)

_THREADS = 2
_RETRY_SECONDS = 0.5


class Inquiries:
    """For what takes time: all processes are looked through, those of an attempt are ended."""

    def __init__(self, tell: Callable[[str, Exit], None]) -> None:
        """``tell`` takes an attempt's id and its end, from any thread."""
        self._tell = tell
        self._threads = ThreadPoolExecutor(_THREADS, "inquiry")
        # Has the first thread made: when it is needed there may be none to be had.
        self._threads.submit(int)
        self._closing = threading.Event()

    def begin(self, attempt_id: str, ask: Callable[[], Exit]) -> None:
        # Where no further thread can be had, it is in the queue of those that are there.
        with suppress(RuntimeError):
            self._threads.submit(self._ask_until_known, attempt_id, ask)

    def close(self) -> None:
        """Wait for what is being found out; the rest is left to the next server. Idempotent."""
        self._closing.set()
        self._threads.shutdown(cancel_futures=True)

    def _ask_until_known(self, attempt_id: str, ask: Callable[[], Exit]) -> None:
        """Until it is settled (is the disk full?), the next attempt must not begin."""
        while not self._closing.is_set():
            try:
                self._tell(attempt_id, ask())
                return
            except Exception:
                logger.exception("an end is not settled", extra={"action": "inquiry"})
            self._closing.wait(_RETRY_SECONDS)
