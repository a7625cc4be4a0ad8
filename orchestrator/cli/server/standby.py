"""A standby server waits until no other server uses its workspace."""

import logging
import threading
import time

from orchestrator.composition import JobManager
from orchestrator.core.errors import Conflict, StoreError, WorkspaceBusy

logger = logging.getLogger(__name__)

#: Seconds between two attempts to acquire the workspace's lock.
_PAUSE_SECONDS = 0.1
#: Seconds for which the holder may be unknown: it has just acquired the lock, or has just exited.
_UNKNOWN_SECONDS = 5.0
#: Seconds after which a database that is still in use is an error. Its lock is released later than
#: the workspace's, by PostgreSQL when it notices that the connection has ended.
_DATABASE_SECONDS = 30.0


def open_after_others(manager: JobManager, stop: threading.Event) -> bool:
    """Open ``manager`` once no other server uses its workspace. Return False if ``stop`` is set
    before.

    Raise Conflict if the other server runs on another machine. Raise StoreError or Unavailable if
    the workspace cannot be opened.
    """
    known_at, free_at, waits = time.monotonic(), 0.0, False
    while not stop.is_set():
        try:
            manager.open()
        except WorkspaceBusy:
            now = time.monotonic()
            if manager.lock.is_held_here():
                known_at = now
                if not waits:
                    waits = True
                    logger.warning("standby: waiting for the end of the workspace's server")
            elif now - known_at > _UNKNOWN_SECONDS:
                # Nodes keep the workers of an absent server by its address. Under another address,
                # workers would run twice.
                raise Conflict(
                    "the workspace's server runs on another machine or in another container; "
                    "nothing was started; start the standby server there"
                ) from None
            free_at = 0.0
        except StoreError:
            free_at = free_at or time.monotonic()
            if time.monotonic() - free_at > _DATABASE_SECONDS:
                raise
        else:
            return True
        stop.wait(_PAUSE_SECONDS)
    return False
