"""Background maintenance of a server: repairs files after a crash, and removes old jobs."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from orchestrator.core import failpoints
from orchestrator.core.command_name import COMMAND
from orchestrator.core.errors import Conflict
from orchestrator.core.model.job import Job
from orchestrator.core.outcome.resource_exhaustion import is_full_disk
from orchestrator.core.ports import JobFiles, Store
from orchestrator.core.scheduler.scheduler import Scheduler

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Retention can wait: after a restart, callers that wait for the server come first.
BEGIN_SECONDS = 3.0
#: Shortest and longest pause between two checks for old jobs.
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
#: Most recently ended jobs that are checked after a start.
MENDED = 1000
#: Maximum number of directories without a job that a text names.
MOST_NAMED = 10
#: Maximum number of jobs that are removed before the next check.
AT_ONCE = 100


class JobRemoval:
    """Removes ended root jobs: a crash leaves either all rows and files of a job, or none.

    First the directory is set aside, which records the removal; then one transaction deletes the
    rows; then the directory is destroyed. ``finish`` completes an interrupted removal. Only the
    thread that writes to the store may call ``begin``, so that no retry can run the job again
    meanwhile.
    """

    def __init__(self, store: Store, files: JobFiles) -> None:
        self._store = store
        self._files = files

    def secure(self, root_id: str) -> None:
        """Raise Conflict if the disk is too full to save the job's work before its removal.

        May take long. Call it before ``begin``, which cannot be undone.
        """
        try:
            self._files.secure(root_id)
        except OSError as error:
            if not is_full_disk(error):
                raise
            raise Conflict(
                f"cannot save the uncommitted work of job {root_id}: the disk is full; nothing was "
                f"removed; free disk space, or discard the work: {COMMAND} discard {root_id}"
            ) from error

    def begin(self, root_id: str) -> bool:
        """Set the directory aside and delete the rows, without the slow destruction of the
        directory.

        Idempotent. Return False for a job that has not ended, or that a person works in; the job
        stays. Raise OSError or StoreError.
        """
        job = self._store.job(root_id)
        if (job is not None and not job.status.ended) or self._files.in_use(root_id):
            return False
        self._files.set_aside(root_id)
        failpoints.reached("removal: set aside")
        self._store.forget([root_id])
        failpoints.reached("removal: rows deleted")
        return True

    def destroy(self, root_id: str) -> Sequence[str]:
        """Destroy the directory. Return the names of git refs that keep work of the job."""
        kept = self._files.destroy(root_id)
        failpoints.reached("removal: files destroyed")
        return kept

    def unknown(self) -> Sequence[str]:
        """Return root jobs with a directory that the store does not know."""
        return [root_id for root_id in self._files.present() if self._store.job(root_id) is None]

    def begun(self) -> tuple[str, ...]:
        """Return unfinished removals of earlier processes."""
        return tuple(self._files.aside())

    def finish(self, root_id: str) -> None:
        """Continue an interrupted removal, in the same thread as ``begin``. Raise OSError or
        StoreError.

        If the store is an older copy, in which the job has not ended, the directory is restored.
        """
        job = self._store.job(root_id)
        if job is not None and not job.status.ended:
            self._files.put_back(root_id)
            return
        self._store.forget([root_id])


class RetentionCalls(Protocol):
    """The part of the supervisor that runs calls in its loop."""

    def call(self, action: Callable[[Scheduler, float], T]) -> T: ...


class Housekeeping:
    """Repairs files and removes old jobs in a background thread.

    Its calls take the supervisor's loop only milliseconds.
    """

    def __init__(
        self,
        *,
        store: Store,
        removal: JobRemoval,
        loop: RetentionCalls,
        keep_seconds: float | None,
        mend: Callable[[Job], None],
    ) -> None:
        """``keep_seconds``: None keeps all jobs. ``mend`` repairs the files of a job."""
        self._store = store
        self._removal = removal
        self._loop = loop
        self._keep_seconds = keep_seconds
        self._mend = mend
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self, removed: Callable[[Job], None]) -> None:
        """Start the thread, which calls ``removed`` for every removed job."""
        self._removed = removed
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the current removal. Idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        if self._stopping.wait(BEGIN_SECONDS):
            return
        self._guarded(self._name_unknown)
        self._guarded(self._finish)
        self._guarded(self._mend_all)
        if self._keep_seconds is None:
            return
        pause = min(max(self._keep_seconds / 10, SHORTEST_SECONDS), LONGEST_SECONDS)
        while not self._stopping.wait(pause):
            self._guarded(self._remove_old)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Log the error and return: nothing waits for this work, and the next pass retries it."""
        try:
            step()
        except Exception:
            logger.exception("housekeeping failed; it is retried")

    def _name_unknown(self) -> None:
        """Log directories without a job in the database, because the latest jobs may be lost.

        SQLite reports no error for a damaged write-ahead log: it ignores the damaged part.
        """
        if unknown := self._removal.unknown():
            shown = ", ".join(f"job_{root_id}" for root_id in unknown[:MOST_NAMED])
            logger.warning(
                "%d directories in the workspace are not in the database (%s): its end was lost, "
                "or they come from elsewhere; they are not changed",
                len(unknown),
                shown + (", ..." if len(unknown) > MOST_NAMED else ""),
            )

    def _finish(self) -> None:
        for root_id in self._removal.begun():
            self._loop.call(partial(self._finish_one, root_id))
            self._removal.destroy(root_id)

    def _mend_all(self) -> None:
        for job in self._store.ended(time.time(), MENDED):
            if self._stopping.is_set():
                return
            self._guarded(partial(self._mend, job))

    def _remove_old(self) -> None:
        assert self._keep_seconds is not None
        self._finish()
        for job in self._store.ended(time.time() - self._keep_seconds, AT_ONCE):
            if self._stopping.is_set():
                return
            began = time.monotonic()
            self._removal.secure(job.id)
            if self._loop.call(partial(self._begin, job.id)):
                kept = self._removal.destroy(job.id)
                payload = {"job_id": job.id, "ended_at": job.ended_at, "kept": list(kept)}
                logger.info("job removed", extra=payload)
                self._removed(job)
            # Removals take at most half of the time, so that a thousand old jobs delay no caller.
            self._stopping.wait(time.monotonic() - began)

    def _finish_one(self, root_id: str, scheduler: Scheduler, now: float) -> None:
        self._removal.finish(root_id)

    def _begin(self, root_id: str, scheduler: Scheduler, now: float) -> bool:
        """Begin a removal in the supervisor's loop, so that the job cannot run again."""
        if scheduler.view.has_tree(root_id):
            return False
        return self._removal.begin(root_id)
