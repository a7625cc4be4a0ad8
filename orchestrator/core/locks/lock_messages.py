"""Messages about locks."""

from collections.abc import Sequence

from orchestrator.core.locks.deadlock import LockWait
from orchestrator.core.locks.lock_names import overlap
from orchestrator.core.locks.lock_table import LockEntry, Party

#: Maximum number of names of one entry that are shown.
MOST_TOLD = 5


def who(party: Party) -> str:
    return f"{party.key.worker_id} (job {party.job_id})"


def named(names: Sequence[str]) -> str:
    told = ", ".join(names[:MOST_TOLD])
    return told if len(names) <= MOST_TOLD else f"{told} and {len(names) - MOST_TOLD} more"


def contested(entry: LockEntry, other: LockEntry) -> list[str]:
    """Return the names of an entry that another entry blocks."""
    return [name for name in entry.names if any(overlap(name, each) for each in other.names)]


def why_it_waits(entry: LockEntry, blocker: LockEntry, *, held: bool) -> str:
    names = named(contested(entry, blocker))
    if held:
        return f"waiting for lock {names}, held by {who(blocker.party)}"
    return f"waiting for lock {names}; {who(blocker.party)} is ahead in the queue"


def circle(waits: Sequence[LockWait]) -> str:
    """Describe the waits of a deadlock, the last caller first."""
    return "; ".join(
        f"{who(each.wanted.party)} needs {named(contested(each.wanted, each.held))}, "
        f"held by {who(each.held.party)}"
        for each in waits
    )
