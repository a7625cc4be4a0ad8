"""Reset time of a rate-limited account, from a provider's message."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from orchestrator.agents.ai_tools.reader_parts.error_classification import clipped

#: Maximum seconds to a reset. No rate limit lasts longer, so a later time is a parsing error.
MAX_AHEAD_SECONDS = 400 * 86400

_AGAIN = r"(?:reset(?:s|ting)?|try(?:ing)? again|available again|retry(?:ing)?|wait)"
#: Patterns of reset times. They are compiled at their first use, because few runs need them.
_EPOCH = r"(?:limit reached\||reset\w*[\"']?\s*[:=]\s*[\"']?)(\d{10}(?:\d{3})?)\b"
_STAMP = (
    _AGAIN + r"\W{0,3}(?:at|on|after)?\W{0,3}"
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?) ?(Z|UTC|[+-]\d\d:?\d\d)?"
)
_HTTP_DATE = r"retry-after\W{1,4}(\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT)"
_UNIT = r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)"
_SPAN = rf"\d+(?:\.\d+)?\s*{_UNIT}(?![a-z])"
_DURATION = (
    rf"{_AGAIN}\W{{0,3}}(?:in|after|for|delay)?\W{{0,5}}({_SPAN}(?:(?:,| and)?\s*{_SPAN}){{0,4}})"
)
_RETRY_AFTER = r"retry[-_ ]?after(?:[-_ ](ms))?\W{1,5}(\d+(?:\.\d+)?)(?![\d:]|\s*\w)"
_CLOCK = (
    _AGAIN + r"\s*(?:at|on)?\s*"
    r"(?:(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w* (\d{1,2})(?:st|nd|rd|th)?"
    r"(?:,? (\d{4}))?,?(?: at)? )?"
    r"(?:(\d{1,2})(?::(\d\d))? ?([ap]m)|(\d{1,2}):(\d\d)|(midnight))"
    r"(?: ?\(([^()]{2,40})\)| ((?-i:[A-Z]{1,4}\b)|pacific))?"
)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SHORT_ZONES = {"z": 0, "utc": 0, "gmt": 0, "cet": 1, "cest": 2, "bst": 1, "est": -5, "edt": -4}
_SHORT_ZONES |= {"cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}


def resets_at(text: str, now: float) -> float | None:
    """Return the reset time (Unix time) in a message.

    The result is None if the message has no time, or has an unknown time zone. The result is also
    None if the time is more than MAX_AHEAD_SECONDS after ``now``. A time without a zone is in this
    machine's zone, because the program runs on this machine.
    """
    words = clipped(text)
    for read in (_epoch, _stamp, _http_date, _duration, _retry_after, _clock):
        try:
            moment = read(words, now)
        except (ValueError, OverflowError, OSError):
            # The message contains a date that does not exist, so try the next pattern.
            continue
        if moment is not None:
            return moment if moment <= now + MAX_AHEAD_SECONDS else None
    return None


def _epoch(text: str, _: float) -> float | None:
    match = re.search(_EPOCH, text, re.I)
    return epoch_seconds(float(match[1])) if match else None


def epoch_seconds(value: float) -> float:
    """Return a Unix time in seconds. ``value`` may be in seconds or milliseconds."""
    return value / 1000 if value >= 1e11 else value


def _stamp(text: str, _: float) -> float | None:
    match = re.search(_STAMP, text, re.I)
    if not match:
        return None
    zone = {"Z": "+00:00", "UTC": "+00:00"}.get((match[2] or "").upper(), match[2] or "")
    return datetime.fromisoformat(match[1] + zone).timestamp()


def _http_date(text: str, _: float) -> float | None:
    match = re.search(_HTTP_DATE, text, re.I)
    if not match:
        return None
    when = datetime.strptime(match[1], "%a, %d %b %Y %H:%M:%S GMT")
    return when.replace(tzinfo=UTC).timestamp()


def _duration(text: str, now: float) -> float | None:
    match = re.search(_DURATION, text, re.I)
    if not match:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(ms|mil|[smhdw])", match[1], re.I)
    units = ((number, unit.lower()) for number, unit in parts)
    return now + sum(float(n) * _SECONDS["ms" if u == "mil" else u] for n, u in units)


def _retry_after(text: str, now: float) -> float | None:
    match = re.search(_RETRY_AFTER, text, re.I)
    return now + float(match[2]) * (0.001 if match[1] else 1) if match else None


def _clock(text: str, now: float) -> float | None:
    match = re.search(_CLOCK, text, re.I)
    if not match:
        return None
    name = match[10] or match[11] or ""
    zone = _zone(name) if name else datetime.fromtimestamp(now).astimezone().tzinfo
    return _next_time(match, datetime.fromtimestamp(now, zone)) if zone else None


def _next_time(match: re.Match[str], now: datetime) -> float:
    """Return the Unix time of a date and a time of day.

    Without a date, return the next occurrence of the time of day.
    """
    hour, minute = _time_of_day(match)
    when = now.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
    if not match[1]:
        return _time_today(when, now).timestamp()
    when = when.replace(
        year=int(match[3] or now.year), month=_MONTHS.index(match[1].lower()) + 1, day=int(match[2])
    )
    if not match[3] and when < now - timedelta(days=1):
        when = when.replace(year=now.year + 1)
    return when.timestamp()


def _time_today(when: datetime, now: datetime) -> datetime:
    """Return the moment that a time of day in a message means.

    ``when`` is this time today.

    - If ``when`` is in the future: ``when``.
    - If ``when`` passed less than two minutes ago: one minute after ``when``. The message omits the
      seconds, so the reset may be up to one minute after ``when``.
    - Otherwise: the same time tomorrow.
    """
    if when > now:
        return when
    just_now = now - when < timedelta(minutes=2)
    return when + (timedelta(minutes=1) if just_now else timedelta(days=1))


def _time_of_day(match: re.Match[str]) -> tuple[int, int]:
    if match[9]:
        return 0, 0
    if match[7]:
        return int(match[7]), int(match[8])
    late = 12 if match[6].lower() == "pm" else 0
    if int(match[4]) > 12:
        raise ValueError(match[4])
    return int(match[4]) % 12 + late, int(match[5] or 0)


def _zone(name: str) -> tzinfo | None:
    short = _SHORT_ZONES.get(name.lower())
    if short is not None:
        return timezone(timedelta(hours=short))
    if name.lower() in ("pt", "pacific", "pacific time"):
        name = "America/Los_Angeles"
    # Imported here, because few runs need this module.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
