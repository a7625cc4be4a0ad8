"""Reset time of a rate-limited account, from a provider's headers."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from orchestrator.agents.ai_tools.reader_parts.rate_limit_reset import resets_at as in_words
from orchestrator.core.text import json_values
from orchestrator.system.http_client.http_retry import seconds_until

_EPOCH = ("anthropic-ratelimit-unified-reset",)
_DATES = (
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-input-tokens-reset",
    "anthropic-ratelimit-output-tokens-reset",
)
_SPANS = ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: Maximum seconds to a reset; a later time is invalid.
_FARTHEST = 90 * 86400.0


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds to wait, from ``retry-after`` or ``retry-after-ms``; None if unknown."""
    exact = json_values.number(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    return seconds_until(headers.get("retry-after"), now)


def resets_at(headers: Mapping[str, str], message: str, now: float) -> float | None:
    """Return the reset time as a Unix time; None if it is unknown.

    A time in ``message``, the error's text, has priority over the headers. If the headers name
    several resets, return the latest reset, because a call must be within all limits.
    """
    moment = in_words(message, now)
    if moment is not None:
        return moment
    windows = [
        *_known_values(headers, _EPOCH, json_values.number),
        *_known_values(headers, _DATES, _iso_date),
    ]
    windows += [now + span for span in _known_values(headers, _SPANS, _seconds_in)]
    return max((at for at in windows if now < at < now + _FARTHEST), default=None)


def _known_values(
    headers: Mapping[str, str], names: tuple[str, ...], read: Callable[[str], float | None]
) -> list[float]:
    values = (read(headers[name]) for name in names if name in headers)
    return [value for value in values if value is not None]


def _seconds_in(text: str) -> float | None:
    """Return the seconds in a text such as "6m0s" or "250ms"; None for any other text."""
    parts = _SPAN.findall(text)
    return sum(float(amount) * _SECONDS[unit] for amount, unit in parts) if parts else None


def _iso_date(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
