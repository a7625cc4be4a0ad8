"""Finds changes in the user's checkout since the first worker of a job began."""

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from posixpath import normpath

from orchestrator.core.errors import RepositoryError
from orchestrator.core.model.job import Attempt
from orchestrator.core.model.repository_changes import (
    FILE,
    GIT_FILE,
    SETTING,
    WAYS_TO_MERGE,
    RepositoryChange,
    change_of,
    push_of,
    state_name,
)
from orchestrator.core.ports import Workspace
from orchestrator.core.repository.repository import Repository
from orchestrator.core.text.command_name import COMMAND
from orchestrator.security.files.state_file import read_object
from orchestrator.security.files.untrusted_files import replace_file

#: Name of the file with the checkout's state before the job, in a root job's directory.
BEFORE = "checkout.json"
BEFORE_BYTES = 64 * 1024 * 1024
#: Name of the file with the changes, next to ``checkout.json``. Each change has two states: before
#: and after.
AFTER = "checkout-changes.json"
#: Name of a file that exists while the job is not running: from the end of a run until the next
#: attempt. Changes in this time are made by the user.
AT_REST = "checkout-at-rest"
#: Key for git's whole configuration, in files of earlier versions.
_WHOLE_CONFIG = f"{GIT_FILE}config"
#: Maximum seconds by which the stored time of a file may be too early. File systems store the time
#: of the kernel's last tick.
TICK_SECONDS = 0.05
#: Seconds after which a lock file of git counts as left by a killed git process. A running git
#: process holds a lock only briefly.
LEFT_SECONDS = 1.0


