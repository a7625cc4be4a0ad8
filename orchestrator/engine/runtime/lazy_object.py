"""Lazy objects, which are created at their first use. Their modules are also imported only then."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")


def lazy(make: Callable[[], T]) -> T:
    """Return a proxy for the result of ``make``. The first use of an attribute calls ``make``.

    Any thread may use the proxy. The proxy has the object's methods and attributes, but not its
    class.
    """
    return cast(T, _LazyObject(make))


class _LazyObject:
    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._made: object = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make()
        return getattr(self._made, name)
