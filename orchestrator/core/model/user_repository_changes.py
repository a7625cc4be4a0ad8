"""Changes in the user's repository during a job, outside the workers' branches."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.formatting import listed

#: Prefixes of names in the state of a checkout (``Repository.checkout_state``).
FILE, GIT_FILE, SETTING, SUBMODULE = "file ", "git ", "setting ", "submodule "
STASH_ENTRY = "stash "
HEAD, FLAGS, REFLOGS = "HEAD", "flags in the index", "reflogs"
#: Name of the digest of git settings and attributes that decide how files are merged.
WAYS_TO_MERGE = "how files are merged"
_HOOKS, _STASH = "hooks/", "refs/stash"
#: Maximum number of changes that are stored with a job, and that are named in a sentence.
MOST_STORED, MOST_NAMED = 50, 8


class ChangedKind(StrEnum):
    """Kind of the changed object. The values are stored, so they never change."""

    #: A setting of the repository's own configuration.
    SETTING = "setting"
    HOOK = "hook"
    #: A file of ``.git`` other than a hook or a lock.
    GIT_FILE = "git_file"
    BRANCH = "branch"
    TAG = "tag"
    #: A ref other than a branch, a tag, or the stash, such as a note.
    REF = "ref"
    STASH = "stash"
    #: An entry of the stash, named by its commit.
    STASH_ENTRY = "stash_entry"
    #: The user's checked-out branch.
    HEAD = "head"
    #: Flags of the index that make git ignore changes of files.
    FLAGS = "flags"
    #: A leftover lock of git.
    LOCK = "lock"
    #: Git settings and attributes that decide how files are merged.
    WAYS_TO_MERGE = "ways_to_merge"
    #: Git's logs of refs, which were emptied, for example by ``git reflog expire``.
    REFLOGS = "reflogs"
    SUBMODULE = "submodule"
    #: A file of the checkout.
    FILE = "file"
    #: A branch of a remote, as the remote-tracking branch shows it.
    PUSH = "push"


class RepositoryAlteration(StrEnum):
    """How an object of the repository was altered."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


_NAMED_BY_KIND = {
    ChangedKind.SETTING: "setting ",
    ChangedKind.HOOK: "hook ",
    ChangedKind.GIT_FILE: "git ",
    ChangedKind.BRANCH: "branch ",
    ChangedKind.TAG: "tag ",
    ChangedKind.STASH_ENTRY: "stash entry ",
    ChangedKind.LOCK: "git ",
    ChangedKind.SUBMODULE: "submodule ",
    ChangedKind.FILE: "file ",
}
#: Objects that all worktrees share. Nothing proves which worker changed one of them.
SHARED = frozenset({ChangedKind.SETTING, ChangedKind.HOOK, ChangedKind.GIT_FILE, ChangedKind.LOCK})
#: Kinds for which an entry exists only while the object differs from its normal state.
_ENTRIES = frozenset({ChangedKind.FILE, ChangedKind.FLAGS, ChangedKind.WAYS_TO_MERGE})
#: Kinds of refs for which git logs each move with its author. If a ref is deleted, git also deletes
#: the ref's log.
_LOGGED = frozenset({ChangedKind.BRANCH, ChangedKind.TAG, ChangedKind.REF})
#: Kinds of objects whose removal git does not log.
_REMOVED = _LOGGED | {ChangedKind.REFLOGS, ChangedKind.STASH_ENTRY}


@dataclass(frozen=True, kw_only=True, slots=True)
class RefMove:
    """A worker's change of a ref, from the ref's log."""

    worker_id: str
    #: Full name, such as ``refs/remotes/origin/main``, or ``HEAD``.
    ref: str
    #: Commit before the change; empty if the ref did not exist.
    before: str = ""
    #: Commit after the change; empty if the ref no longer exists.
    after: str = ""
    is_push: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RepositoryChange:
    kind: ChangedKind
    #: The setting, the hook, the branch, or the path.
    name: str
    alteration: RepositoryAlteration
    #: For refs and pushes: commits. For the checkout: the branch. Otherwise empty.
    before: str = ""
    after: str = ""
    #: The worker that made the change, according to git's log; empty if unknown.
    worker_id: str = ""
    #: The remote of a push; otherwise empty.
    remote: str = ""

    @property
    def is_of_job(self) -> bool:
        """True if a worker made the change, or if a worker may have made it without a trace.

        Git records no author for changes of ``SHARED`` objects, and for some removals.
        """
        removed = self.kind in _REMOVED and self.alteration is RepositoryAlteration.REMOVED
        return bool(self.worker_id) or self.kind in SHARED or removed

    def __str__(self) -> str:
        by = f" by {self.worker_id}" if self.worker_id else ""
        if self.kind is ChangedKind.PUSH:
            subject = f"push to {self.remote}, branch {self.name}"
        else:
            subject = f"{_NAMED_BY_KIND.get(self.kind, '')}{self.name}"
        return f"{subject} {self._move_in_words()}{by}"

    def _move_in_words(self) -> str:
        before, after = self.before[:12], self.after[:12]
        if self.kind is ChangedKind.HEAD:
            return f"changed from {self.before} to {self.after}"
        if not (before or after):
            return self.alteration
        if self.alteration is RepositoryAlteration.ADDED:
            return f"added at {after}"
        if self.alteration is RepositoryAlteration.REMOVED:
            return f"removed (previous commit: {before})"
        return f"moved from {before} to {after}"


