"""Leases as stored values."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.model.job import WorkerKey


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
