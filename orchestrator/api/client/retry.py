"""Retries of calls: when a call is repeated, and after which delay."""

import time
from collections.abc import Callable

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 5.0
#: Longest delay in seconds that is not reported to ``waiting``, because most failures are over by
#: then.
UNANNOUNCED_DELAY_SECONDS = 0.5

#: Called with the number of seconds for which the client will retry.
Waiting = Callable[[float], object]


class Retry:
    """Retries of one call, until ``window`` seconds have passed without success.

    The delay doubles with each retry. The server can set it with ``Retry-After``.
    """

    def __init__(self, window: float, waiting: Waiting = lambda seconds: None) -> None:
        self._window, self._waiting = window, waiting
        self.succeeded()

    def succeeded(self) -> None:
        """Restart the window, because the server answered."""
        self._deadline = time.monotonic() + self._window
        self._delay = FIRST_DELAY_SECONDS
        self._is_notified = False

    def pause(self, retry_after: str | None = None) -> bool:
        """Sleep until the next retry is due, and return True.

        Return False at once if the window would end during the sleep.
        """
        asked = seconds_until(retry_after)
        delay = self._delay if asked is None else max(asked, FIRST_DELAY_SECONDS)
        left = self._deadline - time.monotonic()
        if delay > left:
            return False
        if delay > UNANNOUNCED_DELAY_SECONDS and not self._is_notified:
            self._is_notified = True
            self._waiting(left)
        time.sleep(delay)
        self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)
        return True


def seconds_until(retry_after: str | None) -> float | None:
    """Return a ``Retry-After`` header (seconds or a date) as seconds; None if it is unusable."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    # Imported here, because few calls need this module, and its import takes a tenth of the time in
    # which a command starts.
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
