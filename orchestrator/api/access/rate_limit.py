"""How many calls a key may make."""

import threading
import time
from collections.abc import Callable

#: A key that has made no calls for so long may make as many at once as fit into it.
WINDOW_SECONDS = 60.0
#: More callers than this are only remembered for as long as they matter.
MOST_REMEMBERED = 10_000


class RateLimit:
    """A token bucket for each name: a minute's worth at once, then at an even rate."""

    def __init__(self, per_minute: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """``per_minute`` None: no limit."""
        self.per_minute = per_minute
        self._interval = WINDOW_SECONDS / per_minute if per_minute else 0.0
        self._clock = clock
        #: When each name's bucket is full again.
        self._full_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> float:
        """Count one call; 0 when it may be made, else in how many seconds it may."""
        if not self._interval:
            return 0.0
        with self._lock:
            now = self._clock()
            full_at = max(now, self._full_at.get(name, now)) + self._interval
            over = full_at - now - WINDOW_SECONDS
            if over > 1e-9:  # sums of intervals are not exact
                return over
            self._remember(name, full_at, now)
            return 0.0

    def _remember(self, name: str, full_at: float, now: float) -> None:
        if len(self._full_at) >= MOST_REMEMBERED:
            self._full_at = {known: at for known, at in self._full_at.items() if at > now}
        self._full_at[name] = full_at
