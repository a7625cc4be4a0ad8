"""Names of locks, and the lock table.

The name of a lock is a path of the project, or any other word. A lock includes everything below its
name. The duration of a lookup is proportional to the number of its results.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import takewhile
from unicodedata import normalize

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import WorkerKey

#: The lock of the whole project, which includes every other name.
EVERYTHING = "."
LONGEST_NAME = 500
#: Maximum number of names in one task's claims, or in one call.
MOST_NAMES = 100


def lock_name(text: str) -> str:
    """Return the canonical spelling of a lock name: ``./src//api/`` becomes ``src/api``.

    A pattern becomes its directory: ``src/**/*.py`` becomes ``src``. Otherwise, locks on two
    different patterns would not conflict, although both may match the same file. Raise ValueError
    with the cause if the name is invalid.
    """
    if not 0 < len(text) <= LONGEST_NAME:
        raise ValueError(
            f"invalid lock name: it has {len(text)} characters; use 1 to {LONGEST_NAME}"
        )
    if not text.isprintable():
        raise ValueError(f"invalid lock name {text!r}: remove control characters and line breaks")
    parts = normalize("NFC", text.strip()).split("/")
    if not any(parts) or not parts[0]:
        raise ValueError(
            f"invalid lock name {text!r}: use a word, or a path relative to the project"
        )
    if ".." in parts:
        raise ValueError(f"invalid lock name {text!r}: remove '..' from the path")
    literal_parts = takewhile(lambda part: "*" not in part, parts)
    return "/".join(part for part in literal_parts if part not in ("", ".")) or EVERYTHING


def names_above(name: str) -> Sequence[str]:
    """Return the names above a name, from ``EVERYTHING`` (the project) down to the nearest name."""
    if name == EVERYTHING:
        return ()
    parts = name.split("/")
    return (EVERYTHING, *("/".join(parts[:end]) for end in range(1, len(parts))))


def overlap(one: str, other: str) -> bool:
    """True if the names are equal, or one name is below the other name."""
    return one == other or one in names_above(other) or other in names_above(one)


#: Key of a task: the id of its job, and its own id.
TaskKey = tuple[str, str]


class LockKind(StrEnum):
    #: A lock that a task names in ``locks``. The task's worker holds the claim during each attempt,
    #: until the attempt's child jobs have ended.
    CLAIM = "claim"
    #: A lock that a running attempt acquires. The attempt holds the lease until it releases the
    #: lease or ends.
    LEASE = "lease"


@dataclass(frozen=True, kw_only=True, slots=True)
class Party:
    """A worker with its ancestors, as the holder or requester of locks."""

    key: WorkerKey
    job_id: str
    #: The worker and its ancestors.
    line: frozenset[WorkerKey]
    #: The tasks of the worker and its ancestors.
    tasks: frozenset[TaskKey]
    task: TaskKey


@dataclass(eq=False, kw_only=True, slots=True)
class LockEntry:
    """A held or requested set of locks. Compared by identity, not by value."""

    party: Party
    kind: LockKind
    names: tuple[str, ...]
    since: float
    #: Place of the entry in the queue: the lowest place is served first. 0: not in the queue.
    place: int = 0
    #: The fencing number of a held lease; 0 for other entries.
    number: int = 0
    #: Time until which the request stays in the queue, although no call waits for it; 0 while a
    #: call waits.
    expires_at: float = 0.0

    @property
    def key(self) -> WorkerKey:
        return self.party.key


def compatible(one: LockEntry, other: LockEntry) -> bool:
    """True if both entries may be held at the same time, even with the same name.

    A child job works for its parent worker, so a worker never blocks its ancestors or descendants.
    All candidates of a task share the task's claims. Therefore, a claim of the task blocks neither
    the candidates nor their descendants.
    """
    if one.key in other.party.line or other.key in one.party.line:
        return True
    claims_above = one.kind is LockKind.CLAIM and one.party.task in other.party.tasks
    return claims_above or (other.kind is LockKind.CLAIM and other.party.task in one.party.tasks)


class LockTable:
    """Lock entries by lock name. The entries of each name are in order of arrival."""

    def __init__(self) -> None:
        self._at: dict[str, dict[LockEntry, None]] = {}
        #: Numbers of entries. First key: a name. Second key: a name below the first name.
        self._below: dict[str, dict[str, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._at)

    def add(self, entry: LockEntry) -> None:
        for name in entry.names:
            self._at.setdefault(name, {})[entry] = None
            for above in names_above(name):
                counts = self._below.setdefault(above, {})
                counts[name] = counts.get(name, 0) + 1

    def remove(self, entry: LockEntry) -> None:
        """Remove an entry. Idempotent."""
        for name in entry.names:
            entries = self._at.get(name, {})
            if entry in entries:
                del entries[entry]
                if not entries:
                    del self._at[name]
                self._decrease_counts(name)

    def _decrease_counts(self, name: str) -> None:
        for above in names_above(name):
            counts = self._below[above]
            counts[name] -= 1
            if not counts[name]:
                del counts[name]
            if not counts:
                del self._below[above]

    def overlapping(self, names: Iterable[str]) -> Iterator[LockEntry]:
        """Yield the entries with a name that equals, contains, or is below one of these names.

        An entry may be yielded more than once.
        """
        for bucket in self._entries_per_name(names):
            yield from bucket

    def _entries_per_name(self, names: Iterable[str]) -> Iterator[dict[LockEntry, None]]:
        for name in names:
            for each in (*names_above(name), name):
                if each in self._at:
                    yield self._at[each]
            for name_below in self._below.get(name, ()):
                yield self._at[name_below]

    def conflicting_with(self, entry: LockEntry) -> Iterator[LockEntry]:
        for other in self.overlapping(entry.names):
            if not compatible(entry, other):
                yield other

    def ahead_of(self, entry: LockEntry) -> Iterator[LockEntry]:
        """Yield the entries that conflict with ``entry`` and precede ``entry`` in the queue.

        If ``entry`` is not in the queue, yield all conflicting entries.
        """
        for bucket in self._entries_per_name(entry.names):
            for other in bucket:
                if entry.place and other.place >= entry.place:
                    break
                if not compatible(entry, other):
                    yield other

    def latest_conflicting_with(self, entry: LockEntry) -> LockEntry | None:
        """Return an entry that conflicts with ``entry``; None if this search finds no entry.

        For each name of ``entry``, only the latest entry with exactly this name is checked.
        """
        for name in entry.names:
            latest = next(reversed(self._at.get(name, {})), None)
            if latest is not None and not compatible(entry, latest):
                return latest
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class LockLease:
    """A stored lease. The lease ends with the attempt that holds it, or by an earlier release."""

    name: str
    #: The fencing number: greater than the number of every earlier lease in the store.
    number: int
    root_id: str
    job_id: str
    worker_id: str
    attempt: int
    taken_at: float

    @property
    def key(self) -> WorkerKey:
        return WorkerKey(self.root_id, self.worker_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """The store's answer to a request for leases.

    If all requested leases are granted, ``leases`` has them. Otherwise no lease is granted, and
    ``blocked_by`` has the active leases that block the request.
    """

    leases: Sequence[LockLease] = ()
    blocked_by: Sequence[LockLease] = ()


def are_related(one: WorkerKey, other: WorkerKey) -> bool:
    """True if the workers are equal, or one worker is a descendant of the other worker.

    The check compares names, because a worker's name begins with the name of its parent worker.
    """
    return _is_same_or_below(one, other) or _is_same_or_below(other, one)


def _is_same_or_below(key: WorkerKey, top: WorkerKey) -> bool:
    return key.root_id == top.root_id and f"{key.worker_id}_".startswith(f"{top.worker_id}_")


@dataclass(frozen=True, kw_only=True, slots=True)
class LockView:
    """A held or requested set of locks, as answers of the API show it."""

    names: tuple[str, ...]
    kind: LockKind
    root_id: str
    job_id: str
    worker_id: str
    since: float
    #: The fencing number of a held lease; None for other entries.
    number: int | None
    waits: bool


def view_of(entry: LockEntry, *, waits: bool = False) -> LockView:
    return LockView(
        names=entry.names,
        kind=entry.kind,
        root_id=entry.key.root_id,
        job_id=entry.party.job_id,
        worker_id=entry.key.worker_id,
        since=entry.since,
        number=entry.number or None,
        waits=waits,
    )
