"""The signal that stops a server. The server's main thread waits for this signal."""

import os
import signal
from contextlib import suppress
from queue import Empty, SimpleQueue


class StopSignal:
    """An event that the first SIGTERM or SIGINT sets. A second signal ends the process at once.

    The class uses a SimpleQueue, to which a signal handler may write. With a ``threading.Event``,
    the handler could wait forever: it runs in the main thread, which may hold the event's lock.
    """

    def __init__(self) -> None:
        self._arrived: SimpleQueue[int] = SimpleQueue()
        self._is_set = False

    def install(self) -> None:
        """Handle the signals from now on. Only the main thread may call."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._arrive)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Wait for a signal, at most ``seconds``. Return True if a signal has arrived.

        If a signal arrived before this call, return at once.
        """
        if not self._is_set:
            with suppress(Empty):
                self._arrived.get(timeout=seconds)
        return self._is_set

    def _arrive(self, number: int, _: object) -> None:
        if self._is_set:
            os._exit(130)
        self._is_set = True
        self._arrived.put(number)
