"""Long random walks with many locks in few hands: circles are refused, and nothing sticks."""

from collections import Counter
from random import Random

import pytest

from orchestrator.core.errors import Deadlock
from orchestrator.core.model import TaskSpec, WorkerKey

from .factories import a_task
from .lock_story import LockStory

NAMES = ("a", "b", "c", "src", "src/api")
STEPS = 60


class Walk:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.story = LockStory(max_workers=self.random.choice([1, 2, 6]))
        self.met: Counter[str] = Counter()

    def run(self) -> None:
        for _ in range(2):
            self.story.root(*self._tasks())
        for _ in range(STEPS):
            self._step()
            self.story.check_nothing_is_held_twice()
        self.story.left_alone()
        # Whoever waits for ever is ended by the limit on wall time.
        assert "timeout" not in self.story.statuses().values()
        assert self.story.scheduler.forest.locks.is_empty

    def _tasks(self) -> list[TaskSpec]:
        count = self.random.randint(1, 3)
        return [a_task(f"t{at}", locks=self._names(0, 1)) for at in range(count)]

    def _names(self, least: int, most: int) -> tuple[str, ...]:
        return tuple(self.random.sample(NAMES, self.random.randint(least, most)))

    def _step(self) -> None:
        waits = self.story.scheduler.forest.locks.waits_for_lease
        free = [each.key for each in self.story.kept.running if not waits(each.key)]
        if not free:
            self.story.later(2)
            return
        key = self.random.choice(free)
        chance = self.random.random()
        try:
            if chance < 0.45:
                self.met["got" if self.story.asks(key, *self._names(1, 2)) else "waits"] += 1
            elif chance < 0.7 and len(self.story.kept.jobs) < 8:
                self.story.child(key, *self._tasks())
            else:
                self._lets_go(key)
        except Deadlock:
            self.met["deadlock"] += 1

    def _lets_go(self, key: WorkerKey) -> None:
        chance = self.random.random()
        mine = [name for holder, name in self.story.leases if holder == key]
        if chance < 0.05:
            self.story.crash()
        elif mine and chance < 0.6:
            self.story.gives_back(key, self.random.choice(mine))
        elif chance < 0.8:
            self.story.ends(key)
        else:
            self.story.later(1.5)


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_nothing_is_held_twice_and_nobody_waits_for_ever(first: int) -> None:
    met: Counter[str] = Counter()
    for seed in range(first, first + 20):
        walk = Walk(seed)
        walk.run()
        met += walk.met

    assert met["deadlock"] and met["waits"] and met["got"]