def read_change(fields: Mapping[str, Any]) -> RepositoryChange:
    """Return the change that a JSON object describes.

    Raise KeyError, TypeError, or ValueError if the object is not a change.
    """
    kind, alteration = ChangedKind(fields["kind"]), RepositoryAlteration(fields["alteration"])
    return RepositoryChange(**{**fields, "kind": kind, "alteration": alteration})


def change_of(name: str, before: str, after: str) -> RepositoryChange:
    """Return the change of one entry in the state of a checkout (``Repository.checkout_state``).

    ``before`` or ``after`` is "" if the entry did not exist at that time.
    """
    kind, short_name = _kind_of(name)
    is_ref = kind in (*_LOGGED, ChangedKind.STASH, ChangedKind.HEAD)
    return RepositoryChange(
        kind=kind,
        name=short_name,
        alteration=_alteration(kind, before, after),
        before=before.removeprefix("refs/heads/") if is_ref else "",
        after=after.removeprefix("refs/heads/") if is_ref else "",
    )


def _alteration(kind: ChangedKind, before: str, after: str) -> RepositoryAlteration:
    """Return how an object of the repository was altered.

    ``before`` and ``after``: the object's entries; "" if the object had no entry.

    For kinds in ``_ENTRIES``, an object has no entry while it is in its normal state. A new or
    removed entry therefore means that the object was changed. Reflogs have an entry only while they
    are missing. A new entry therefore means that the reflogs were removed.
    """
    if kind is ChangedKind.REFLOGS:
        return RepositoryAlteration.REMOVED if after else RepositoryAlteration.ADDED
    if kind in _ENTRIES or (before and after):
        return RepositoryAlteration.CHANGED
    return RepositoryAlteration.ADDED if after else RepositoryAlteration.REMOVED


def _kind_of(name: str) -> tuple[ChangedKind, str]:
    if name.startswith(GIT_FILE):
        path = name.removeprefix(GIT_FILE)
        if path.startswith(_HOOKS):
            return ChangedKind.HOOK, path.removeprefix(_HOOKS)
        return (ChangedKind.LOCK if path.endswith(".lock") else ChangedKind.GIT_FILE), path
    prefixes = {
        FILE: ChangedKind.FILE,
        SETTING: ChangedKind.SETTING,
        SUBMODULE: ChangedKind.SUBMODULE,
        STASH_ENTRY: ChangedKind.STASH_ENTRY,
        "refs/heads/": ChangedKind.BRANCH,
        "refs/tags/": ChangedKind.TAG,
    }
    for prefix, kind in prefixes.items():
        if name.startswith(prefix):
            return kind, name.removeprefix(prefix)
    others = {
        HEAD: ChangedKind.HEAD,
        FLAGS: ChangedKind.FLAGS,
        WAYS_TO_MERGE: ChangedKind.WAYS_TO_MERGE,
        REFLOGS: ChangedKind.REFLOGS,
        _STASH: ChangedKind.STASH,
    }
    return others.get(name, ChangedKind.REF), name


def push_of(move: RefMove) -> RepositoryChange:
    remote, _, branch = move.ref.removeprefix("refs/remotes/").partition("/")
    return RepositoryChange(
        kind=ChangedKind.PUSH,
        name=branch,
        alteration=RepositoryAlteration.CHANGED if move.before else RepositoryAlteration.ADDED,
        before=move.before,
        after=move.after,
        worker_id=move.worker_id,
        remote=remote,
    )


def state_name(change: RepositoryChange) -> str:
    """Return the changed object's key in the result of ``Repository.checkout_state``.

    This is the argument ``name`` of ``change_of``.
    """
    prefixes = {
        ChangedKind.SETTING: SETTING,
        ChangedKind.HOOK: f"{GIT_FILE}{_HOOKS}",
        ChangedKind.GIT_FILE: GIT_FILE,
        ChangedKind.LOCK: GIT_FILE,
        ChangedKind.FILE: FILE,
        ChangedKind.SUBMODULE: SUBMODULE,
        ChangedKind.STASH_ENTRY: STASH_ENTRY,
        ChangedKind.BRANCH: "refs/heads/",
        ChangedKind.TAG: "refs/tags/",
    }
    return f"{prefixes.get(change.kind, '')}{change.name}"


def changes_in_words(changes: Iterable[RepositoryChange]) -> str:
    """Return the changes as text: the first ``MOST_NAMED``, and the number of further changes."""
    return listed([str(each) for each in changes], MOST_NAMED)
