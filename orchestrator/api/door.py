"""Who is let in when file descriptors run short: some are kept for the job manager's own work."""

import errno
import os
import resource
import socket
import time
from typing import Any

from waitress import wasyncore

from orchestrator.api.problems import unavailable

#: At most so many are kept, and never more than this share of all.
MOST_KEPT, KEPT_SHARE = 128, 4
#: While not even one can be refused, the server's loop must not spin.
PAUSE_SECONDS = 0.05
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_REFUSAL = unavailable("no file descriptors are left for more connections; try again later")


class Door:
    """Takes connections in for a listener of waitress; those beyond what there is get a 503."""

    def __init__(self, listener: Any) -> None:
        self._listener = listener
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
        if found is None or found[0].fileno() < _first_kept():
            return found
        _refuse(found[0])
        return None

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
                _refuse(found[0])
        except OSError:
            time.sleep(PAUSE_SECONDS)
        self._spare = _open_spare()


def _first_kept() -> int:
    """The kernel gives the lowest that is free: from this one on they are getting scarce."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - min(MOST_KEPT, soft // KEPT_SHARE)


def _refuse(connection: socket.socket) -> None:
    """Answer without having read anything, as far as that is possible without waiting."""
    with connection:
        try:
            connection.setblocking(False)
            connection.send(_REFUSAL.reply().encoded())
            # Else what the caller has sent already would have the answer thrown away.
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError:
            pass


def _open_spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
