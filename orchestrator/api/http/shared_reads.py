"""Shares one read among several callers that make the same read at once."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class _Read(Generic[Value]):
    def __init__(self) -> None:
        self.ended = threading.Event()
        #: The value; None: the read failed.
        self.value: Value | None = None
        #: The read for callers that came during this one, which may lack newer changes.
        self.next: _Read[Value] | None = None


class SharedReads(Generic[Value]):
    """A caller gets a value whose read began after its call. Any thread may call.

    Otherwise, many readers of a large job would each hold all of it in memory, and use the
    interpreter at the same time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, _Read[Value]] = {}

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the shared result. Raises the errors of ``make``."""
        with self._lock:
            running = self._running.get(key)
            if running is None:
                mine, is_maker = self._running.setdefault(key, _Read()), True
            else:
                is_maker = running.next is None
                mine = running.next = running.next or _Read()
        if not is_maker:
            mine.ended.wait()
            return make() if mine.value is None else mine.value
        if running is not None:
            running.ended.wait()
        return self._make(key, mine, make)

    def _make(self, key: Hashable, mine: _Read[Value], make: Callable[[], Value]) -> Value:
        try:
            mine.value = make()
            return mine.value
        finally:
            with self._lock:
                if mine.next is None:
                    del self._running[key]
                else:
                    self._running[key] = mine.next
            mine.ended.set()
