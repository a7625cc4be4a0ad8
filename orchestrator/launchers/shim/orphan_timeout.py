"""The orphan timeout: how long a worker may continue while no server runs."""

import fcntl
import os

#: Maximum seconds between two checks for a server.
_CHECK_SECONDS = 60.0
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OrphanTimeout:
    """Measures how long no server has run. Times are monotonic seconds.

    A server runs while any process holds the workspace's lock.
    """

    def __init__(self, lock: str, seconds: float, now: float) -> None:
        self._lock = lock
        self._seconds = seconds
        self._seen_at = now
        self._check_at = now

    @property
    def wakes_at(self) -> float | None:
        """The time at which ``is_over`` must be called next; None: never."""
        return self._check_at if self._seconds else None

    def is_over(self, now: float) -> bool:
        if not self._seconds or now < self._check_at:
            return False
        if self._has_server():
            self._seen_at = now
        ends_at = self._seen_at + self._seconds
        self._check_at = min(now + min(_CHECK_SECONDS, self._seconds / 4), max(ends_at, now))
        return now >= ends_at

    def _has_server(self) -> bool:
        try:
            descriptor = os.open(self._lock, _FLAGS)
        except OSError:
            return False
        try:
            # The lock is released at once. A server that cannot acquire the lock at this moment
            # retries.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False
