"""Locks as the API shows them."""

from dataclasses import dataclass

from orchestrator.core.locks.lock_table import LockEntry, LockKind


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
