"""Who is let in when connections or file descriptors run short.

Some descriptors are kept for the job manager's own work. The connection that has waited longest
without asking gives way to a new one; where all have asked, a few more are let in, for /health and
cancel alone.
"""

import errno
import os
import resource
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from waitress import wasyncore

from orchestrator.api.connections import CROWDED, Channel, end_oldest, say
from orchestrator.api.problems import ProblemError, unavailable

#: At most so many are kept, and never more than this share of all.
MOST_KEPT, KEPT_SHARE = 128, 4
#: Beyond the limit of connections, and at most so many of the descriptors that are kept.
KEPT_CONNECTIONS, KEPT_FOR_VITAL = 32, 8
#: While not even one can be refused, the server's loop must not spin.
PAUSE_SECONDS = 0.05
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_REFUSAL = unavailable("no file descriptors are left for more connections; try again later")


class Door:
    """Takes connections in for a listener of waitress; those beyond what there is get a 503."""

    def __init__(
        self, listener: Any, channels: Callable[[], Sequence[Channel]], limit: int
    ) -> None:
        self._listener = listener
        self._channels = channels
        self._limit = limit
        self._spare: int | None = _open_spare()

    def accept(self) -> tuple[socket.socket, Any] | None:
        """In the place of the listener's own; None when there is nobody to let in."""
        try:
            found: tuple[socket.socket, Any] | None = wasyncore.dispatcher.accept(self._listener)
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._refuse_next()
            return None
        if found is None:
            return None
        beyond = found[0].fileno() - _first_kept()
        if beyond < 0 and not self._is_full():
            return found
        problem = _REFUSAL if beyond >= 0 else CROWDED
        if end_oldest(self._channels(), problem) or (
            beyond < KEPT_FOR_VITAL and len(self._channels()) < self._limit + KEPT_CONNECTIONS
        ):
            return found
        _refuse(found[0], problem)
        return None

    def is_crowded(self, channel: Channel) -> bool:
        """Whether only vital requests of this connection are answered now."""
        return channel.socket.fileno() >= _first_kept() or self._is_full(1)

    def _is_full(self, more: int = 0) -> bool:
        limit = self._limit + more
        # The map has the listeners as well: most of the time its size is answer enough.
        if len(self._listener._map) < limit:
            return False
        return sum(not each.will_close for each in self._channels()) >= limit

    def close(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _refuse_next(self) -> None:
        """With the descriptor that was set aside for this."""
        self.close()
        try:
            found = wasyncore.dispatcher.accept(self._listener)
            if found is not None:
                _refuse(found[0], _REFUSAL)
        except OSError:
            time.sleep(PAUSE_SECONDS)
        self._spare = _open_spare()


def _first_kept() -> int:
    """The kernel gives the lowest that is free: from this one on they are getting scarce."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - min(MOST_KEPT, soft // KEPT_SHARE)


def _refuse(connection: socket.socket, problem: ProblemError) -> None:
    """Answer without having read anything."""
    with connection:
        say(connection, problem)


def _open_spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
