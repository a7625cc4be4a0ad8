"""Long random walks with many locks and few workers. Cycles are rejected, and all locks are
released.

Workers fail, die with running child jobs, and are rejected, cancelled, and retried. The server also
restarts.
"""

from collections import Counter
from random import Random

import pytest

from orchestrator.core.errors import Conflict, Deadlock
from orchestrator.core.model.job import TaskSpec, WorkerKey
from tests.support.examples import examples
from tests.unit.core.factories import CANCELLED, EXIT_1, LOST, a_task
from tests.unit.core.locks.lock_story import LockStory

NAMES = ("a", "b", "c", "src", "src/api", "src/web", ".")
STEPS = 80
MOST_JOBS = 12
#: Weights of continuing, failing, rendering, rejecting, cancelling, retrying, and new jobs.
STEP_WEIGHTS = (60, 15, 8, 6, 3, 4, 4)


class Walk:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.story = LockStory(max_workers=self.random.choice([1, 2, 6]))
        self.story.writes_reports = False
        self.met: Counter[str] = Counter()

    def run(self) -> None:
        for _ in range(2):
            self._submits()
        for _ in range(STEPS):
            self._step()
            self.story.check_nothing_is_held_twice()
        self.story.run_to_end()
        # A worker that waited forever would end with its maximum wall time.
        assert "timeout" not in self.story.statuses().values()
        locks = self.story.scheduler._trees.locks
        assert not [*locks.claims, *locks.claimants, *locks.leases, *locks.requests]
        assert locks.is_empty, "no lock remains of workers that have ended"

    def _tasks(self) -> list[TaskSpec]:
        count = self.random.randint(1, 3)
        return [self._task(at) for at in range(count)]

    def _task(self, at: int) -> TaskSpec:
        needed = (f"t{at - 1}",) if at and self.random.random() < 0.2 else ()
        agents = self.random.choice([(), (), ("one", "two")])
        retries = self.random.choice([0, 1, 3])
        locks = self._names(0, 1)
        return a_task(f"t{at}", *needed, locks=locks, agents=agents, retries=retries)

    def _names(self, least: int, most: int) -> tuple[str, ...]:
        return tuple(self.random.sample(NAMES, self.random.randint(least, most)))

    def _step(self) -> None:
        with_locks, failing = self._take_random_step, self._fails
        others = [self._is_rendered, self._is_refused, self._is_cancelled, self._is_retried]
        step = self.random.choices([with_locks, failing, *others, self._submits], STEP_WEIGHTS)[0]
        before = len(self.story.store.jobs)
        try:
            step()
        except Deadlock as refused:
            assert " needs " in refused.message
            assert len(self.story.store.jobs) == before, "no part of a rejected job is stored"
            self.met["deadlock"] += 1
        except Conflict:
            self.met["conflict"] += 1

    def _submits(self) -> None:
        if len(self.story.store.jobs) < MOST_JOBS:
            self.story.root(*self._tasks(), max_retries=3)

    def _take_random_step(self) -> None:
        """Take one random step: request locks, start a child job, succeed, let time pass, or kill
        the server.
        """
        waits = self.story.scheduler._trees.locks.waits_for_lease
        free = [each.key for each in self.story.store.running if not waits(each.key)]
        if not free:
            self.story.later(2)
            return
        key = self.random.choice(free)
        chance = self.random.random()
        if chance < 0.45:
            self.met["got" if self.story.requests_lock(key, *self._names(1, 2)) else "waits"] += 1
        elif chance < 0.7 and len(self.story.store.jobs) < MOST_JOBS:
            self.story.child(key, *self._tasks())
        else:
            self._lets_go(key)

    def _lets_go(self, key: WorkerKey) -> None:
        chance = self.random.random()
        mine = [name for holder, name in self.story.leases if holder == key]
        if chance < 0.05:
            self.story.crash()
        elif mine and chance < 0.6:
            self.story.releases(key, self.random.choice(mine))
        elif chance < 0.8:
            self.story.ends(key)
        else:
            self.story.later(1.5)

    def _fails(self) -> None:
        if running := self.story.store.running:
            ended = self.random.choice([EXIT_1, LOST, LOST, CANCELLED])
            self.story.ends(self.random.choice(running).key, ended)

    def _is_rendered(self) -> None:
        if self.story.reports_to_write:
            self.story.reports_written(self.random.choice(self.story.reports_to_write))

    def _is_refused(self) -> None:
        for job_id in self.story.reports_to_write[:1]:
            keys = self.story.keys(self.story.job(job_id))
            refused = sorted(self.random.sample(keys, self.random.randint(1, len(keys))))
            sent = self.story.rejects_changes(job_id, *refused, required=self.random.random() < 0.5)
            self.met["sent back"] += sent

    def _is_cancelled(self) -> None:
        jobs = [each for each in self.story.store.jobs.values() if not each.status.ended]
        if jobs and self.random.random() < 0.5:
            self.story.cancel(self.random.choice(jobs))

    def _is_retried(self) -> None:
        jobs = [each for each in self.story.store.jobs.values() if each.status.ended]
        if jobs:
            self.story.retry(self.random.choice(jobs))
            self.met["retried"] += 1


@pytest.mark.parametrize("first", range(0, examples(20, 400), 20))
def test_no_lock_is_held_twice_and_no_worker_waits_forever(first: int) -> None:
    met: Counter[str] = Counter()
    for seed in range(first, first + 20):
        walk = Walk(seed)
        walk.run()
        met += walk.met

    assert all(met[each] for each in ("deadlock", "waits", "got", "sent back", "retried"))
