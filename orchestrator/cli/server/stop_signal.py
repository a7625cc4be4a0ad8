"""The signal that stops a server, as a value that its main thread waits for."""

import os
import signal
from contextlib import suppress
from queue import Empty, SimpleQueue


class StopSignal:
    """Set by the first SIGTERM or SIGINT. The second one ends the process at once.

    This is no ``threading.Event``: a handler runs in the main thread, possibly while that thread
    holds the event's lock, and would then wait forever. A SimpleQueue may be filled by a handler.
    """

    def __init__(self) -> None:
        self._arrived: SimpleQueue[int] = SimpleQueue()
        self._is_set = False

    def install(self) -> None:
        """Handle the signals from now on. For the main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._arrive)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Wait at most ``seconds``. Return True as soon as a signal has arrived, also earlier."""
        if not self._is_set:
            with suppress(Empty):
                self._arrived.get(timeout=seconds)
        return self._is_set

    def _arrive(self, number: int, _: object) -> None:
        if self._is_set:
            os._exit(130)
        self._is_set = True
        self._arrived.put(number)
