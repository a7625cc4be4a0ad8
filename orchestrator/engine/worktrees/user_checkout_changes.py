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
from orchestrator.core.model.user_repository_changes import (
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
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.json_file import read_object

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
#: Seconds after which a lock file of git counts as the leftover of a killed git process. A running
#: git process holds a lock only briefly.
STALE_LOCK_SECONDS = 1.0


class UsersCheckout:
    """Records and compares the state of the user's checkout. Any thread may call."""

    def __init__(self, repository: Repository, workspace: Workspace) -> None:
        self._repository = repository
        self._workspace = workspace
        self._looking = threading.Lock()

    def record_state(self, root_id: str) -> None:
        """Record the checkout's state before any worker of the job tree begins.

        Also back up the files that git needs.

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
        recorded_state, end_values = self._recorded_state(root_id), self._previous_end(root_id)
        state = self._repository.checkout_state()
        # Without a readable recorded state, do not add changes: all changes are then reported.
        names = {*recorded_state, *state} if recorded_state else ()
        user_changes = {
            name
            for name in names
            if state.get(name) != end_values.get(name, (recorded_state or {}).get(name))
        }
        if recorded_state and user_changes:
            path = directory / BEFORE
            status = os.lstat(path)
            remaining = {
                name: value for name, value in recorded_state.items() if name not in user_changes
            }
            adopted = {name: state[name] for name in user_changes if name in state}
            replace_file(path, json.dumps({**remaining, **adopted}).encode())
            # Keep the file's time, because ``changes`` reads the logs of refs from this time on.
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        (directory / AT_REST).unlink(missing_ok=True)

    def _previous_end(self, root_id: str) -> Mapping[str, str | None]:
        """Return entries that changed during the previous run, with the values at the run's end.

        The value is None if the entry did not exist at the run's end.
        """
        directory = self._workspace.job_directory(root_id)
        record = read_object(directory / AFTER, BEFORE_BYTES, within=directory) or {}
        return {name: pair[1] or None for name, pair in record.items() if isinstance(pair, list)}

    def restore_git_files(self, root_id: str) -> Sequence[str]:
        """Restore files that git needs, if a worker broke them.

        Return all repairs of this job tree so far, as text.
        """
        return self._repository.restore_git_files(str(self._workspace.job_directory(root_id)))

    def check_ways_to_merge(self, root_id: str) -> None:
        """Raise RepositoryError if git's merge settings have changed since the job began.

        Without this check, a worker could make git ignore conflicts.
        """
        recorded = (self._recorded_state(root_id) or {}).get(WAYS_TO_MERGE)
        # A server of an earlier version did not record the settings. Then assume no change.
        if recorded is None or recorded == self._repository.ways_to_merge():
            return
        raise RepositoryError(
            "git's merge settings changed while the job ran (merge drivers, core.attributesFile, "
            f"or .git/info/attributes); undo the change, or accept the change: {COMMAND} merge "
            f"{root_id}"
        )

    def changes(self, root_id: str) -> tuple[list[RepositoryChange], Mapping[str, str] | None]:
        """Return the changes since the recorded state, and the current state for ``changed_files``.

        Call this method at the end of a run. Changes that the user made between runs are omitted. A
        change names the worker that made it, if git's logs show the worker. The current state is
        None if no state was recorded.

        Also store the states before and after the changes, for the command ``restore``.
        """
        recorded_state = self._recorded_state(root_id)
        if recorded_state is None:
            return [], None
        changed_entries, state = self._differing_entries(recorded_state)
        directory = self._workspace.job_directory(root_id)
        record = {
            name: [recorded_state.get(name, ""), value] for name, value in changed_entries.items()
        }
        replace_file(directory / AFTER, json.dumps(record).encode("utf-8", "surrogateescape"))
        replace_file(directory / AT_REST, b"")
        moves = self._repository.ref_moves(root_id, os.lstat(directory / BEFORE).st_mtime)
        workers_by_ref = {each.ref: each.worker_id for each in moves if not each.is_push}
        unsigned = [
            change_of(name, str(record[name][0]), changed_entries[name])
            for name in sorted(changed_entries)
        ]
        with_workers = [
            replace(each, worker_id=workers_by_ref.get(state_name(each), "")) for each in unsigned
        ]
        return [*(push_of(each) for each in moves if each.is_push), *with_workers], state

    def has_recorded_state(self, root_id: str) -> bool:
        return bool(self._recorded_state(root_id))

    def _differing_entries(
        self, recorded_state: Mapping[str, object]
    ) -> tuple[dict[str, str], Mapping[str, str]]:
        """Return two mappings: the entries that differ from the recorded state, and all entries.

        An entry is, for example, a ref or a file of the checkout. Each value is the entry's current
        value; "" for a removed entry. Lock files of running git commands do not count as different.
        """
        state = self._repository.checkout_state()
        differing = _changed_entries(recorded_state, state)
        if any(map(_is_lock, differing)):
            time.sleep(STALE_LOCK_SECONDS)
            state = self._repository.checkout_state()
            earlier, differing = differing, _changed_entries(recorded_state, state)
            differing = {
                name: value
                for name, value in differing.items()
                if not _is_lock(name) or (value and earlier.get(name) == value)
            }
        return differing, state

    def changed_files(
        self, root_id: str, since: float, state: Mapping[str, str] | None = None
    ) -> dict[str, float]:
        """Return the files that differ from the recorded state and were written after ``since``.

        The keys are paths relative to the top of the checkout. The values are the times of the
        changes. Files that git ignores are omitted. ``state``: the current state from ``changes``;
        None if unknown.
        """
        recorded_state, checkout = (
            self._recorded_state(root_id),
            self._repository.checkout_files(state),
        )
        if not recorded_state or checkout is None:
            return {}
        recorded_files = {
            name.removeprefix(FILE): value
            for name, value in recorded_state.items()
            if name.startswith(FILE) and not str(value).startswith("!")
        }
        present_files = {
            normpath(f"{checkout.prefix}{path}"): value for path, value in checkout.files.items()
        }
        names = {
            each
            for each in (*recorded_files, *present_files)
            if recorded_files.get(each) != present_files.get(each)
        }
        commit = str(recorded_state.get(str(recorded_state.get("HEAD")), ""))
        if commit and checkout.commit and commit != checkout.commit:
            names.update(self._repository.changed_paths(commit, checkout.commit))
        times = {each: _changed_or_removed_at(f"{checkout.top}/{each}") for each in sorted(names)}
        return {path: changed_at for path, changed_at in times.items() if changed_at >= since}

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
        names = {name for name in names if not name.startswith(SETTING) and name != _WHOLE_CONFIG}
    return {
        name: after.get(name, "") for name in names if before.get(name, "") != after.get(name, "")
    }


def worker_ids_at(attempts: Iterable[Attempt], at: float) -> list[str]:
    """Return the ids of workers whose attempts ran at the Unix time ``at``, without duplicates."""
    worker_ids = (each.worker_id for each in attempts if _ran_at(each, at))
    return list(dict.fromkeys(worker_ids))


def _ran_at(attempt: Attempt, at: float) -> bool:
    exit = attempt.exit
    started_at = exit.started_at if exit and exit.started_at else attempt.started_at
    ended_at = exit.ended_at if exit and exit.ended_at else attempt.ended_at
    return is_in_span(at, started_at, ended_at)


def is_in_span(at: float, started_at: float, ended_at: float | None) -> bool:
    """True if a file with the time ``at`` may have changed between start and end.

    ``ended_at``: None if the end is in the future.
    """
    return started_at - TICK_SECONDS <= at and (ended_at is None or at <= ended_at + TICK_SECONDS)


def _changed_or_removed_at(path: str) -> float:
    """Return the Unix time at which a file changed.

    For a removed file, return the time at which the nearest existing parent directory changed.
    """
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.lstat(path).st_ctime


def _is_lock(name: str) -> bool:
    return name.startswith(GIT_FILE) and name.endswith(".lock")
