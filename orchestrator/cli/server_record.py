"""Finds the running server of a workspace by its record."""

from pathlib import Path

from orchestrator.api.client.discovery import ServerRecord, read_record
from orchestrator.cli.process_check import is_same_process
from orchestrator.security.stdlib_client import StdlibClient

ANSWER_SECONDS = 30.0


def running_server(workspace: Path) -> ServerRecord | None:
    """Return the record of a workspace's server; None unless its process is alive and answers."""
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
