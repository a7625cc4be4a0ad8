"""The record of a workspace's running server, and the check that its process is still the same."""

import os
from pathlib import Path

from orchestrator.api.client.server_discovery import ServerRecord, read_record
from orchestrator.security import proc
from orchestrator.security.stdlib_client import StdlibClient

#: Seconds by which a server's record may differ from its process's start time, which another clock
#: measures.
SLACK_SECONDS = 5.0


def is_same_process(pid: int, recorded_at: float | None) -> bool:
    """True if the process ``pid`` is alive, and began before ``recorded_at``.

    ``recorded_at``: seconds since the epoch. A process that began later is another process with the
    same id.
    """
    if not _exists(pid):
        return False
    process = proc.look_up(pid)
    if process is None:  # a system without /proc
        return True
    began = proc.start_time(process)
    is_later = began is not None and recorded_at is not None and began > recorded_at + SLACK_SECONDS
    return process.alive and not is_later


def _exists(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


ANSWER_SECONDS = 30.0


def running_server(workspace: Path) -> ServerRecord | None:
    """Return the record of a workspace's running server; None if the server does not answer."""
    record = read_record(workspace)
    if record is None or not is_same_process(record.pid, record.started_at):
        return None
    return record if _answers(record.url) else None


def _answers(url: str) -> bool:
    try:
        reply = StdlibClient(url, None).request("GET", "/health", timeout=ANSWER_SECONDS)
    except (OSError, ValueError):
        return False
    # With status 503, the server is alive, but not ready yet.
    return bool(reply.document)
