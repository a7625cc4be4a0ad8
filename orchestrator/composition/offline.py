"""Access to jobs, and the removal of jobs, for commands that run without a server."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from orchestrator.composition.server.job_manager import JobManager
from orchestrator.config import load
from orchestrator.core.model.caller import Caller, Scope
from orchestrator.engine.service.service import Service

#: The caller for commands without a server. Any user who may read the workspace acts as an admin.
OWNER = Caller(name="command line", scopes=frozenset({Scope.ADMIN}))


@contextmanager
def local_service(folder: Path, environ: Mapping[str, str]) -> Iterator[tuple[Service, Caller]]:
    """Yield the ``Service`` of the home ``folder``, and the ``Caller`` to pass to its methods.

    No worker starts. The workspace is locked until the block ends. Raise WorkspaceBusy if a server
    uses the workspace.
    """
    manager = JobManager(folder, load(folder, environ=environ).settings)
    manager.open()
    try:
        yield manager.service, OWNER
        manager.parts.report_queue.write()
    finally:
        manager.close()


def remove(
    folder: Path, environ: Mapping[str, str], root_ids: Collection[str]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Remove ended root jobs, and finish interrupted removals.

    Yield each removed job's id, with the names of the git refs that save the job's unlanded work.
    Raise WorkspaceBusy if a server uses the workspace. Raise Conflict if a full disk prevents a
    removal.
    """
    manager = JobManager(folder, load(folder, environ=environ).settings)
    manager.open()
    removal = manager.parts.removal
    try:
        for root_id in removal.interrupted():
            removal.finish(root_id)
            yield root_id, removal.delete_files(root_id)
        unfinished = set(manager.parts.store.unfinished())
        for root_id in root_ids:
            if root_id in unfinished:
                continue
            removal.secure(root_id)
            if removal.begin(root_id):
                yield root_id, removal.delete_files(root_id)
    finally:
        manager.close()
