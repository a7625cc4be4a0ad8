"""The wait of a standby server, until no other server uses its workspace.

If the other server runs on another machine, the standby observes the lease of that server.
"""

import logging
import time
from collections.abc import Callable

from orchestrator.cli.server.stop_signal import StopSignal
from orchestrator.composition import JobManager
from orchestrator.core.errors import Conflict, StoreAway, StoreError, WorkspaceBusy

logger = logging.getLogger(__name__)

#: Seconds between two attempts to acquire the workspace's lock.
_PAUSE_SECONDS = 0.1
#: Seconds for which the holder of the workspace's lock may be unknown. The holder is unknown just
#: after a server has acquired the lock, or has exited.
_UNKNOWN_SECONDS = 5.0
#: Seconds for which the database may still be in use by the former server. PostgreSQL releases the
#: former server's lock only when it notices that the connection has ended.
_DATABASE_SECONDS = 30.0


def open_after_others(
    manager: JobManager, stop: StopSignal, on_lost: Callable[[str], None]
) -> bool:
    """Wait until no other server uses the workspace, then open ``manager``, and return True.

    Return False if ``stop`` is set first. ``on_lost``: see ``ServerLease.begin``. Raise Conflict if
    a server on another machine uses the workspace, and this server cannot observe the end of that
    server. Raise StoreError or Unavailable if the workspace cannot be opened.
    """
    observer = manager.lease.observer if manager.lease is not None else None
    known_at, free_at, is_noted = time.monotonic(), 0.0, False
    while not stop.is_set():
        try:
            lease = observer.read_lease() if observer is not None else None
            if observer is None or lease is None or observer.has_ended:
                manager.open(lease, on_lost)
                return True
            known_at, free_at = time.monotonic(), 0.0
            is_noted = is_noted or _note(f"standby: waiting for the end of {lease.holder}'s server")
        except WorkspaceBusy:
            now = time.monotonic()
            if manager.lock.is_held_here():
                known_at = now
                is_noted = is_noted or _note("standby: waiting for the end of another server")
            elif now - known_at > _UNKNOWN_SECONDS:
                # Nodes continue the workers of an absent server until a server with the same
                # address returns. A server at another address would start these workers a second
                # time.
                raise Conflict(_refusal(manager)) from None
            free_at = 0.0
        except StoreError as error:
            free_at = free_at or time.monotonic()
            is_away = observer is not None and isinstance(error, StoreAway)
            if not is_away and time.monotonic() - free_at > _DATABASE_SECONDS:
                raise
        stop.wait(_PAUSE_SECONDS)
    return False


def _note(message: str) -> bool:
    logger.warning(message)
    return True


def _refusal(manager: JobManager) -> str:
    reason = "the workspace's server runs on another machine, or in another container"
    if manager.parts.store.file is not None:
        advice = (
            "run the standby server on the same machine and in the same container, because "
            "SQLite works on one machine only; or use PostgreSQL (store.url)"
        )
    elif manager.lease is None:
        advice = (
            "to let this server take over: write `cluster: {server_lease: 8}` into config.yaml, "
            "and restart both servers"
        )
    else:
        advice = "restart the running server with the setting cluster.server_lease"
    return f"{reason}; nothing was started; {advice}"
