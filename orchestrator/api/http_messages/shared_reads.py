"""Concurrent equal reads share one result."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class _Read(Generic[Value]):
    def __init__(self) -> None:
        self.ended = threading.Event()
        #: The result; None if the read failed.
        self.value: Value | None = None
        #: The next read, for callers that come during this read. A change may have been made after
        #: this read began.
        self.next: _Read[Value] | None = None


class SharedReads(Generic[Value]):
    """Shares the result of a read among concurrent callers. Any thread may call.

    A caller that comes during a read gets the result of the next read, because the running read may
    lack newer changes. Without sharing, each reader of a large job would hold the job in memory.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, _Read[Value]] = {}

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the result of ``make``. Concurrent callers with the same ``key`` share one result.

        Raises the errors of ``make``.
        """
        with self._lock:
            running = self._running.get(key)
            if running is None:
                read, is_maker = self._running.setdefault(key, _Read()), True
            else:
                is_maker = running.next is None
                read = running.next = running.next or _Read()
        if not is_maker:
            read.ended.wait()
            return make() if read.value is None else read.value
        if running is not None:
            running.ended.wait()
        return self._make(key, read, make)

    def _make(self, key: Hashable, read: _Read[Value], make: Callable[[], Value]) -> Value:
        try:
            read.value = make()
            return read.value
        finally:
            with self._lock:
                if read.next is None:
                    del self._running[key]
                else:
                    self._running[key] = read.next
            read.ended.set()
