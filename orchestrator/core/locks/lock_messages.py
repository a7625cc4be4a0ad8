"""Locks in words."""

from collections.abc import Sequence

from orchestrator.core.locks.deadlock import LockWait
from orchestrator.core.locks.lock_names import overlap
from orchestrator.core.locks.lock_table import LockEntry, Party

#: Names that are told of one entry.
MOST_TOLD = 5


def who(party: Party) -> str:
    return f"{party.key.worker_id} of job {party.job_id}"


def named(names: Sequence[str]) -> str:
    told = ", ".join(names[:MOST_TOLD])
    return told if len(names) <= MOST_TOLD else f"{told} and {len(names) - MOST_TOLD} more"


def contested(entry: LockEntry, other: LockEntry) -> list[str]:
    """The names of an entry that another one stands in the way of."""
    return [name for name in entry.names if any(overlap(name, each) for each in other.names)]


def why_it_waits(entry: LockEntry, blocker: LockEntry, *, held: bool) -> str:
    names = named(contested(entry, blocker))
    if held:
        return f"waits for {names}, held by {who(blocker.party)}"
    return f"waits for {names}, after {who(blocker.party)}, which asked before"


def circle(waits: Sequence[LockWait]) -> str:
    """What waits for what in a deadlock, the one who asks last first."""
    return "; ".join(
        f"{who(each.wanted.party)} would wait for {named(contested(each.wanted, each.held))}, "
        f"held by {who(each.held.party)}"
        if at == 0
        else f"{who(each.wanted.party)} waits for {named(contested(each.wanted, each.held))}, "
        f"held by {who(each.held.party)}"
        for at, each in enumerate(waits)
    )
