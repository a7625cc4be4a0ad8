"""Restores the user's repository: settings, hooks, refs, and other git files that a job changed."""

import base64
import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from shlex import quote

from orchestrator.core.errors import Conflict, RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.user_repository_changes import (
    ChangedKind,
    RepositoryAlteration,
    RepositoryChange,
    state_name,
)
from orchestrator.core.text.command_name import git_in
from orchestrator.git.checkout import ref_logs, repository_state
from orchestrator.git.command.runner import ITSELF, Git
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.json_file import read_object

_MOST_BYTES = 256 << 20
#: Maximum numbers that are shown: lines of a file's difference, and commits of a branch's
#: difference.
_MOST_LINES, _MOST_COMMITS = 40, 10
_FILES = frozenset({ChangedKind.HOOK, ChangedKind.GIT_FILE})
_REFS = frozenset({ChangedKind.BRANCH, ChangedKind.TAG, ChangedKind.REF})


class RestoreState(StrEnum):
    """Whether the command ``restore`` can undo a job's change to the user's repository."""

    CAN_BE_RESTORED = "can be restored"
    AS_BEFORE = "as before the job"
    #: The current state differs from both the state at the job's start and the state at its end.
    CHANGED_SINCE = "changed since the job"
    #: A person must restore the state; ``restore`` cannot.
    BY_HAND = "must be restored by hand"


@dataclass(frozen=True, kw_only=True, slots=True)
class Restorable:
    change: RepositoryChange
    restore_state: RestoreState
    #: The states before and after the job; "" if the changed object did not exist at that time.
    before: str = ""
    after: str = ""
    #: For the state BY_HAND: why a person must restore the change, or the command for this. For all
    #: other states: "".
    hint: str


