"""A repository that was moved with the workspace: what names its old place is put right."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.git import vital
from orchestrator.git.forgetting import has_traces
from orchestrator.git.place import Place
from orchestrator.git.vital_aside import write_whole
from orchestrator.git.vital_files import Before, moved, read

_JOB = "/job_"


def relocate(place: Place, workspace: Path) -> None:
    """Have git find the worktrees of all jobs, and jobs find their repository. Idempotent.

    What is still at its old place stays as it is, as do jobs of another repository.
    """
    found = list(_moved_worktrees(place, workspace))
    if found:
        # Git goes on with the others where a worker has broken one of them.
        place.git.run("worktree", "repair", *found, accept=range(256))
    for job in workspace.glob("job_*"):
        path = job / vital.NAME
        before = read(path)
        if before is not None and _is_moved(before, place, job.name.removeprefix("job_")):
            new = moved(before, place.top, str(place.common))
            write_whole(str(path), json.dumps(new).encode(), 0o600)


def _moved_worktrees(place: Place, workspace: Path) -> Iterator[str]:
    for found in list(place.worktrees.all()):
        _, sign, inside = found.directory.rpartition(_JOB)
        new = f"{os.path.realpath(workspace)}{_JOB}{inside}"
        if sign and not os.path.lexists(found.directory) and os.path.lexists(f"{new}/.git"):
            yield new


def _is_moved(before: Before, place: Place, root_id: str) -> bool:
    return not os.path.lexists(before.common) and has_traces(place.common, root_id)
