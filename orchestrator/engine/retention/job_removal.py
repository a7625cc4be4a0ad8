"""Removing root jobs that have ended: rows and files, or nothing, whenever it crashes.

First the directory is set aside, which says that the job is to go; then its rows are deleted in
one transaction; then the directory is destroyed. What was begun is finished by ``finish``.
"""

from collections.abc import Sequence

from orchestrator.core import failpoints
from orchestrator.core.command_name import COMMAND
from orchestrator.core.errors import Conflict
from orchestrator.core.outcome.resource_exhaustion import is_full_disk
from orchestrator.core.ports import JobFiles, Store


class JobRemoval:
    """``begin`` is for the thread that writes to the store, while nothing can run the job again."""

    def __init__(self, store: Store, files: JobFiles) -> None:
        self._store = store
        self._files = files

    def secure(self, root_id: str) -> None:
        """Raise Conflict where the disk is too full to keep work of a job that is to be removed.

        Takes its time. To be called before ``begin``, after which nothing can be undone.
        """
        try:
            self._files.secure(root_id)
        except OSError as error:
            if not is_full_disk(error):
                raise
            raise Conflict(
                f"the disk has no space to keep uncommitted work of job {root_id}; nothing was "
                f"removed; free some space, or give the work up: {COMMAND} discard {root_id}"
            ) from error

    def begin(self, root_id: str) -> bool:
        """Everything but destroying what was set aside, which may take its time.

        Idempotent; False: a job that has not ended, or that a person is at work in, is left.
        Raise OSError or StoreError.
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
        """The names of refs in git under which work of the job is kept."""
        kept = self._files.destroy(root_id)
        failpoints.reached("removal: files destroyed")
        return kept

    def unknown(self) -> Sequence[str]:
        """Root jobs with a directory, of which the store knows nothing."""
        return [root_id for root_id in self._files.present() if self._store.job(root_id) is None]

    def begun(self) -> tuple[str, ...]:
        """What an earlier process began, and did not finish."""
        return tuple(self._files.aside())

    def finish(self, root_id: str) -> None:
        """Go on where it was left; for the same thread as ``begin``. Raise OSError or StoreError.

        The directory of a job that has not ended after all, in a store of another day, is put
        back.
        """
        job = self._store.job(root_id)
        if job is not None and not job.status.ended:
            self._files.put_back(root_id)
            return
        self._store.forget([root_id])