@dataclass(frozen=True, kw_only=True)
class RepositoryRestore:
    """Undoes the changes that one root job made in the user's repository.

    Later changes of the user or of another job stay. Idempotent.
    """

    project: Path
    #: File with the states before and after each change, by the name of the change.
    states_file: Path

    @cached_property
    def _git(self) -> Git:
        return Git(Git(str(self.project), {}).run("rev-parse", "--show-toplevel").line, {})

    @cached_property
    def _common(self) -> Path:
        return Path(self._git.run("rev-parse", "--path-format=absolute", "--git-common-dir").line)

    @cached_property
    def _states(self) -> Mapping[str, Sequence[str]]:
        states = read_object(self.states_file, _MOST_BYTES)
        if states is None:
            raise Conflict(
                f"cannot restore: {self.states_file}, the record of the states before the job, is "
                "missing or damaged; restore the changes by hand"
            )
        return states

    def inspect(self, changes: Sequence[RepositoryChange]) -> list[Restorable]:
        """Return each change of a job with its current state.

        Raise Conflict if the recorded states are missing, and RepositoryError if git fails.
        """
        return [self._restorable(each) for each in changes]

    def _restorable(self, change: RepositoryChange) -> Restorable:
        if change.kind is ChangedKind.PUSH:
            restore_state = RestoreState.BY_HAND
            return Restorable(
                change=change, restore_state=restore_state, hint=self._push_hint(change)
            )
        before, after = (*self._states.get(state_name(change), ()), "", "")[:2]
        restore_state, hint = self._restore_state(change, before, after)
        return Restorable(
            change=change, restore_state=restore_state, before=before, after=after, hint=hint
        )

    def _restore_state(
        self, change: RepositoryChange, before: str, after: str
    ) -> tuple[RestoreState, str]:
        if change.kind not in (*_FILES, *_REFS, ChangedKind.SETTING, ChangedKind.STASH_ENTRY):
            return RestoreState.BY_HAND, self._hint_by_hand(change)
        now = self._present_state(change)
        if now == before:
            return RestoreState.AS_BEFORE, ""
        if now != after:
            return RestoreState.CHANGED_SINCE, ""
        if change.kind in _FILES and before and " " not in before:
            return RestoreState.BY_HAND, "the former content is not stored"
        if change.kind is ChangedKind.BRANCH and (why := self._restore_obstacle(change)):
            return RestoreState.BY_HAND, why
        return RestoreState.CAN_BE_RESTORED, ""

    def _present_state(self, change: RepositoryChange) -> str:
        name = state_name(change)
        if change.kind is ChangedKind.SETTING:
            return repository_state.settings(self._common).get(name, "")
        if change.kind is ChangedKind.STASH_ENTRY:
            return ref_logs.stash_entries(self._common).get(name, "")
        if change.kind in _FILES:
            return repository_state.content(self._path(change))
        return self._git.resolve(name)

    def _path(self, change: RepositoryChange) -> Path:
        where = "hooks" if change.kind is ChangedKind.HOOK else "."
        return self._common / where / change.name

    def _restore_obstacle(self, change: RepositoryChange) -> str:
        """Return the reason why a branch cannot be restored; "" if the branch can be restored.

        A checked-out branch is not restored, because the checked-out files would no longer match
        the branch. There is one exception: the job moved the branch, and the branch is checked out
        in the project. In this case, ``restore`` also resets the project's files.
        """
        where = self._git.ask("for-each-ref", "--format=%(worktreepath)", state_name(change))
        is_here = where and os.path.realpath(where) == os.path.realpath(self._git.directory)
        if not where or (is_here and change.alteration is RepositoryAlteration.CHANGED):
            return ""
        return f"the branch is checked out in {where}"

    def restore(self, each: Restorable) -> None:
        """Restore one change. Raise Conflict if that fails."""
        change, name = each.change, state_name(each.change)
        try:
            if self._present_state(change) != each.after:
                raise Conflict(
                    f"{change.name} was not restored, because it changed during the command; run "
                    "the command again"
                )
            if change.kind is ChangedKind.SETTING:
                self._set_values(change.name, json.loads(each.before) if each.before else [])
            elif change.kind is ChangedKind.STASH_ENTRY:
                self._git.run("stash", "store", "--quiet", "-m", each.before, change.name)
            elif change.kind in _FILES:
                _write(self._path(change), each.before)
            elif self._git.ask("symbolic-ref", "--quiet", "HEAD") == name:
                self._git.run("reset", "--keep", each.before)
            elif each.before:
                none = "0" * len(each.before)
                self._git.run("update-ref", *ITSELF, name, each.before, each.after or none)
            else:
                self._git.run("update-ref", *ITSELF, "-d", name, each.after)
        except (RepositoryError, OSError) as error:
            raise Conflict(f"{change.name} was not restored: {error}") from None

    def _set_values(self, name: str, values: Sequence[str | None]) -> None:
        config = ("config", "--file", str(self._common / "config"))
        self._git.run(*config, "--unset-all", name, accept=(0, 5))
        for value in values:
            self._git.run(*config, "--add", name, "true" if value is None else value)

    @property
    def _typed(self) -> str:
        return git_in(self.project)

    def _push_hint(self, change: RepositoryChange) -> str:
        remote, name = quote(change.remote), quote(change.name)
        if change.alteration is RepositoryAlteration.ADDED:
            return f"{self._typed} push {remote} --delete {name}"
        lease = quote(f"--force-with-lease={change.name}:{change.after}")
        source = f"{change.before}:{quote(f'refs/heads/{change.name}')}"
        return f"{self._typed} push {lease} {remote} {source}"

    def _hint_by_hand(self, change: RepositoryChange) -> str:
        match change.kind:
            case ChangedKind.HEAD:
                return f"{self._typed} switch {quote(change.before)}"
            case ChangedKind.STASH:
                return f"{self._typed} stash list"
            case ChangedKind.LOCK:
                return "remove the lock file if no git process is running"
            case _:
                return "orchestrator cannot restore this kind of change"

    def difference(self, each: Restorable) -> Iterator[str]:
        change = each.change
        if change.kind is ChangedKind.SETTING:
            yield from (f"- {value}" for value in _values(each.before))
            yield from (f"+ {value}" for value in _values(each.after))
        elif change.kind in _FILES:
            before, after = (_decoded(state).splitlines() for state in (each.before, each.after))
            lines = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
            yield from lines[:_MOST_LINES]
            yield from [f"({len(lines) - _MOST_LINES} more lines)"] * (len(lines) > _MOST_LINES)
        elif each.before and each.after and change.kind in _REFS:
            options = ("--oneline", "--no-decorate", "--no-color", "--no-show-signature")
            for sign, span in (("-", (each.after, each.before)), ("+", (each.before, each.after))):
                most = f"--max-count={_MOST_COMMITS}"
                commits = self._git.ask("log", *options, most, "..".join(span), "--").splitlines()
                yield from (f"{sign} {line}" for line in commits)


def _write(path: Path, state: str) -> None:
    if not state:
        path.unlink(missing_ok=True)
        return
    mode, _, encoded = state.partition(" ")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, base64.b64decode(encoded), mode=int(mode, 8))


def _decoded(state: str) -> str:
    encoded = state.partition(" ")[2]
    return base64.b64decode(encoded).decode("utf-8", "replace")


def _values(state: str) -> list[str]:
    return ["true" if each is None else each for each in json.loads(state)] if state else []
