"""Writes and reads ``server.json``, in which a running server records its address."""

import json
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.json_file import read_object

RECORD_NAME = "server.json"
RECORD_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class ServerRecord:
    """The content of ``server.json``, in which a running server records its address."""

    url: str
    pid: int
    #: Unix time; None: unknown.
    started_at: float | None = None
    #: The server's project directory; empty: unknown.
    project: str = ""
    #: Version of the product; empty: unknown.
    version: str = ""
    #: Ports of earlier servers. The server also listens on these ports, for workers that the
    #: earlier servers started.
    former_ports: tuple[int, ...] = ()

    @property
    def port(self) -> int | None:
        """Port in the URL; None if the URL has no port."""
        try:
            return urlsplit(self.url).port
        except ValueError:
            return None


def read_record(workspace: Path) -> ServerRecord | None:
    """Return the content of ``server.json``; None if it is missing or invalid."""
    record = read_object(workspace / RECORD_NAME, RECORD_BYTES) or {}
    try:
        started_at = record.get("started_at")
        return ServerRecord(
            url=str(record["url"]),
            pid=int(record["pid"]),
            started_at=started_at if isinstance(started_at, int | float) else None,
            project=str(record.get("project") or ""),
            version=str(record.get("version") or ""),
            former_ports=tuple(int(port) for port in record.get("former_ports", ())),
        )
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def write_record(workspace: Path, record: ServerRecord) -> None:
    """Write ``server.json``. Raise OSError if the file cannot be written."""
    content = {
        "url": record.url,
        "pid": record.pid,
        "started_at": record.started_at,
        "version": record.version,
        "project": record.project,
        **({"former_ports": record.former_ports} if record.former_ports else {}),
    }
    replace_file(workspace / RECORD_NAME, json.dumps(content).encode())
