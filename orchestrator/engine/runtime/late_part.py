"""Late parts: created at their first use, with the modules that they need."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

Part = TypeVar("Part")


def late(make: Callable[[], Part]) -> Part:
    """Return a stand-in for the result of ``make``. The first use of an attribute calls ``make``.

    Any thread may use the stand-in. It has the part's methods and attributes, but not its class.
    """
    return cast(Part, _LatePart(make))


def if_made(part: Part) -> Part | None:
    """Return the part behind a stand-in; None if no use has created the part yet."""
    return cast(Part | None, part.made) if isinstance(part, _LatePart) else part


class _LatePart:
    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self.made: object = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if self.made is None:
            with self._lock:
                if self.made is None:
                    self.made = self._make()
        return getattr(self.made, name)
