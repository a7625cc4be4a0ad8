"""Opens, starts, and stops the parts of a server in order."""

import logging
from collections.abc import Callable
from pathlib import Path

from orchestrator.composition.server.engine_parts import EngineParts
from orchestrator.composition.server.server_lease_renewal import ServerLease
from orchestrator.composition.server.use_cases import UseCases
from orchestrator.config import Settings
from orchestrator.config.fields.choices import OnShutdown
from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError, StoreError
from orchestrator.core.limits.key_costs_and_jobs import day_of
from orchestrator.core.model.job import Job
from orchestrator.engine.runtime import clock
from orchestrator.engine.supervisor.recovery import REPLACED, RESTARTED, adopt_attempts, restore
from orchestrator.engine.worktrees.worktree_need_and_removal import WorktreeRemoval
from orchestrator.launchers.exit_record.exit_record import break_lock
from orchestrator.launchers.local.local_launcher import Listener
from orchestrator.launchers.local.spawner_client import SpawnerProcess
from orchestrator.security.files import scratch_directory, tool_config_boundary
from orchestrator.store.database.server_lease import HeldLease
from orchestrator.workspace import JobDirectories, WorkspaceLock, spread_subdirectories

logger = logging.getLogger(__name__)


class JobManager:
    """Owns the parts of a server that run jobs, without the API. Start once, stop once."""

    def __init__(
        self, folder: Path, settings: Settings, spawner: SpawnerProcess | None = None
    ) -> None:
        """Create the parts. Do not open or start any part. ``spawner``: see ``LocalLauncher``."""
        parts = EngineParts(folder, settings, spawner)
        self.parts = parts
        self.service = UseCases(parts).service
        #: Reports the ends of the launcher's attempts. Must be closed after the supervisor has
        #: ended.
        self._listener = Listener(parts.launcher)
        self._worktree_removal = WorktreeRemoval(
            parts.worktrees, parts.gate_runner.baselines, parts.workspace, parts.store.job
        )
        self.lock = WorkspaceLock(parts.workspace.root)
        #: This server's lease. When it ends, a server on another machine can replace this server.
        #: None without the setting ``cluster.server_lease``.
        self.lease = _lease(parts)

    @property
    def leaves_workers(self) -> bool:
        """True if running workers continue after this server stops. The next server adopts them."""
        return self.parts.settings.workers.on_shutdown is OnShutdown.LEAVE

    def open(
        self, ended: HeldLease | None = None, on_lost: Callable[[str], None] | None = None
    ) -> None:
        """Lock the workspace, and open the store. Start no part.

        ``ended``: the lease of a server on another machine, if the caller has seen that lease
        expire. If ``ended`` is None, and a server on another machine has a lease, wait until the
        lease has expired. ``on_lost``: see ``ServerLease.begin``.

        Raise WorkspaceBusy if another server is alive. Raise Unavailable or StoreError if the
        workspace or the store cannot be used.
        """
        parts = self.parts
        if ended is None and self.lease is not None:
            ended = self.lease.observer.wait()
        if ended is None:
            self.lock.acquire()
        try:
            _check_database(parts.store.file, parts.workspace)
            parts.store.open(ended)
            if ended is not None:
                self.lock.seize()
            spread_subdirectories(parts.workspace.root)
            parts.location.record_identities()
            tool_config_boundary.write(parts.workspace.root)
            if self.lease is not None and parts.store.claimed is not None:
                self.lease.begin(parts.store.claimed.epoch, on_lost)
        except BaseException:
            parts.store.close()
            self.lock.release()
            raise

    def start(self, api_url: str, on_removed: Callable[[Job], None] = lambda job: None) -> None:
        """Start all parts: recover the jobs of an earlier server, then run jobs.

        ``api_url``: the address at which workers call the API. ``on_removed``: called in any
        thread, for each job that is removed because of its age.
        """
        parts = self.parts
        parts.outbox_service.check_settings()
        parts.preparation.api_url = api_url
        self._record_location()
        has_unfinished_jobs = bool(parts.store.unfinished())
        root = parts.workspace.root
        restarted = clock.persist(root / ".clock", jobs_continue=has_unfinished_jobs)
        for observer in (parts.job_log, parts.status_files, self._worktree_removal):
            parts.publisher.add(observer)
        parts.publisher.start()
        parts.status_files.start()
        parts.report_queue.start()
        parts.launcher.open(parts.processes)
        self._listener.start()
        today = day_of(clock.now())
        parts.scheduler.load_spending(parts.store.day_spending(today))
        parts.scheduler.load_pause(parts.store.pause())
        attempts = restore(parts.scheduler, parts.store, parts.status_files.load, clock.now())
        claimed = parts.store.claimed
        recovers = claimed is not None and claimed.recovers
        used_directories = {scratch_directory.directory_of(root, each.id) for each in attempts}
        # Remove old directories before the recovery of attempts, because recovered gates create new
        # directories.
        scratch_directory.sweep(root, used_directories)
        adopt_attempts(
            parts.scheduler,
            parts.attempts,
            parts.launcher,
            parts.processes,
            parts.workspace,
            attempts,
            interruption=REPLACED if recovers else RESTARTED if restarted else "",
            break_lock=break_lock if recovers else lambda exit_path: None,
        )
        parts.lock_calls.restore()
        failpoints.reached("recovery: done")
        parts.supervisor.start()
        if recovers and self.lease is not None:
            # Wait until the supervisor has stored the ends of the lost machine's attempts.
            parts.supervisor.call(lambda scheduler, now: None)
            self.lease.record_recovery()
        self.service.landings.recover()
        self.service.worker_messages.rewrite_messages(attempts)
        parts.outbox_service.dispatcher.start()
        parts.housekeeping.start(on_removed)

    def _record_location(self) -> None:
        parts = self.parts
        if not parts.location.has_changed():
            return
        try:
            # A new workspace has nothing to relocate, and needs no repository yet.
            if any(parts.workspace.root.glob("job_*")):
                parts.repository.relocate()
            parts.location.save()
        except (RepositoryError, OSError) as error:
            logger.warning("cannot check if the project was moved: %s", error)

    def stop_workers(self) -> None:
        """Stop all workers, or let them continue, as the settings request. Idempotent.

        Stopped workers start again when the server restarts. Call this method before the API stops.
        Otherwise, a worker that still runs may call the API without success, and fail.
        """
        self.parts.housekeeping.stop()
        self.parts.supervisor.stop()
        with self._listener:
            self.parts.merge_queue.close()
            self.parts.attempts.close()
            self._worktree_removal.close()
        self.parts.launcher.close(stop=not self.leaves_workers)

    def stop(self) -> None:
        """Stop the workers as ``stop_workers`` does, store the last state, and stop all parts.

        Idempotent.
        """
        self.stop_workers()
        self.parts.report_queue.stop()
        self.parts.publisher.stop()
        self.service.job_lists.feed.close()
        self.parts.outbox_service.dispatcher.stop()
        self.parts.status_files.stop()
        self.parts.job_log.close()
        self.close()

    def close(self) -> None:
        if self.lease is not None:
            self.lease.end()
        self.parts.store.close()
        self.lock.release()


def _check_database(path: Path | None, workspace: JobDirectories) -> None:
    if path and path.exists() and not path.stat().st_size and workspace.holds_jobs():
        raise StoreError(
            f"{path} is empty, but {workspace.root} contains jobs; restore a copy of the "
            "database; or move the jobs' directories away, to start without these jobs"
        )


def _lease(parts: EngineParts) -> ServerLease | None:
    seconds = parts.settings.cluster.server_lease
    if seconds is None or parts.lease_path is None:
        return None
    session = parts.store.lease_session(seconds / 2)
    if session is None:
        return None
    return ServerLease(session, seconds, parts.lease_path, lambda: parts.local.has_stopped_all)
