"""Records of landings that have begun, so that a later server can complete them."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from orchestrator.core.repository.landing import BegunLanding
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.json_file import read_object

#: Name of the directory with the records, in the workspace. Each job has a separate file.
NAME = ".landings"
_MOST_BYTES = 64 * 1024


class FileLandingJournal:
    """Stores the records in files; implements ``core.repository.landing.LandingJournal``."""

    def __init__(self, workspace: Path) -> None:
        self._directory = workspace / NAME

    def begin(self, begun: BegunLanding) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        replace_file(self._path(begun.job_id), json.dumps(asdict(begun)).encode())

    def begun(self) -> Iterator[BegunLanding]:
        for path in sorted(self._directory.glob("*.json")):
            # Skip a file that is damaged, or that another version wrote.
            with suppress(TypeError):
                yield BegunLanding(**(read_object(path, _MOST_BYTES) or {}))

    def end(self, job_id: str) -> None:
        self._path(job_id).unlink(missing_ok=True)

    def _path(self, job_id: str) -> Path:
        return self._directory / f"{job_id}.json"
