"""The user's own checkout: whether it is as it was before the first worker of a job began."""

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence

from orchestrator.core.errors import RepositoryError
from orchestrator.core.ports import Workspace
from orchestrator.core.repository import WAYS_TO_MERGE, Repository
from orchestrator.security.paths import read_regular

#: In a root job's directory: what was there before.
BEFORE = "checkout.json"
BEFORE_BYTES = 64 * 1024 * 1024
#: Begins the names of files in the state of a checkout.
FILE = "file "
#: Seconds after which a lock that is still there is taken for left behind: git's are short.
LEFT_SECONDS = 1.0


class UsersCheckout:
    """Any thread may call."""

    def __init__(self, repository: Repository, workspace: Workspace) -> None:
        self._repository = repository
        self._workspace = workspace
        self._looking = threading.Lock()

    def note(self, root_id: str) -> None:
        """As it is before any agent of the tree begins; a later call changes nothing."""
        directory = self._workspace.job_directory(root_id)
        path = directory / BEFORE
        with self._looking:
            if path.exists():
                return
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._repository.note(str(directory))
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(dict(self._repository.checkout_state())))
            temporary.replace(path)

    def put_back(self, root_id: str) -> Sequence[str]:
        """Have git be able to work there where somebody broke that; all of it, in words."""
        return self._repository.put_back(str(self._workspace.job_directory(root_id)))

    def check_ways_to_merge(self, root_id: str) -> None:
        """Raise RepositoryError where files would not be merged as before the job began.

        A worker may have had conflicts be taken for none.
        """
        before = (self._before(root_id) or {}).get(WAYS_TO_MERGE)
        # None of a job that began with a server that did not look at it.
        if before is None or before == self._repository.ways_to_merge():
            return
        raise RepositoryError(
            "while the job ran, somebody changed how git merges files (merge drivers or "
            "core.attributesFile in the configuration, or .git/info/attributes); take that back, "
            "or, where it is meant, have orchestrator merge go by it"
        )

    def leaks(self, root_id: str) -> list[str]:
        """What became different since then."""
        before = self._before(root_id)
        if before is None:
            return []
        found = self._different(before)
        if any(map(_is_lock, found)):
            time.sleep(LEFT_SECONDS)
            earlier, found = found, self._different(before)
            found = {
                name: seen
                for name, seen in found.items()
                if not _is_lock(name) or (seen and earlier.get(name) == seen)
            }
        return sorted(found)

    def changed_files(self, root_id: str) -> list[str]:
        """Paths, relative to the top of the checkout, of files that became different since then."""
        before = self._before(root_id)
        found = self._different(before) if before else {}
        return sorted(name.removeprefix(FILE) for name in found if name.startswith(FILE))

    def _different(self, before: Mapping[str, object]) -> dict[str, str]:
        """As it is now; empty for what is not there, or was not looked at by another version."""
        after = dict(self._repository.checkout_state())
        names = {*before, *after}
        return {n: after.get(n, "") for n in names if before.get(n, "") != after.get(n, "")}

    def _before(self, root_id: str) -> Mapping[str, object] | None:
        """None where nobody began."""
        directory = self._workspace.job_directory(root_id)
        if not os.path.lexists(directory / BEFORE):
            return None
        # A worker could have put a pipe, or anything, in its place: then all is told.
        return _object(read_regular(directory / BEFORE, BEFORE_BYTES, within=directory))


def _is_lock(name: str) -> bool:
    return name.startswith("git ") and name.endswith(".lock")


def _object(content: bytes | None) -> Mapping[str, object]:
    try:
        found = json.loads(content or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
