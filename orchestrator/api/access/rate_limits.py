"""Rate limits of keys, failed logins, and triggers."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from http import HTTPStatus
from math import ceil

from flask import current_app

from orchestrator.api.http_messages.problems import ProblemError, limit_fields
from orchestrator.api.server_options import ApiOptions
from orchestrator.core.lazy_dataclass import dataclass

FAILED_LOGINS_PER_MINUTE = 10
#: Default period of a rate limit, in seconds. A key without recent calls may make all calls of a
#: period at once.
MINUTE_SECONDS = 60.0
#: If more names than this number are remembered, names with a full bucket are forgotten.
MOST_REMEMBERED = 10_000


class RateLimit:
    """A rate limit with one token bucket for each name.

    A full bucket allows all calls of one period at once. After this burst, calls are allowed at an
    even rate.
    """

    def __init__(
        self,
        calls: int | None,
        clock: Callable[[], float] = time.monotonic,
        period: float = MINUTE_SECONDS,
    ) -> None:
        """``calls``: number of calls allowed in ``period`` seconds; None: no limit."""
        self.calls = calls
        self._period = period
        self._interval = period / calls if calls else 0.0
        self._clock = clock
        #: By name: the time when the name's bucket is full again.
        self._full_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def seconds_to_wait(self, name: str) -> float:
        """Return the seconds until the next call is allowed. Does not count a call."""
        with self._lock:
            now = self._clock()
            full_at = max(now, self._full_at.get(name, now)) + self._interval
            return max(0.0, full_at - now - self._period)

    def take(self, name: str) -> float:
        """If a call is allowed, count it and return 0. Otherwise, return the seconds to wait."""
        if not self._interval:
            return 0.0
        with self._lock:
            now = self._clock()
            full_at = max(now, self._full_at.get(name, now)) + self._interval
            excess = full_at - now - self._period
            if excess > 1e-9:  # tolerance, because sums of floats are not exact
                return excess
            if len(self._full_at) >= MOST_REMEMBERED:
                self._full_at = {each: at for each, at in self._full_at.items() if at > now}
            self._full_at[name] = full_at
            return 0.0


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The rate limits: submissions and reads of each key, failed logins of each address."""

    submissions: RateLimit
    reads: RateLimit
    #: Limits of single keys in place of ``submissions``, by name of the key.
    submissions_of: Mapping[str, RateLimit]
    #: Limit of logins with a wrong key, by address of the browser.
    failed_logins: RateLimit = field(default_factory=lambda: RateLimit(FAILED_LOGINS_PER_MINUTE))

    @classmethod
    def of(cls, options: ApiOptions) -> "RateLimits":
        by_key = {name: RateLimit(most) for name, most in options.submissions_of_keys.items()}
        return cls(
            RateLimit(options.submissions_per_minute), RateLimit(options.reads_per_minute), by_key
        )


def check_rate(name: str, *, reads: bool, submits: bool) -> None:
    """Raise a 429 if the key ``name`` has reached its rate limit for submissions or reads.

    Other calls, such as a cancel, have no limit.
    """
    limits: RateLimits = current_app.extensions["orchestrator.limits"]
    if submits:
        key_limit, setting = limits.submissions_of.get(name), "limits.submissions_per_minute"
        if key_limit is not None:
            setting = f"api.keys[{name}].{setting}"
        _take(key_limit or limits.submissions, name, setting)
    elif reads:
        _take(limits.reads, name, "limits.reads_per_minute")


def _take(limit: RateLimit, name: str, setting: str) -> None:
    if seconds := ceil(limit.take(name)):
        raise ProblemError(
            status=HTTPStatus.TOO_MANY_REQUESTS,
            type="rate-limit",
            detail=(
                f"rate limit reached for key {name!r} ({setting}: {limit.calls}); "
                f"retry in {seconds} s"
            ),
            headers={"Retry-After": str(seconds)},
            more=limit_fields(setting, limit.calls, limit.calls, time.time() + seconds),
        )
