"""A cache with a maximum number of values."""

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """A cache of the values that were stored most recently. Any thread may call."""

    def __init__(self, most: int) -> None:
        """``most``: maximum number of values. A full cache removes its oldest value."""
        self._most = most
        self._lock = threading.Lock()
        self._values: dict[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        with self._lock:
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Store a value, and replace the key's earlier value."""
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = value
            if len(self._values) > self._most:
                del self._values[next(iter(self._values))]

    def drop(self, key: Key) -> None:
        """Remove a value. Idempotent."""
        with self._lock:
            self._values.pop(key, None)
