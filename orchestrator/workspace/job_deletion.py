"""Removes a job's directory in steps, so that a crash between them leaves nothing half removed.

A directory that is set aside gets another name. The name shows that the directory no longer
belongs to a job, and that the job's rows must be deleted, too.
"""

import os
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.workspace.lock import ATTACHED, is_attached

_JOB = "job_"
PREFIX = f".removing-{_JOB}"
Forget = Callable[[str, str, str], Sequence[str]]
Secure = Callable[[str, str], None]


class WorkspaceJobFiles:
    """The directories of root jobs below ``root``."""

    def __init__(
        self,
        root: Path,
        forget: Forget = lambda root_id, directory, present: (),
        secure: Secure = lambda root_id, directory: None,
    ) -> None:
        """``forget`` removes data of a destroyed job outside its directory, and returns what
        stays.

        Its parameters are the job's id, its directory, and the present place of that directory. It
        must be idempotent. ``secure`` raises OSError if the disk lacks space for data that must
        stay.
        """
        self._root = root
        self._forget = forget
        self._secure = secure

    def secure(self, root_id: str) -> None:
        """Raise OSError if the disk is too full to save the work that ``destroy`` saves."""
        self._secure(root_id, str(self._root / f"{_JOB}{root_id}"))

    def set_aside(self, root_id: str) -> None:
        """Rename the directory, and sync the change to the disk. Idempotent. Raise OSError."""
        aside, directory = self._aside(root_id), self._root / f"{_JOB}{root_id}"
        if directory.is_symlink() or not directory.exists():
            aside.mkdir(mode=0o700, exist_ok=True)
        else:
            self.destroy(root_id)
            directory.rename(aside)
        handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def in_use(self, root_id: str) -> bool:
        found = self._root.glob(f"{_JOB}{root_id}/depth_*/*/{ATTACHED}")
        return any(is_attached(each.parent) for each in found)

    def present(self) -> Sequence[str]:
        """Return the root jobs that have a directory."""
        return sorted(path.name.removeprefix(_JOB) for path in self._root.glob(f"{_JOB}*"))

    def aside(self) -> Sequence[str]:
        """Return the root jobs whose directories were set aside, and are not destroyed yet."""
        found = self._root.glob(f"{PREFIX}*")
        return sorted(path.name.removeprefix(PREFIX) for path in found)

    def put_back(self, root_id: str) -> None:
        """Undo ``set_aside``. Raise OSError if the job has a new directory."""
        self._aside(root_id).rename(self._root / f"{_JOB}{root_id}")

    def destroy(self, root_id: str) -> Sequence[str]:
        """Remove the directory that was set aside; targets of links in it stay. Idempotent. Raise
        OSError.

        Return the names of git refs that keep work of the job.
        """
        aside = self._aside(root_id)
        if not aside.exists():
            return ()
        kept = self._forget(root_id, str(self._root / f"{_JOB}{root_id}"), str(aside))
        _remove_tree(aside)
        return kept

    def _aside(self, root_id: str) -> Path:
        return self._root / f"{PREFIX}{root_id}"


def _remove_tree(directory: Path) -> None:
    """Remove a directory, also if a worker has left directories without write permission."""
    os.chmod(directory, stat.S_IRWXU)
    for parent, names, _ in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                os.chmod(path, stat.S_IRWXU)
    shutil.rmtree(directory)
