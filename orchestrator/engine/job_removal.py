"""Removes ended root jobs in steps. A removal that a crash interrupted can be completed."""

import threading
from collections.abc import Sequence
from contextlib import suppress

from orchestrator.core import failpoints
from orchestrator.core.errors import Conflict, StoreError
from orchestrator.core.outcome.shortage_errors import is_full_disk
from orchestrator.core.ports import JobFiles, Store
from orchestrator.core.text.command_name import COMMAND


class JobRemoval:
    """Removes ended root jobs: the rows in the database, and the job's directory.

    A removal has three steps:

    1. Rename the directory. The new name records the removal.
    2. Delete the rows in one transaction.
    3. Delete the directory.

    If a crash interrupts a removal, ``finish`` and ``delete_files`` complete it. Only the thread
    that writes to the store may call ``begin``. Otherwise, a retry could start the job during the
    removal.
    """

    def __init__(self, store: Store, files: JobFiles) -> None:
        self._store = store
        self._files = files
        #: Ids of root jobs whose removal this process has begun, but not completed.
        self._under_way: set[str] = set()
        self._deletion = threading.Lock()

    def secure(self, root_id: str) -> None:
        """Save the job's uncommitted work on git refs, because the removal deletes the worktrees.

        Raise Conflict if the disk is full. May take long. Call ``secure`` before ``begin``, because
        ``begin`` cannot be undone.
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
        """Rename the directory, and delete the rows. ``delete_files`` removes the directory later.

        Idempotent. Return False without a change if the job has not ended, or a person works in a
        worktree of the job. Raise OSError if the directory cannot be renamed. If the rows cannot be
        deleted, restore the directory, and raise StoreError.
        """
        job = self._store.job(root_id)
        if (job is not None and not job.status.ended) or self._files.in_use(root_id):
            return False
        self._under_way.add(root_id)
        try:
            self._files.mark_removed(root_id)
            failpoints.reached("removal: files moved aside")
            self._delete_rows(root_id)
        except BaseException:
            self._under_way.discard(root_id)
            raise
        failpoints.reached("removal: rows deleted")
        return True

    def _delete_rows(self, root_id: str) -> None:
        try:
            self._store.forget([root_id])
        except StoreError:
            # The job is still listed, and may be retried. If the directory cannot be restored, the
            # next server completes the removal.
            with suppress(OSError):
                self._files.unmark_removed(root_id)
            raise

    def delete_files(self, root_id: str) -> Sequence[str]:
        """Delete the directory. Return the names of the git refs that save work of the job.

        Idempotent, even if two threads call this method at the same time. Raise OSError if a file
        cannot be deleted.
        """
        try:
            with self._deletion:
                saved_refs = self._files.delete_files(root_id)
        finally:
            self._under_way.discard(root_id)
        failpoints.reached("removal: files deleted")
        return saved_refs

    def unknown_directories(self) -> Sequence[str]:
        """Return the root job ids of job directories whose job has no row in the database."""
        return [
            root_id
            for root_id in self._files.jobs_with_directory()
            if self._store.job(root_id) is None
        ]

    def interrupted(self) -> tuple[str, ...]:
        """Return the ids of root jobs whose removal was interrupted, for example by a crash.

        Removals in progress in this process are omitted.
        """
        return tuple(each for each in self._files.marked_removed() if each not in self._under_way)

    def finish(self, root_id: str) -> None:
        """Delete the rows of an interrupted removal. ``delete_files`` removes the directory later.

        If the job is unfinished, because a person restored an older copy of the store, restore the
        job's directory and delete nothing. Only the thread that calls ``begin`` may call this
        method. Raise OSError if the directory cannot be restored, and StoreError if the rows cannot
        be deleted.
        """
        job = self._store.job(root_id)
        if job is not None and not job.status.ended:
            self._files.unmark_removed(root_id)
            return
        self._store.forget([root_id])
