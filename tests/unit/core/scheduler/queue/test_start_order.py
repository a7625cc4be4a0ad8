"""The start order: real workflow graphs in simulation, and stored run times."""

import heapq
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.model.job import TaskSpec
from orchestrator.core.scheduler.queue.ready_queue import ReadyQueue
from orchestrator.core.scheduler.queue.run_times import MOST_NAMES, RunTimes
from orchestrator.core.scheduler.queue.task_ranks import ranks
from tests.unit.core.factories import a_job, a_key, a_task
from tests.unit.core.story import Story

GRAPHS = json.loads((Path(__file__).parents[5] / "benchmarks" / "workflows.json").read_text())
SLOTS = 8
#: Duration of the best of thousands of schedules, by workflow. The unit is a lower bound for every
#: schedule: the maximum of the longest path and work / slots.
BEST = {"1000genome": 1.0, "cycles": 1.0, "epigenomics": 1.332, "montage": 1.0, "soykb": 1.192}


class _Flow:
    def __init__(self, name: str) -> None:
        rows = GRAPHS["workflows"][name]
        self.seconds = {f"t{place}": float(row[0]) for place, row in enumerate(rows)}
        self.tasks = [
            TaskSpec(id=f"t{place}", depends_on=tuple(f"t{each}" for each in row[1:]))
            for place, row in enumerate(rows)
        ]

    @property
    def bound(self) -> float:
        """Return a lower bound on the seconds of any schedule."""
        ends: dict[str, float] = {}
        for task in self.tasks:
            begin = max((ends[each] for each in task.depends_on), default=0.0)
            ends[task.id] = begin + self.seconds[task.id]
        return max(*ends.values(), sum(self.seconds.values()) / SLOTS)

    def makespan(self, known: Mapping[str, float] | None) -> float:
        """Return the seconds of a run. ``known``: learned run times; None: in order of arrival."""
        job, ready = a_job(), ReadyQueue()
        order = {} if known is None else ranks(self.tasks, known)
        keys = {a_key(each.id): each.id for each in self.tasks}
        blockers = {each.id: len({*each.depends_on}) for each in self.tasks}
        needed_by: dict[str, list[str]] = {}
        for task in self.tasks:
            for each in {*task.depends_on}:
                needed_by.setdefault(each, []).append(task.id)

        def push(task_id: str) -> None:
            seconds, descendants = order.get(task_id, (0.0, 0))
            ready.push(a_key(task_id), job, (-seconds, -descendants))

        for task in self.tasks:
            if not blockers[task.id]:
                push(task.id)
        now, running = 0.0, list[tuple[float, str]]()
        while True:
            while len(running) < SLOTS and (found := ready.next(lambda _: True, lambda _: 0)):
                ready.take(found[0])
                task_id = keys[found[1]]
                heapq.heappush(running, (now + self.seconds[task_id], task_id))
            if not running:
                return now
            now, ended = heapq.heappop(running)
            for each in needed_by.get(ended, ()):
                blockers[each] -= 1
                if not blockers[each]:
                    push(each)


def _learned(flow: _Flow, factor: Callable[[], float]) -> Mapping[str, float]:
    """Return the expected run times of a second run of the same plan."""
    times, job = RunTimes(), a_job()
    times.expected(job, flow.tasks)
    learned: list[tuple[str, float]] = []
    for task in flow.tasks:
        learned += times.learn(job.id, task.id, flow.seconds[task.id] * factor())
    again = RunTimes(learned)
    return again.expected(a_job(), flow.tasks)


@pytest.mark.parametrize("name", BEST)
def test_the_second_run_is_near_the_best_known_schedule(name: str) -> None:
    flow = _Flow(name)
    best, draw = BEST[name] * flow.bound, random.Random(7)
    assert flow.makespan(_learned(flow, lambda: 1.0)) <= 1.05 * best
    assert flow.makespan(_learned(flow, lambda: 2 ** draw.uniform(-1, 1))) <= 1.07 * best
    # Without a history, most descendants first is no worse than the order of arrival.
    assert flow.makespan({}) <= 1.01 * flow.makespan(None)


