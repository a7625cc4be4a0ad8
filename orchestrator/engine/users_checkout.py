"""The user's own checkout: whether it is as it was before the first worker of a job began."""

import json
import os
import threading
from collections.abc import Mapping

from orchestrator.core.ports import Workspace
from orchestrator.core.repository import Repository
from orchestrator.security.paths import read_regular

#: In a root job's directory: what was there before.
BEFORE = "checkout.json"
BEFORE_BYTES = 64 * 1024 * 1024


class UsersCheckout:
    """Any thread may call."""

    def __init__(self, repository: Repository, workspace: Workspace) -> None:
        self._repository = repository
        self._workspace = workspace
        self._looking = threading.Lock()

    def note(self, root_id: str) -> None:
        """As it is before any agent of the tree begins; a later call changes nothing."""
        path = self._workspace.job_directory(root_id) / BEFORE
        with self._looking:
            if path.exists():
                return
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(dict(self._repository.checkout_state())))
            temporary.replace(path)

    def leaks(self, root_id: str) -> list[str]:
        """What became different since then."""
        directory = self._workspace.job_directory(root_id)
        if not os.path.lexists(directory / BEFORE):
            return []
        # A worker could have put a pipe, or anything, in its place: then all is told.
        noted = read_regular(directory / BEFORE, BEFORE_BYTES, within=directory)
        before, after = _object(noted), dict(self._repository.checkout_state())
        names = sorted({*before, *after})
        # Empty stands for what is not there; another version may not have looked for it.
        return [name for name in names if before.get(name, "") != after.get(name, "")]


def _object(content: bytes | None) -> Mapping[str, object]:
    try:
        found = json.loads(content or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
