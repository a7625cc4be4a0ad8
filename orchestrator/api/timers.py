"""What is to be done later for somebody who may be gone by then. Not thread-safe."""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

#: So many of those that are gone are kept in any case: cleaning up costs as much as all of them.
_FEW = 64


class Timers(Generic[T]):
    """Calls with their times (monotonic seconds) and owners, the soonest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None], T]] = []
        self._order = itertools.count()
        #: How many calls each owner waits for, and all together.
        self._of: Counter[T] = Counter()
        self._wanted = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_at(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def add(self, at: float, call: Callable[[], None], owner: T) -> None:
        heapq.heappush(self._heap, (at, next(self._order), call, owner))
        self._of[owner] += 1
        self._wanted += 1

    def forget(self, owner: T) -> None:
        """It is gone. A long wait that ended early would be held until its time. Idempotent."""
        self._wanted -= self._of.pop(owner, 0)
        if len(self._heap) > 2 * self._wanted + _FEW:
            self._heap = [each for each in self._heap if each[-1] in self._of]
            heapq.heapify(self._heap)

    def take_due(self, now: float) -> Iterator[tuple[Callable[[], None], T]]:
        while self._heap and self._heap[0][0] <= now:
            _, _, call, owner = heapq.heappop(self._heap)
            if owner in self._of:
                self._took(owner)
                yield call, owner

    def _took(self, owner: T) -> None:
        self._wanted -= 1
        self._of[owner] -= 1
        if not self._of[owner]:
            del self._of[owner]
