"""Finds cycles in the wait graph: the graph of workers that wait for locks of other workers.

As in PostgreSQL, there are two kinds of waits. A hard wait is a wait for the holder of a lock. A
soft wait is a wait for an earlier request in the queue. A cycle of hard waits is a deadlock, and is
always rejected. A cycle with a soft wait is broken: if request B waits softly for the earlier
request A, B is granted before A.

A worker with unfinished child jobs also waits for all workers of these jobs, at any depth.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.locks.lock_table import LockEntry, LockTable
from orchestrator.core.model.job import WorkerKey


@dataclass(frozen=True, slots=True)
class LockWait:
    """One wait in a chain of waits: a requested entry, and the entry that blocks the request."""

    request: LockEntry
    blocker: LockEntry


class LockWaits:
    def __init__(self, held: LockTable, queue: LockTable) -> None:
        self._held = held
        self._queue = queue
        #: Present and expected requests, by worker. Each request is stored for the requesting
        #: worker and for each of its ancestors.
        self._requests: dict[WorkerKey, dict[LockEntry, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._requests)

    def add(self, entry: LockEntry) -> None:
        for key in entry.party.line:
            self._requests.setdefault(key, {})[entry] = None

    def remove(self, entry: LockEntry) -> None:
        """Remove the waits of an entry. Idempotent."""
        for key in entry.party.line:
            entries = self._requests.get(key, {})
            entries.pop(entry, None)
            if not entries:
                self._requests.pop(key, None)

    def cycle_of(self, entry: LockEntry) -> Sequence[LockWait]:
        """Return the cycle that would close if the entry waited; empty if no cycle would close.

        The cycle begins with the wait of ``entry``.
        """
        return self.shortest_chain(entry, entry.party.line)

    def cycle_by_grant(self, entry: LockEntry, waiting: Iterable[LockEntry]) -> Sequence[LockWait]:
        """Return the cycle that a grant of the entry would close; empty if no cycle would close.

        ``waiting``: all present and expected requests.
        """
        requests_below = self._requests.get(entry.key, {})
        if not requests_below:
            return ()
        blocked = [
            each for each in waiting if each not in requests_below and _waits_for(each, entry)
        ]
        for request in requests_below:
            for each in blocked:
                chain = self.shortest_chain(request, each.party.line)
                if chain:
                    return (*chain, LockWait(each, entry))
        return ()

    def shortest_chain(
        self, start: LockEntry, ends: Collection[WorkerKey], *, soft: bool = False
    ) -> Sequence[LockWait]:
        """Return the shortest chain of waits that ends at one of the workers ``ends``.

        The chain begins with a wait of the request ``start``. The result is empty if there is no
        such chain. ``soft``: True to include waits for earlier requests in the queue.
        """
        previous_waits: dict[LockEntry, LockWait | None] = {start: None}
        waiting = deque([start])
        while waiting:
            request = waiting.popleft()
            for blocker in self._blockers(request, soft):
                wait = LockWait(request, blocker)
                if blocker.key in ends:
                    return _chain(wait, previous_waits)
                for next_entry in self._requests.get(blocker.key, ()):
                    if next_entry not in previous_waits:
                        previous_waits[next_entry] = wait
                        waiting.append(next_entry)
        return ()

    def _blockers(self, entry: LockEntry, soft: bool) -> Iterator[LockEntry]:
        yield from self._held.conflicting_with(entry)
        if soft and entry.place:
            yield from self._queue.ahead_of(entry)


def _chain(last: LockWait, previous_waits: dict[LockEntry, LockWait | None]) -> Sequence[LockWait]:
    chain = [last]
    while (previous_wait := previous_waits[chain[-1].request]) is not None:
        chain.append(previous_wait)
    return chain[::-1]


def _waits_for(other: LockEntry, entry: LockEntry) -> bool:
    table = LockTable()
    table.add(entry)
    return next(table.conflicting_with(other), None) is not None
