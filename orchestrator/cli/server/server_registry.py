"""Records the servers that a user runs on this machine, so that dashboards link to each other."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from orchestrator.api.server_options import OtherServer
from orchestrator.cli.offline.server_liveness import is_same_process
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.json_file import read_object

logger = logging.getLogger(__name__)

LARGEST_FILE_BYTES = 65536


class ServerRegistry:
    """A directory in the user's home directory, with a file for each server. Never raises.

    Without this directory, a server works, but other dashboards do not link to it.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        home = environ.get("HOME") or os.path.expanduser("~")
        state = environ.get("XDG_STATE_HOME") or f"{home}/.local/state"
        self._directory = Path(state) / "orchestrator" / "servers"
        parents = list(self._directory.parents)
        #: The directories that ``add`` may create: servers, orchestrator, state, and .local.
        self._created = (self._directory, *parents[: 1 if environ.get("XDG_STATE_HOME") else 3])
        self._own: Path | None = None

    def add(self, url: str, project: Path, started_at: float) -> None:
        """Record this process as the server of a project.

        The record replaces the record of the project's former server. ``started_at``: start time of
        this process (Unix time).
        """
        name = hashlib.sha256(os.fsencode(project)).hexdigest()[:16]
        record = _Record(url, str(project), os.getpid(), started_at)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._directory / f"{name}.json", json.dumps(asdict(record)).encode())
            self._own = self._directory / f"{name}.json"
        except OSError as error:
            logger.info("dashboards of other servers cannot link to this server: %s", error)

    def remove(self) -> None:
        """Remove the record of this process. Idempotent.

        The directories that ``add`` may create are also removed, if they are empty.
        """
        record = _read(self._own) if self._own else None
        if self._own and record and record.pid == os.getpid():
            with suppress(OSError):
                self._own.unlink(missing_ok=True)
                for directory in self._created:
                    directory.rmdir()

    def others(self) -> Sequence[OtherServer]:
        """Return the user's running servers except this process, sorted by project."""
        servers = []
        for path in self._record_paths():
            record = _read(path)
            if record and record.pid != os.getpid() and record.is_alive:
                servers.append(OtherServer(url=record.url, project=record.project))
        return sorted(servers, key=lambda each: each.project)

    def _record_paths(self) -> Sequence[Path]:
        try:
            return list(self._directory.glob("*.json"))
        except OSError:
            return ()


@dataclass(frozen=True, slots=True)
class _Record:
    url: str
    project: str
    pid: int
    started_at: float

    @property
    def is_alive(self) -> bool:
        return is_same_process(self.pid, self.started_at)


def _read(path: Path) -> _Record | None:
    entry = read_object(path, LARGEST_FILE_BYTES) or {}
    try:
        record = _Record(
            str(entry["url"]), str(entry["project"]), int(entry["pid"]), float(entry["started_at"])
        )
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    return record if record.url.startswith(("http://", "https://")) else None
