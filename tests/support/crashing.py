"""Crashes in this process: an exception that only a test catches."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.core import failpoints


class Crash(BaseException):
    """Raised at a failpoint, so that no later code runs."""


@contextmanager
def crash_at(nth: int, part: str = "") -> Iterator[None]:
    """In a ``with`` block, raise Crash at the ``nth`` failpoint whose name contains ``part``."""
    passed = 0

    def reached(name: str) -> None:
        nonlocal passed
        if part in name:
            passed += 1
            if passed == nth:
                raise Crash(name)

    failpoints.arm(reached)
    try:
        yield
    finally:
        failpoints.arm(None)
