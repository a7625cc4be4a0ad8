"""Formats times for people and programs."""

from datetime import UTC, datetime
from functools import lru_cache


def iso(at: float | None) -> str | None:
    """Format as ISO 8601 in UTC with milliseconds; None for None."""
    if at is None:
        return None
    milliseconds = int(at * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=64)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