def _tasks(**needs: str) -> list[TaskSpec]:
    return [TaskSpec(id=name, depends_on=tuple(each.split())) for name, each in needs.items()]


def test_ranks_are_the_longest_path_and_the_descendants() -> None:
    diamond = _tasks(a="", b="a", c="a", d="b c", e="")
    assert ranks(diamond, {}) == {"a": (0, 3), "b": (0, 1), "c": (0, 1), "d": (0, 0), "e": (0, 0)}
    found = ranks(diamond, {"a": 1, "b": 5, "c": 2, "d": 1})
    # A task without a run time counts with the median.
    assert {name: rank[0] for name, rank in found.items()} == {
        **{"a": 7, "b": 6, "c": 3, "d": 1},
        "e": 1.5,
    }
    assert ranks(_tasks(a="", b=""), {}) == {}


def test_a_long_chain_has_ranks() -> None:
    chain = [TaskSpec(id=f"t{n}", depends_on=(f"t{n - 1}",) if n else ()) for n in range(3000)]
    found = ranks(chain, {})
    assert (found["t0"], found["t2999"]) == ((0, 2999), (0, 0))


def test_the_median_of_the_latest_runs_counts() -> None:
    times, job, tasks = RunTimes(), a_job(), [TaskSpec(id="a", command="make")]
    times.expected(job, tasks)
    for seconds in (100, 100, 100, 1, 2, 3, 4, 50):
        times.learn(job.id, "a", seconds)
    assert times.expected(job, tasks) == {"a": 3}


def test_run_times_that_differ_by_noise_keep_the_order_of_the_plan() -> None:
    job, tasks = a_job(), [TaskSpec(id=name, command=name) for name in "abc"]
    times = RunTimes()
    times.expected(job, tasks)
    for name, seconds in (("a", 0.011), ("b", 0.032), ("c", 0.018)):
        times.learn(job.id, name, seconds)

    assert ranks(tasks, times.expected(job, tasks)) == {}


def test_a_run_time_is_found_by_plan_then_request_then_command() -> None:
    times, job = RunTimes(), replace(a_job(), request="build")
    first = [TaskSpec(id="a", command="make a"), TaskSpec(id="b", command="make b")]
    times.expected(job, first)
    times.learn(job.id, "a", 7)
    assert times.expected(job, first) == {"a": 7}
    # First another plan for the same request, then another request with the same command.
    assert times.expected(job, [TaskSpec(id="a", command="make -j a")]) == {"a": 7}
    other = replace(job, request="test")
    assert times.expected(other, [TaskSpec(id="x", command="make a")]) == {"x": 7}
    assert times.expected(other, [TaskSpec(id="a", command="make -j a")]) == {}


def test_the_number_of_stored_run_times_is_limited() -> None:
    times = RunTimes((f"{number:016x}", 1.0) for number in range(MOST_NAMES + 100))
    job = a_job()
    times.expected(job, [TaskSpec(id="a", command="make")])
    assert len(times.learn(job.id, "a", 1)) == 3
    assert len(times._samples) == MOST_NAMES
    times.forget(job.id)
    assert not times.learn(job.id, "a", 1)


def test_changes_have_the_run_times_by_which_a_later_server_orders_the_same_tasks() -> None:
    tasks = [a_task(name, command=name) for name in ("short", "long")]
    story = Story()
    first = story.root(*tasks)
    for key, seconds in zip(story.keys(first), (1, 9), strict=True):
        story.later(seconds)
        story.ends(key)

    again = Story(max_workers=1, run_times=story.store.run_times)
    again.root(*tasks)

    [running] = again.running
    assert again.worker(running).task_id == "long"


def test_a_retried_task_has_no_run_time() -> None:
    story = Story()
    root = story.root(a_task(command="make"), max_retries=1)
    [key] = story.keys(root)
    story.fails(key)
    story.later(60)
    story.ends(key)

    assert story.worker(key).status.succeeded
    assert not story.store.run_times
