"""Opens, starts, and stops the parts of a server in order."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.composition.server.server_lease_renewal import ServerLease
from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError, StoreError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits.usage_budgets import day_of
from orchestrator.core.model.job import Attempt, Job
from orchestrator.core.ports.launcher import Launcher
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.attempts.attempt_runner import (
    AttemptRunner,
)
from orchestrator.engine.attempts.launch_and_evidence import AttemptPreparation
from orchestrator.engine.job_removal import Housekeeping, JobRemoval
from orchestrator.engine.merge.merge_queue import MergeQueue
from orchestrator.engine.report_queue import ReportWriter
from orchestrator.engine.runtime import clock
from orchestrator.engine.runtime.background import RunningProcesses
from orchestrator.engine.service.landings import LandingCalls
from orchestrator.engine.service.read_models.feed_and_throughput import Feed
from orchestrator.engine.service.service import Service
from orchestrator.engine.supervisor.lock_calls import LockCalls
from orchestrator.engine.supervisor.recovery import REPLACED, RESTARTED, restore, take_up
from orchestrator.engine.supervisor.supervisor import Publisher, Supervisor
from orchestrator.engine.worktrees.worktree_lifetime import WorktreeCleanup
from orchestrator.launchers.exit_record.exit_record import break_lock
from orchestrator.launchers.local.local_launcher import Listener
from orchestrator.outbox.outbox_service import OutboxService
from orchestrator.security.files import scratch_directory, search_boundary
from orchestrator.store import SqlStore
from orchestrator.store.database.server_lease import HeldLease
from orchestrator.workspace import (
    JobLog,
    Place,
    StatusFiles,
    WorkspaceLayout,
    WorkspaceLock,
    spread,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobManager:
    """All parts between the store and the API. Start once, stop once."""

    service: Service
    supervisor: Supervisor
    attempts: AttemptRunner
    scheduler: Scheduler
    lock_calls: LockCalls
    store: SqlStore
    launcher: Launcher
    #: Receives the launcher's reports.
    processes: RunningProcesses
    #: Link to the launcher. Must be closed after the supervisor has ended.
    listener: Listener
    dispatch: AttemptPreparation
    workspace: WorkspaceLayout
    publisher: Publisher
    merge_queue: MergeQueue
    feed: Feed
    reporting: ReportWriter
    job_log: JobLog
    status_files: StatusFiles
    removal: JobRemoval
    housekeeping: Housekeeping
    outbox: OutboxService
    landings: LandingCalls
    #: Gives running attempts the messages that they missed because of a crash.
    pass_on_messages: Callable[[Sequence[Attempt]], None]
    worktree_cleanup: WorktreeCleanup
    lock: WorkspaceLock
    #: The lease with which a server on another machine can replace this one; None without the
    #: setting ``cluster.server_lease``.
    lease: ServerLease | None
    place: Place
    #: Replaces former paths of the project in stored data.
    relocate: Callable[[], None]
    #: True if running workers continue for the next server.
    leaves_workers: bool

    def open(
        self, ended: HeldLease | None = None, on_lost: Callable[[str], None] | None = None
    ) -> None:
        """Lock the workspace, and open the store. Start no part.

        ``ended``: the expired lease of a server on another machine. If it is None, this call waits
        until such a lease has expired, if there is one. ``on_lost``: see ``ServerLease.begin``.

        Raise WorkspaceBusy if another server is alive. Raise Unavailable or StoreError.
        """
        if ended is None and self.lease is not None:
            ended = self.lease.observer.wait()
        if ended is None:
            self.lock.acquire()
        try:
            _check_database(self.store.file, self.workspace)
            self.store.open(ended)
            if ended is not None:
                self.lock.seize()
            spread(self.workspace.root)
            self.place.note()
            search_boundary.write(self.workspace.root)
            if self.lease is not None and self.store.claimed is not None:
                self.lease.begin(self.store.claimed.epoch, on_lost)
        except BaseException:
            self.store.close()
            self.lock.release()
            raise

    def start(self, api_url: str, removed: Callable[[Job], None] = lambda job: None) -> None:
        """Start all parts: recover the jobs of an earlier server, then run jobs.

        ``api_url``: the address at which workers call the API. ``removed`` is called in any thread,
        for each job that is removed because of its age.
        """
        self.outbox.check_settings()
        self.dispatch.api_url = api_url
        self._take_place()
        under_way = bool(self.store.unfinished())
        restarted = clock.keep(self.workspace.root / ".clock", going_on=under_way)
        for observer in (self.job_log, self.status_files, self.worktree_cleanup):
            self.publisher.add(observer)
        self.publisher.start()
        self.status_files.start()
        self.reporting.start()
        self.launcher.open(self.processes)
        self.listener.start()
        today = day_of(clock.now())
        self.scheduler.load_spending(self.store.day_spending(today))
        self.scheduler.load_pause(self.store.pause())
        found = restore(self.scheduler, self.store, self.status_files.load, clock.now())
        root = self.workspace.root
        claimed = self.store.claimed
        recovers = claimed is not None and claimed.recovers
        kept = {scratch_directory.directory_of(root, each.id) for each in found}
        # Sweep before the recovery of attempts, because recovered gates create new directories.
        scratch_directory.sweep(root, kept)
        take_up(
            self.scheduler,
            self.attempts,
            self.launcher,
            self.processes,
            self.workspace,
            found,
            cut_off=REPLACED if recovers else RESTARTED if restarted else "",
            break_lock=break_lock if recovers else lambda exit_path: None,
        )
        self.lock_calls.restore()
        failpoints.reached("recovery: done")
        self.supervisor.start()
        if recovers and self.lease is not None:
            # Wait for the first turn, which stores the ends of the lost machine's attempts.
            self.supervisor.call(lambda scheduler, now: None)
            self.lease.recovered()
        self.landings.recover()
        self.pass_on_messages(found)
        self.outbox.sender.start()
        self.housekeeping.start(removed)

    def _take_place(self) -> None:
        if not self.place.is_new():
            return
        try:
            # A new workspace has nothing to relocate, and needs no repository yet.
            if any(self.workspace.root.glob("job_*")):
                self.relocate()
            self.place.keep()
        except (RepositoryError, OSError) as error:
            logger.warning("cannot check if the project was moved: %s", error)

    def stop_workers(self) -> None:
        """Stop running workers, or leave them running, as the settings request. Idempotent.

        Stopped workers start again when the server restarts. Call this while the API still answers;
        otherwise workers may fail because no server answers.
        """
        self.housekeeping.stop()
        self.supervisor.stop()
        with self.listener:
            self.merge_queue.close()
            self.attempts.close()
            self.worktree_cleanup.close()
        self.launcher.close(stop=not self.leaves_workers)

    def stop(self) -> None:
        """Stop the workers as ``stop_workers`` does, store the last state, and stop all parts.

        Idempotent.
        """
        self.stop_workers()
        self.reporting.stop()
        self.publisher.stop()
        self.feed.close()
        self.outbox.sender.stop()
        self.status_files.stop()
        self.job_log.close()
        self.close()

    def close(self) -> None:
        if self.lease is not None:
            self.lease.end()
        self.store.close()
        self.lock.release()


def _check_database(path: Path | None, workspace: WorkspaceLayout) -> None:
    if path and path.exists() and not path.stat().st_size and workspace.holds_jobs():
        raise StoreError(
            f"{path} is empty, but {workspace.root} contains jobs; restore a copy of the "
            "database; or move the jobs' directories away, to start without these jobs"
        )
