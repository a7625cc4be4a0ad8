"""The time that an attempt has, and its pauses."""


class Clock:
    """Counts work against a timeout; time spent waiting is free. Times are monotonic seconds."""

    def __init__(self, timeout: float | None) -> None:
        self._left = timeout
        #: Since when it runs; None while it stands.
        self._since: float | None = None

    def start(self, now: float) -> None:
        """Idempotent."""
        if self._since is None:
            self._since = now

    def pause(self, now: float) -> None:
        """Idempotent."""
        if self._since is not None and self._left is not None:
            self._left -= now - self._since
        self._since = None

    @property
    def deadline(self) -> float | None:
        """When the time is over if nothing changes; None is never."""
        if self._left is None or self._since is None:
            return None
        return self._since + self._left
