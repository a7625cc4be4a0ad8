"""Random stories with locks: nothing is held twice, nobody waits for ever."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from orchestrator.core.errors import Deadlock
from orchestrator.core.model import TaskSpec, WorkerKey

from .factories import DONE, EXIT_0, EXIT_1, LOST, a_task, count_anew
from .lock_story import LockStory

MOST_JOBS = 10
LOCKS = st.sampled_from(["a", "b", "src", "src/api", "src/web", "."])
SOME = st.lists(LOCKS, max_size=2, unique=True).map(tuple)
ONE_OR_TWO = st.lists(LOCKS, min_size=1, max_size=2, unique=True).map(tuple)


@st.composite
def tasks(draw: st.DrawFn) -> list[TaskSpec]:
    count = draw(st.integers(1, 4))
    return [
        a_task(
            f"t{at}",
            *((f"t{at - 1}",) if at and draw(st.booleans()) else ()),
            locks=draw(SOME),
            agents=draw(st.sampled_from([(), (), ("one", "two")])),
            retries=draw(st.sampled_from([None, 1])),
        )
        for at in range(count)
    ]


class LockStories(RuleBasedStateMachine):
    @initialize(workers=st.integers(1, 4))
    def begin(self, workers: int) -> None:
        count_anew()
        self.story = LockStory(max_workers=workers)
        self.workers = workers

    def _free(self) -> list[WorkerKey]:
        """Workers that are at work: they may ask for something, give it back, and exit."""
        waits = self.story.scheduler.forest.locks.waits_for_lease
        return [each.key for each in self.story.kept.running if not waits(each.key)]

    @precondition(lambda self: len(self.story.kept.jobs) < MOST_JOBS)
    @rule(given=tasks(), most=st.integers(1, 4))
    def a_root_job_is_submitted(self, given: list[TaskSpec], most: int) -> None:
        self.story.root(*given, max_workers=most)

    @precondition(lambda self: len(self.story.kept.jobs) < MOST_JOBS and self._free())
    @rule(data=st.data(), given=tasks())
    def a_worker_starts_a_child_job(self, data: st.DataObject, given: list[TaskSpec]) -> None:
        before = len(self.story.kept.jobs)
        try:
            self.story.child(data.draw(st.sampled_from(self._free())), *given)
        except Deadlock:
            assert len(self.story.kept.jobs) == before

    @precondition(lambda self: self._free())
    @rule(data=st.data(), names=ONE_OR_TWO)
    def a_worker_asks_for_a_lease(self, data: st.DataObject, names: tuple[str, ...]) -> None:
        key = data.draw(st.sampled_from(self._free()))
        try:
            self.story.asks(key, *names)
        except Deadlock as refused:
            assert "waits for" in refused.message or "would wait for" in refused.message

    @precondition(lambda self: self.story.leases)
    @rule(data=st.data())
    def a_worker_gives_a_lease_back(self, data: st.DataObject) -> None:
        self.story.gives_back(*data.draw(st.sampled_from(list(self.story.leases))))

    @precondition(lambda self: self._free())
    @rule(data=st.data(), exit=st.sampled_from([EXIT_0, EXIT_0, EXIT_1, LOST]))
    def a_worker_exits(self, data: st.DataObject, exit: Any) -> None:
        self.story.ends(data.draw(st.sampled_from(self._free())), exit, DONE)

    @precondition(lambda self: self.story.kept.unfinished)
    @rule(data=st.data())
    def a_job_is_cancelled(self, data: st.DataObject) -> None:
        jobs = [job for job in self.story.kept.jobs.values() if not job.status.ended]
        self.story.cancel(data.draw(st.sampled_from(jobs)))

    @rule()
    def time_goes_on(self) -> None:
        self.story.later(2)

    @rule()
    def the_server_restarts(self) -> None:
        self.story.crash()

    @invariant()
    def nothing_is_held_by_two(self) -> None:
        if hasattr(self, "story"):
            self.story.check_nothing_is_held_twice()

    def teardown(self) -> None:
        if hasattr(self, "story"):
            self.story.left_alone()
            assert "timeout" not in self.story.statuses().values(), "nobody waits for ever"
            locks = self.story.scheduler.forest.locks
            assert not [*locks.claims, *locks.claimants, *locks.leases, *locks.requests]
            assert locks.is_empty, "nothing is left of those that have ended"


TestLockStories = LockStories.TestCase
TestLockStories.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    # Making a failing story shorter takes minutes; add Phase.shrink to read one.
    phases=[Phase.explicit, Phase.generate],
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
