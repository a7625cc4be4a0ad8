"""Formats times in ISO 8601."""

from datetime import UTC, datetime
from functools import lru_cache


def iso(at: float | None) -> str | None:
    """Format a time in ISO 8601, in UTC with milliseconds. Return None for None."""
    if at is None:
        return None
    # Round to microseconds first, as the API does.
    milliseconds = round(at * 1_000_000) // 1000
    return f"{_formatted_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=64)
def _formatted_second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
