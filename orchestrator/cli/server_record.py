"""The record of a workspace's running server."""

from pathlib import Path

from orchestrator.api.client.discovery import ServerRecord, read_record
from orchestrator.cli.process_check import is_same_process


def running_server(workspace: Path) -> ServerRecord | None:
    """Return the server of ``workspace``, if its process is alive and answers."""
    record = read_record(workspace)
    if record is None or not is_same_process(record.pid, record.started_at):
        return None
    return record if _answers(record.url) else None


def _answers(url: str) -> bool:
    from orchestrator.api.client import OrchestratorClient
    from orchestrator.api.client.client import ApiError, ClientError

    try:
        with OrchestratorClient(url, retry_seconds=0) as client:
            client.health()
    except ApiError:
        return True  # alive, but not ready yet
    except (ClientError, ValueError):
        return False
    return True
