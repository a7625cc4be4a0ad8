"""The shared contexts of jobs: the server's side, which requests and reads them."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from orchestrator.agents.prompts.shared_context import Recipe, shared_text, write_once
from orchestrator.core.model.job import Job
from orchestrator.core.ports import Invocation
from orchestrator.security.product_files import PACKAGES
from orchestrator.security.untrusted_files import read_regular

DIRECTORY = "context"
#: Maximum bytes: requests, context, files, and digest together are smaller.
_MOST_BYTES = 1024 * 1024


class JobContexts:
    """The files in ``context/`` of the root job's directory: one for each job of the tree."""

    def __init__(self, job_directory: Callable[[str], Path]) -> None:
        self._job_directory = job_directory

    def exists(self, job: Job) -> bool:
        return os.path.lexists(self._path(job))

    def command(self, job: Job, root: Job) -> tuple[Path, Invocation]:
        """Return the process that creates the context, and its working directory. Raise
        OSError.
        """
        directory = self._path(job).parent
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"job_{job.id}.json"
        return directory, Invocation(
            argv=(sys.executable, "-m", "orchestrator.agents.prompts", self._path(job).name),
            files={name: Recipe.of(job, root).to_json()},
            stdin=name,
            env={"PYTHONPATH": PACKAGES, "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def make_plain(self, job: Job, root: Job) -> None:
        """Create the context without the digest and the files, unless it exists. Raise OSError."""
        self._path(job).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_once(self._path(job), shared_text(Recipe.of(job, root)))

    def read(self, job: Job) -> str:
        """Return the context, the same text each time. Raise OSError if it is missing, or not a
        plain file.
        """
        path = self._path(job)
        found = read_regular(path, _MOST_BYTES, within=self._job_directory(job.root_id))
        if found is None:
            raise FileNotFoundError(f"cannot read the shared context {path}")
        return found.decode("utf-8", "replace")

    def _path(self, job: Job) -> Path:
        return self._job_directory(job.root_id) / DIRECTORY / f"job_{job.id}.md"
