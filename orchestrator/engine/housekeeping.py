"""A background thread that removes old jobs, and repairs files after a crash."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from orchestrator.core.errors import StoreAway
from orchestrator.core.model.job import Job
from orchestrator.core.ports import Store
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.formatting import listed
from orchestrator.engine.job_removal import JobRemoval
from orchestrator.engine.runtime.disk_and_store_retries import when_reachable

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds from the server's start to the first check, so that the first API calls are not delayed.
BEGIN_SECONDS = 3.0
#: Minimum and maximum seconds between two checks for old jobs.
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
#: Maximum number of ended jobs whose files are checked after a start; the latest jobs are checked.
CHECKED_JOBS = 1000
#: Pause before the check of each job's files, in seconds. Without the pause, an API call during the
#: checks takes ten times as long, because the checks compete with the call for the interpreter.
CHECK_PAUSE_SECONDS = 0.005
#: Maximum number of directories in the log message about directories that belong to no job.
MOST_NAMED = 10
#: Maximum number of jobs that are removed between two checks.
MOST_REMOVED = 100


class RetentionCalls(Protocol):
    def call(self, action: Callable[[Scheduler, float], T]) -> T: ...


class Housekeeping:
    """A background thread that repairs files after a crash, and removes old jobs.

    Each call from this thread to the supervisor takes only milliseconds of the supervisor's time.
    """

    def __init__(
        self,
        *,
        store: Store,
        removal: JobRemoval,
        loop: RetentionCalls,
        keep_seconds: float | None,
        write_missing: Callable[[Job], None],
    ) -> None:
        """``keep_seconds``: age in seconds at which ended jobs are removed; None: never.

        ``write_missing``: writes files that an ended job lacks, such as reports.
        """
        self._store = store
        self._removal = removal
        self._loop = loop
        self._keep_seconds = keep_seconds
        self._write_missing = write_missing
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self, on_removed: Callable[[Job], None]) -> None:
        """Start the thread. The thread calls ``on_removed`` for each job that it has removed."""
        self._on_removed = on_removed
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the current removal. Idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        if self._stopping.wait(BEGIN_SECONDS):
            return
        self._guarded(self._log_unknown_directories)
        self._guarded(self._finish_removals)
        self._guarded(self._write_missing_files)
        if self._keep_seconds is None:
            return
        pause = min(max(self._keep_seconds / 10, SHORTEST_SECONDS), LONGEST_SECONDS)
        while not self._stopping.wait(pause):
            self._guarded(self._remove_old)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            when_reachable(step, self._stopping)
        except StoreAway:
            return  # The server stops. The next server repeats the step.
        except Exception:
            logger.exception("housekeeping failed; retrying later")

    def _log_unknown_directories(self) -> None:
        """Log the names of directories that belong to no job in the database.

        The database may have lost the jobs of these directories: if SQLite's write-ahead log is
        damaged, SQLite ignores the changes in the damaged part without an error.
        """
        if unknown := self._removal.unknown_directories():
            logger.warning(
                "directories of the workspace without a job in the database: %s; nothing was "
                "removed; possible causes: the latest jobs were lost, another workspace was "
                "copied, or store.url was changed; restore the database or store.url, or delete "
                "the directories",
                listed([f"job_{root_id}" for root_id in unknown], MOST_NAMED),
            )

    def _finish_removals(self) -> None:
        for root_id in self._removal.interrupted():
            self._loop.call(partial(self._finish_one, root_id))
            self._removal.delete_files(root_id)

    def _write_missing_files(self) -> None:
        for job in self._store.ended(time.time(), CHECKED_JOBS):
            if self._stopping.wait(CHECK_PAUSE_SECONDS):
                return
            self._guarded(partial(self._write_missing, job))

    def _remove_old(self) -> None:
        assert self._keep_seconds is not None
        self._finish_removals()
        for job in self._store.ended(time.time() - self._keep_seconds, MOST_REMOVED):
            if self._stopping.is_set():
                return
            started_at = time.monotonic()
            self._removal.secure(job.id)
            if self._loop.call(partial(self._begin_removal, job.id)):
                saved_refs = self._removal.delete_files(job.id)
                payload = {"job_id": job.id, "ended_at": job.ended_at, "kept": list(saved_refs)}
                logger.info("job removed", extra=payload)
                self._on_removed(job)
            # Spend at most half of the time on removals, so that a thousand old jobs do not delay
            # callers.
            self._stopping.wait(time.monotonic() - started_at)

    def _finish_one(self, root_id: str, scheduler: Scheduler, now: float) -> None:
        self._removal.finish(root_id)

    def _begin_removal(self, root_id: str, scheduler: Scheduler, now: float) -> bool:
        # This method runs in the supervisor's thread, so that a retry cannot run the job during the
        # removal.
        if scheduler.view.has_tree(root_id):
            return False
        return self._removal.begin(root_id)