class UsersCheckout:
    """Records and compares the state of the user's checkout. Any thread may call."""

    def __init__(self, repository: Repository, workspace: Workspace) -> None:
        self._repository = repository
        self._workspace = workspace
        self._looking = threading.Lock()

    def note(self, root_id: str) -> None:
        """Record the checkout's state before any worker of the job tree begins.

        A later call adds the user's changes since the job's previous run to the recorded state.
        """
        directory = self._workspace.job_directory(root_id)
        path = directory / BEFORE
        with self._looking:
            if path.exists():
                if os.path.lexists(directory / AT_REST):
                    self._adopt(root_id)
                return
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._repository.back_up_git_files(str(directory))
            replace_file(path, json.dumps(dict(self._repository.checkout_state())).encode())

    def _adopt(self, root_id: str) -> None:
        """Add the user's changes since the previous run to the recorded state."""
        directory = self._workspace.job_directory(root_id)
        before, ended = self._recorded_state(root_id), self._previous_end(root_id)
        state = self._repository.checkout_state()
        # Without a readable recorded state, do not add changes: all changes are then reported.
        names = {*before, *state} if before else ()
        users = {
            name for name in names if state.get(name) != ended.get(name, (before or {}).get(name))
        }
        if before and users:
            path = directory / BEFORE
            times = os.lstat(path)
            kept = {name: seen for name, seen in before.items() if name not in users}
            adopted = {name: state[name] for name in users if name in state}
            replace_file(path, json.dumps({**kept, **adopted}).encode())
            # Keep the file's time, because ``changes`` reads the logs of refs from this time on.
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        (directory / AT_REST).unlink(missing_ok=True)

    def _previous_end(self, root_id: str) -> Mapping[str, str | None]:
        """Return entries that changed during the previous run, with the values at the run's end.

        The value is None if the entry did not exist at the run's end.
        """
        directory = self._workspace.job_directory(root_id)
        noted = read_object(directory / AFTER, BEFORE_BYTES, within=directory) or {}
        return {name: each[1] or None for name, each in noted.items() if isinstance(each, list)}

    def restore_git_files(self, root_id: str) -> Sequence[str]:
        """Restore files that git needs, if a worker broke them.

        Return all repairs of this job tree so far, as text.
        """
        return self._repository.restore_git_files(str(self._workspace.job_directory(root_id)))

    def check_ways_to_merge(self, root_id: str) -> None:
        """Raise RepositoryError if git's merge settings have changed since the job began.

        Without this check, a worker could make git ignore conflicts.
        """
        before = (self._recorded_state(root_id) or {}).get(WAYS_TO_MERGE)
        # A server of an earlier version did not record the settings. Then assume no change.
        if before is None or before == self._repository.ways_to_merge():
            return
        raise RepositoryError(
            "git's merge settings changed while the job ran (merge drivers, core.attributesFile, "
            f"or .git/info/attributes); undo the change, or accept the change: {COMMAND} merge "
            f"{root_id}"
        )

    def changes(self, root_id: str) -> tuple[list[RepositoryChange], Mapping[str, str] | None]:
        """Return the changes since the recorded state, and the present state for ``changed_files``.

        Call this method at the end of a run. Changes that the user made between runs are omitted. A
        change names the worker that made it, if git's logs show the worker. The present state is
        None if no state was recorded.

        Also store the states before and after the changes, for the command ``restore``.
        """
        before = self._recorded_state(root_id)
        if before is None:
            return [], None
        found, state = self._settled(before)
        directory = self._workspace.job_directory(root_id)
        noted = {name: [before.get(name, ""), after] for name, after in found.items()}
        replace_file(directory / AFTER, json.dumps(noted).encode("utf-8", "surrogateescape"))
        replace_file(directory / AT_REST, b"")
        moves = self._repository.ref_moves(root_id, os.lstat(directory / BEFORE).st_mtime)
        movers = {each.ref: each.worker_id for each in moves if not each.is_push}
        named = [change_of(name, str(noted[name][0]), found[name]) for name in sorted(found)]
        signed = [replace(each, worker_id=movers.get(state_name(each), "")) for each in named]
        return [*(push_of(each) for each in moves if each.is_push), *signed], state

    def is_known(self, root_id: str) -> bool:
        return bool(self._recorded_state(root_id))

    def _settled(self, before: Mapping[str, object]) -> tuple[dict[str, str], Mapping[str, str]]:
        """Return two mappings: the entries that differ from the recorded state, and all entries.

        An entry is, for example, a ref or a file of the checkout. Each value is the entry's present
        value; "" for a removed entry. Lock files of running git commands do not count as different.
        """
        state = self._repository.checkout_state()
        found = _changed_entries(before, state)
        if any(map(_is_lock, found)):
            time.sleep(LEFT_SECONDS)
            state = self._repository.checkout_state()
            earlier, found = found, _changed_entries(before, state)
            found = {
                name: seen
                for name, seen in found.items()
                if not _is_lock(name) or (seen and earlier.get(name) == seen)
            }
        return found, state

    def changed_files(
        self, root_id: str, since: float, state: Mapping[str, str] | None = None
    ) -> dict[str, float]:
        """Return the files that differ from the recorded state and were written after ``since``.

        The keys are paths relative to the top of the checkout. The values are the times of the
        changes. Files that git ignores are omitted. ``state``: the present state from ``changes``;
        None if unknown.
        """
        before, now = self._recorded_state(root_id), self._repository.checkout_files(state)
        if not before or now is None:
            return {}
        files = {
            name.removeprefix(FILE): seen
            for name, seen in before.items()
            if name.startswith(FILE) and not str(seen).startswith("!")
        }
        present = {normpath(f"{now.prefix}{path}"): seen for path, seen in now.files.items()}
        names = {each for each in (*files, *present) if files.get(each) != present.get(each)}
        commit = str(before.get(str(before.get("HEAD")), ""))
        if commit and now.commit and commit != now.commit:
            names.update(self._repository.changed_paths(commit, now.commit))
        found = {each: _changed_at(f"{now.top}/{each}") for each in sorted(names)}
        return {path: at for path, at in found.items() if at >= since}

    def _recorded_state(self, root_id: str) -> Mapping[str, object] | None:
        directory = self._workspace.job_directory(root_id)
        if not os.path.lexists(directory / BEFORE):
            return None
        # A worker may have replaced the file, for example by a pipe. The result is then empty, and
        # all changes are reported.
        return read_object(directory / BEFORE, BEFORE_BYTES, within=directory) or {}


def _changed_entries(before: Mapping[str, object], after: Mapping[str, str]) -> dict[str, str]:
    """Return the entries that differ between two states, with the values in ``after``.

    The value of a removed entry is "". Git settings are compared only if ``before`` has some:
    states from earlier versions of this program lack git settings.
    """
    names = {*before, *after}
    if not any(each.startswith(SETTING) for each in before):
        names = {n for n in names if not n.startswith(SETTING) and n != _WHOLE_CONFIG}
    return {n: after.get(n, "") for n in names if before.get(n, "") != after.get(n, "")}


def at_work(attempts: Iterable[Attempt], at: float) -> list[str]:
    """Return the ids of workers whose attempts ran at the Unix time ``at``, without duplicates."""
    found = (each.worker_id for each in attempts if _ran_at(each, at))
    return list(dict.fromkeys(found))


def _ran_at(attempt: Attempt, at: float) -> bool:
    exit = attempt.exit
    began = exit.started_at if exit and exit.started_at else attempt.started_at
    ended = exit.ended_at if exit and exit.ended_at else attempt.ended_at
    return began - TICK_SECONDS <= at and (ended is None or at <= ended + TICK_SECONDS)


def _changed_at(path: str) -> float:
    """Return the Unix time at which a file changed.

    For a removed file, return the time at which the nearest existing directory above it changed.
    """
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.lstat(path).st_ctime


def _is_lock(name: str) -> bool:
    return name.startswith(GIT_FILE) and name.endswith(".lock")
