"""The parts of the product at work: opened, started and stopped in order."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError, StoreError
from orchestrator.core.quotas import day_of
from orchestrator.core.scheduler import Scheduler
from orchestrator.engine import clock
from orchestrator.engine.dispatch import Dispatch
from orchestrator.engine.flights import Flights
from orchestrator.engine.housekeeping import Housekeeping
from orchestrator.engine.integration import Integration
from orchestrator.engine.locking import Locking
from orchestrator.engine.publisher import Publisher
from orchestrator.engine.recovery import recover
from orchestrator.engine.removal import Removal
from orchestrator.engine.reporting import Reporting
from orchestrator.engine.retiring import Retiring
from orchestrator.engine.service import Service
from orchestrator.engine.supervisor import Supervisor
from orchestrator.launchers.listener import Listener
from orchestrator.launchers.local import LocalLauncher
from orchestrator.security import boundary, scratch
from orchestrator.store import SqlStore
from orchestrator.workspace import (
    JobLog,
    Place,
    StatusFiles,
    Workspace,
    WorkspaceLock,
    spread,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobManager:
    """Everything between the store and the API. Start once, stop once."""

    service: Service
    supervisor: Supervisor
    flights: Flights
    scheduler: Scheduler
    locking: Locking
    store: SqlStore
    launcher: LocalLauncher
    #: To the launcher, when the supervisor has ended.
    listener: Listener
    dispatch: Dispatch
    workspace: Workspace
    publisher: Publisher
    integration: Integration
    reporting: Reporting
    job_log: JobLog
    status_files: StatusFiles
    removal: Removal
    housekeeping: Housekeeping
    retiring: Retiring
    lock: WorkspaceLock
    place: Place
    #: Puts right what names an old place of the project.
    relocate: Callable[[], None]
    #: Running workers are left to the next server.
    leaves_workers: bool

    def open(self) -> None:
        """Take the workspace. Raise WorkspaceBusy, Unavailable or StoreError; nothing runs yet."""
        self.lock.acquire()
        try:
            _check_database(self.store.file, self.workspace)
            self.store.open()
            spread(self.workspace.root)
            self.place.note()
            boundary.lay(self.workspace.root)
        except BaseException:
            self.lock.release()
            raise

    def start(self, api_url: str) -> None:
        """Take up what an earlier server left, then begin. ``api_url`` is for the workers."""
        self.dispatch.api_url = api_url
        self._take_place()
        under_way = bool(self.store.unfinished())
        restarted = clock.keep(self.workspace.root / ".clock", going_on=under_way)
        for observer in (self.job_log, self.status_files, self.retiring):
            self.publisher.add(observer)
        self.publisher.start()
        self.status_files.start()
        self.reporting.start()
        self.launcher.open(self.flights)
        self.listener.start()
        today = day_of(clock.now())
        self.scheduler.forest.quotas.load(self.store.day_spending(today))
        recover(
            self.scheduler,
            self.flights,
            self.store,
            self.launcher,
            self.workspace,
            self.status_files.load,
            clock.now(),
            machine_restarted=restarted,
        )
        scratch.sweep(self.workspace.root, self.flights.scratches)
        self.locking.restore()
        failpoints.reached("recovery: done")
        self.supervisor.start()
        self.housekeeping.start()

    def _take_place(self) -> None:
        if not self.place.is_new():
            return
        try:
            self.relocate()
            self.place.keep()
        except (RepositoryError, OSError) as error:
            logger.warning("it is not known whether the project was moved: %s", error)

    def stop_workers(self) -> None:
        """Stop what runs, to run again after a restart, or leave it. Idempotent.

        While the API still answers: a worker must not fail because its server is gone.
        """
        self.housekeeping.stop()
        self.supervisor.stop()
        with self.listener:
            self.integration.close()
            self.flights.close()
            self.retiring.close()
        self.launcher.close(stop=not self.leaves_workers)

    def stop(self) -> None:
        """Stop or leave what runs and write the last state. Idempotent."""
        self.stop_workers()
        self.reporting.stop()
        self.publisher.stop()
        self.status_files.stop()
        self.job_log.close()
        self.close()

    def close(self) -> None:
        self.store.close()
        self.lock.release()


def _check_database(path: Path | None, workspace: Workspace) -> None:
    """Raise StoreError for an empty file where there are jobs: their state was lost."""
    if path and path.exists() and not path.stat().st_size and workspace.holds_jobs():
        raise StoreError(
            f"{path} is empty, but there are jobs in {workspace.root}: put a copy of it back, or "
            "move it aside to begin without what it held"
        )
