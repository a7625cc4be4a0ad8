"""Removal of a job's files.

A job's directory is removed in two steps, so that a removal can be completed after a crash. First
the directory is renamed. The new name shows that the job's rows in the database must be deleted,
too. Then the directory is deleted.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.security.files.tree_removal import remove
from orchestrator.workspace.attach_lock import ATTACHED, is_attached

_JOB = "job_"
PREFIX = f".removing-{_JOB}"
Forget = Callable[[str, str, str], Sequence[str]]
Secure = Callable[[str, str], None]


class WorkspaceJobFiles:
    """The directories of root jobs in the workspace's directory ``root``."""

    def __init__(
        self,
        root: Path,
        forget: Forget = lambda root_id, directory, removed_path: (),
        secure: Secure = lambda root_id, directory: None,
    ) -> None:
        """``forget`` is a function that removes a job's data outside of the job's directory.

        The arguments of ``forget`` are the job's id, the former path of the job's directory, and
        the directory's new path. ``forget`` returns the names of the remaining git refs, and must
        be idempotent.

        ``secure`` is a function that saves work of a job before the removal. The arguments are the
        job's id and the path of the job's directory. ``secure`` raises OSError if the disk lacks
        space.
        """
        self._root = root
        self._forget = forget
        self._secure = secure

    def secure(self, root_id: str) -> None:
        self._secure(root_id, str(self._root / f"{_JOB}{root_id}"))

    def mark_removed(self, root_id: str) -> None:
        """Rename the job's directory to mark the job as removed. Idempotent.

        If the directory does not exist or is a link, create an empty directory with the new name
        instead. The new name is synced to disk. Raise OSError if the directory cannot be renamed.
        """
        removed_path, directory = self._removal_path(root_id), self._root / f"{_JOB}{root_id}"
        if directory.is_symlink() or not directory.exists():
            removed_path.mkdir(mode=0o700, exist_ok=True)
        else:
            self.delete_files(root_id)
            directory.rename(removed_path)
        handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def in_use(self, root_id: str) -> bool:
        lock_paths = self._root.glob(f"{_JOB}{root_id}/depth_*/*/{ATTACHED}")
        return any(is_attached(path.parent) for path in lock_paths)

    def jobs_with_directory(self) -> Sequence[str]:
        return sorted(path.name.removeprefix(_JOB) for path in self._root.glob(f"{_JOB}*"))

    def marked_removed(self) -> Sequence[str]:
        directories = self._root.glob(f"{PREFIX}*")
        return sorted(path.name.removeprefix(PREFIX) for path in directories)

    def unmark_removed(self, root_id: str) -> None:
        """Undo ``mark_removed``. Raise OSError if the job has a new directory."""
        self._removal_path(root_id).rename(self._root / f"{_JOB}{root_id}")

    def delete_files(self, root_id: str) -> Sequence[str]:
        """Delete a directory that ``mark_removed`` renamed, and the job's data in other places.

        Return the names of the git refs that save work of the job. Links are deleted, but the
        targets of links are not. Idempotent. Raise OSError if a file cannot be deleted.
        """
        removed_path = self._removal_path(root_id)
        if not removed_path.exists():
            return ()
        refs = self._forget(root_id, str(self._root / f"{_JOB}{root_id}"), str(removed_path))
        remove(removed_path)
        return refs

    def _removal_path(self, root_id: str) -> Path:
        return self._root / f"{PREFIX}{root_id}"
