"""Who waits for whom because of locks, and whether that goes round in a circle.

As in PostgreSQL's lock manager there are two kinds of waiting: for those who hold a lock ("hard"),
and for those who only asked before ("soft"). A circle of hard waits is a deadlock, and is never
let in. One with a soft wait in it is undone by letting the later one go ahead.

A worker that has unfinished child jobs waits for all that is below it.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.core.locks.lock_table import LockEntry, LockTable
from orchestrator.core.model.job import WorkerKey


@dataclass(frozen=True, slots=True)
class LockWait:
    """One step of a circle: what is wanted, and what is in its way."""

    wanted: LockEntry
    held: LockEntry


class LockWaits:
    def __init__(self, held: LockTable, queue: LockTable) -> None:
        self._held = held
        self._queue = queue
        #: What a worker, or one below it, wants or will want.
        self._wanted: dict[WorkerKey, dict[LockEntry, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def add(self, entry: LockEntry) -> None:
        for key in entry.party.line:
            self._wanted.setdefault(key, {})[entry] = None

    def remove(self, entry: LockEntry) -> None:
        """Idempotent."""
        for key in entry.party.line:
            wanted = self._wanted.get(key, {})
            wanted.pop(entry, None)
            if not wanted:
                self._wanted.pop(key, None)

    def circle(self, entry: LockEntry) -> Sequence[LockWait]:
        """How those in the way of an entry wait for it, or for one above it; empty: they do not."""
        return self.way(entry, entry.party.line)

    def circle_by_grant(self, entry: LockEntry, waiting: Iterable[LockEntry]) -> Sequence[LockWait]:
        """How one below the asking worker waits for somebody who wants this; empty: none does.

        ``waiting`` are all who want something.
        """
        below = self._wanted.get(entry.key, {})
        if not below:
            return ()
        kept_out = [each for each in waiting if each not in below and _waits_for(each, entry)]
        for wanted in below:
            for each in kept_out:
                way = self.way(wanted, each.party.line)
                if way:
                    return (*way, LockWait(each, entry))
        return ()

    def way(
        self, start: LockEntry, ends: Collection[WorkerKey], *, soft: bool = False
    ) -> Sequence[LockWait]:
        """The shortest chain of waits from an entry to one of these workers; empty: none."""
        came_by: dict[LockEntry, LockWait | None] = {start: None}
        waiting = deque([start])
        while waiting:
            wanted = waiting.popleft()
            for blocker in self._blockers(wanted, soft):
                wait = LockWait(wanted, blocker)
                if blocker.key in ends:
                    return _chain(wait, came_by)
                for following in self._wanted.get(blocker.key, ()):
                    if following not in came_by:
                        came_by[following] = wait
                        waiting.append(following)
        return ()

    def _blockers(self, entry: LockEntry, soft: bool) -> Iterator[LockEntry]:
        yield from self._held.in_the_way(entry)
        if soft and entry.place:
            yield from self._queue.ahead_of(entry)


def _chain(last: LockWait, came_by: dict[LockEntry, LockWait | None]) -> Sequence[LockWait]:
    chain = [last]
    while (before := came_by[chain[-1].wanted]) is not None:
        chain.append(before)
    return chain[::-1]


def _waits_for(other: LockEntry, entry: LockEntry) -> bool:
    alone = LockTable()
    alone.add(entry)
    return next(alone.in_the_way(other), None) is not None
