"""Lock table: holders and requests by lock name. The time of a lookup is proportional to its
results.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.locks.lock_names import names_above
from orchestrator.core.model.job import WorkerKey

#: Key of a task: its job's id, and its own id.
TaskKey = tuple[str, str]


class LockKind(StrEnum):
    #: ``locks`` of a task: held from its worker's start until the worker is done.
    CLAIM = "claim"
    #: Acquired by an attempt while it runs: held until it is released, or the attempt ends.
    LEASE = "lease"


@dataclass(frozen=True, kw_only=True, slots=True)
class Party:
    """A worker with all its ancestors."""

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
    #: Place of the entry in the queue; the lowest goes first.
    place: int = 0
    #: The fencing number of a lease that is held.
    number: int = 0
    #: Time until which the request keeps its place although no call waits for it; 0: a call waits.
    kept_until: float = 0.0

    @property
    def key(self) -> WorkerKey:
        return self.party.key


def compatible(one: LockEntry, other: LockEntry) -> bool:
    """True if both entries may be held at the same time, regardless of their names.

    A child job works for its parent, so a worker never blocks its ancestors or descendants. A
    claim belongs to its task, so the candidates of the task share it.
    """
    if one.key in other.party.line or other.key in one.party.line:
        return True
    claims_above = one.kind is LockKind.CLAIM and one.party.task in other.party.tasks
    return claims_above or (other.kind is LockKind.CLAIM and other.party.task in one.party.tasks)


class LockTable:
    """Entries by name, in order of arrival for each name."""

    def __init__(self) -> None:
        self._at: dict[str, dict[LockEntry, None]] = {}
        #: By name: names below it that have entries, and the number of their entries.
        self._below: dict[str, dict[str, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._at)

    def add(self, entry: LockEntry) -> None:
        for name in entry.names:
            self._at.setdefault(name, {})[entry] = None
            for above in names_above(name):
                below = self._below.setdefault(above, {})
                below[name] = below.get(name, 0) + 1

    def remove(self, entry: LockEntry) -> None:
        """Remove an entry. Idempotent."""
        for name in entry.names:
            found = self._at.get(name, {})
            if entry in found:
                del found[entry]
                if not found:
                    del self._at[name]
                self._uncount(name)

    def _uncount(self, name: str) -> None:
        for above in names_above(name):
            below = self._below[above]
            below[name] -= 1
            if not below[name]:
                del below[name]
            if not below:
                del self._below[above]

    def meeting(self, names: Iterable[str]) -> Iterator[LockEntry]:
        """Yield the entries with a name that equals, contains, or is below one of these names; may
        repeat an entry.
        """
        for bucket in self._buckets(names):
            yield from bucket

    def _buckets(self, names: Iterable[str]) -> Iterator[dict[LockEntry, None]]:
        for name in names:
            for each in (*names_above(name), name):
                if each in self._at:
                    yield self._at[each]
            for below in self._below.get(name, ()):
                yield self._at[below]

    def in_the_way(self, entry: LockEntry) -> Iterator[LockEntry]:
        """Yield entries that conflict with this entry."""
        for other in self.meeting(entry.names):
            if not compatible(entry, other):
                yield other

    def ahead_of(self, entry: LockEntry) -> Iterator[LockEntry]:
        """Yield earlier entries that conflict with this entry."""
        for bucket in self._buckets(entry.names):
            for other in bucket:
                if entry.place and other.place >= entry.place:
                    break
                if not compatible(entry, other):
                    yield other

    def latest_in_the_way(self, entry: LockEntry) -> LockEntry | None:
        """Return the last entry that requests exactly one of a new entry's names."""
        for name in entry.names:
            latest = next(reversed(self._at.get(name, {})), None)
            if latest is not None and not compatible(entry, latest):
                return latest
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A lock that an attempt of a worker holds. A lease is active while the attempt runs."""

    name: str
    #: The fencing number: greater than that of every lease granted before, by any server that
    #: shares the store.
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
    """The store's answer: leases for all requested names, or the workers that hold some of them."""

    leases: Sequence[Lease] = ()
    blocked_by: Sequence[Lease] = ()


def in_line(one: WorkerKey, other: WorkerKey) -> bool:
    """True if the workers are equal, or one is a descendant of the other; names carry the
    ancestry.
    """
    return is_below(one, other) or is_below(other, one)


def is_below(one: WorkerKey, other: WorkerKey) -> bool:
    """True if ``one`` is ``other`` or its descendant."""
    return one.root_id == other.root_id and f"{one.worker_id}_".startswith(f"{other.worker_id}_")


@dataclass(frozen=True, kw_only=True, slots=True)
class LockView:
    """A lock that a worker holds or waits for."""

    names: tuple[str, ...]
    kind: LockKind
    root_id: str
    job_id: str
    worker_id: str
    since: float
    #: The fencing number of a lease that is held; None for other entries.
    number: int | None = None
    waits: bool = False


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
