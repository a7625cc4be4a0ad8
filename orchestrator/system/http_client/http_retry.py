"""Retries of HTTP calls: when a call is repeated, and after which delay. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable

# Importing typing would take a third of the time in which a command starts.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.system.http_client.stdlib_client import ServerReply

#: HTTP statuses with which the server or a proxy states that it cannot answer now.
BUSY = frozenset({429, 502, 503, 504})
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.1, 5.0
#: Delays up to these numbers of seconds are not reported to ``waiting``, because most failures end
#: earlier. The first number is for ``Retry``, the second for ``call_with_retries``.
UNANNOUNCED_DELAY_SECONDS, SILENT_DELAY_SECONDS = 0.5, 1.0

#: Function that is called before a long delay, with the seconds for which retries will continue.
Waiting = Callable[[float], object]


class Retry:
    """Retries of one call, until ``window`` seconds have passed without success.

    The delay doubles with each retry, up to LONGEST_DELAY_SECONDS. The server can set the delay
    with ``Retry-After``.
    ``waiting`` is called once per window, before the first delay of more than ``silent`` seconds.
    """

    def __init__(
        self,
        window: float,
        waiting: Waiting | None = None,
        silent: float = UNANNOUNCED_DELAY_SECONDS,
    ) -> None:
        self._window, self._waiting, self._silent = window, waiting, silent
        self.succeeded()

    def succeeded(self) -> None:
        """Restart the window, because the server answered."""
        self._deadline = time.monotonic() + self._window
        self._delay = FIRST_DELAY_SECONDS
        self._is_notified = False

    def pause(self, retry_after: float | None = None) -> bool:
        """Sleep until the next retry is due, and return True.

        Return False at once if the time for all retries would end during the sleep.
        ``retry_after``: the delay in seconds that the server requests; None: no request.
        """
        delay = self._delay if retry_after is None else max(retry_after, FIRST_DELAY_SECONDS)
        remaining = self._deadline - time.monotonic()
        if delay > remaining:
            return False
        if delay > self._silent and not self._is_notified:
            self._is_notified = True
            if self._waiting is not None:
                self._waiting(remaining)
        time.sleep(delay)
        self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)
        return True


def call_with_retries(
    once: Callable[[], ServerReply],
    patience: float,
    *,
    ends_at: float = float("inf"),
    waiting: Waiting | None = None,
) -> ServerReply:
    """Call ``once`` until the server gives an answer other than "busy", and return this answer.

    ``once`` must be idempotent. Pauses grow, or follow ``Retry-After``. Retries end ``patience``
    seconds after the first failure, or at ``ends_at`` (monotonic seconds) if this is earlier. Then
    raise OSError with the last error. ``waiting`` is called once, before the first long pause.
    """
    retry: Retry | None = None
    while True:
        delay = None
        try:
            reply = once()
        except OSError as error:
            last_error = error
        else:
            if reply.status not in BUSY:
                return reply
            last_error, delay = OSError(reply.detail), reply.retry_after or None
        window = min(patience, ends_at - time.monotonic())
        retry = retry or Retry(window, waiting, SILENT_DELAY_SECONDS)
        if not retry.pause(delay):
            raise last_error


def seconds_until(retry_after: str | None, now: float) -> float | None:
    """Return a ``Retry-After`` header (seconds or a date) as seconds; None if it is unusable.

    ``now``: the current time (Unix time).
    """
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        # Imported here, because few calls need these modules, and their import takes a tenth of the
        # time in which a command starts.
        from datetime import UTC
        from email.utils import parsedate_to_datetime

        try:
            date = parsedate_to_datetime(retry_after)
            # A date without an offset is in GMT.
            return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
        except (ValueError, TypeError, OverflowError):
            return None
    return seconds if 0 <= seconds < float("inf") else None
