"""Assembles a job manager: the parts that run jobs, and the use cases."""

from pathlib import Path

from orchestrator.composition.server.engine_parts import EngineParts
from orchestrator.composition.server.job_manager import JobManager
from orchestrator.composition.server.server_lease_renewal import ServerLease
from orchestrator.composition.server.use_cases import UseCases
from orchestrator.config import Settings
from orchestrator.config.fields.choices import OnShutdown
from orchestrator.engine.worktrees.worktree_lifetime import WorktreeCleanup
from orchestrator.launchers.local.local_launcher import Listener
from orchestrator.launchers.local.spawner_client import SpawnerProcess
from orchestrator.workspace import WorkspaceLock


def build(folder: Path, settings: Settings, spawner: SpawnerProcess | None = None) -> JobManager:
    """Create the job manager's parts; nothing is opened or started.

    ``spawner``: see ``LocalLauncher``.
    """
    parts = EngineParts(folder, settings, spawner)
    service = UseCases(parts).service
    return JobManager(
        service=service,
        supervisor=parts.supervisor,
        attempts=parts.attempts,
        scheduler=parts.scheduler,
        lock_calls=parts.lock_calls,
        store=parts.store,
        launcher=parts.launcher,
        processes=parts.processes,
        listener=Listener(parts.launcher),
        dispatch=parts.preparation,
        workspace=parts.workspace,
        publisher=parts.publisher,
        merge_queue=parts.merge_queue,
        feed=service.reads.feed,
        reporting=parts.reporting,
        job_log=parts.job_log,
        status_files=parts.status_files,
        removal=parts.removal,
        housekeeping=parts.housekeeping,
        outbox=parts.outbox_service,
        landings=service.landings,
        pass_on_messages=service.worker_messages.pass_on_again,
        worktree_cleanup=WorktreeCleanup(
            parts.worktrees, parts.gate_runner.baselines, parts.workspace, parts.store.job
        ),
        lock=WorkspaceLock(parts.workspace.root),
        lease=_lease(parts),
        place=parts.place,
        relocate=lambda: parts.repository.relocate(),
        leaves_workers=parts.settings.workers.on_shutdown is OnShutdown.LEAVE,
    )


def _lease(parts: EngineParts) -> ServerLease | None:
    seconds = parts.settings.cluster.server_lease
    if seconds is None or parts.lease_path is None:
        return None
    session = parts.store.lease_session(seconds / 2)
    if session is None:
        return None
    return ServerLease(session, seconds, parts.lease_path, lambda: parts.local.has_stopped_all)
