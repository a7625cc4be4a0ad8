"""Finds the workers whose changes make the gates fail, with few runs of the gates."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.gates.gate import GateCause, GateResult, GateStatus
from orchestrator.core.repository.repository import MergedFile, MergeRule
from orchestrator.engine.merge.culprit_search import CulpritSearch, MergeStep, blocked
from orchestrator.engine.merge.merge_order import MergePart
from tests.support.examples import examples
from tests.unit.core.factories import a_worker

FAILED = (GateResult(name="tests", status=GateStatus.FAILED),)
PASSED = (GateResult(name="tests", status=GateStatus.PASSED),)


def part(name: str, *depends_on: str) -> MergePart:
    return MergePart(a_worker(id=name, task_id=name), frozenset(depends_on))


class Bench:
    """A stand-in for merging and gates.

    A state is the names of its parts. The gates fail if the state contains an element of ``bad``.
    """

    def __init__(self, *bad: frozenset[str], conflicting: frozenset[str] = frozenset()) -> None:
        self.bad, self.conflicting = bad, conflicting
        self.runs: list[str] = []

    def add(self, state: str, part: MergePart, may_unite: bool = True) -> MergeStep:
        if part.worker.id in self.conflicting:
            return MergeStep(part=part, commit=state, is_whole=False)
        return MergeStep(part=part, commit=f"{state}/{part.worker.id}")

    def judge(self, state: str) -> tuple[GateResult, ...]:
        self.runs.append(state)
        inside = set(state.split("/"))
        return FAILED if any(each <= inside for each in self.bad) else PASSED


def bad(*names: str) -> frozenset[str]:
    return frozenset(names)


def test_a_batch_that_passes_takes_one_run() -> None:
    bench = Bench()
    settled = CulpritSearch("base", [part(name) for name in "abcd"], bench.add, bench.judge).run()
    assert bench.runs == ["base/a/b/c/d"]
    assert settled.results == PASSED


def test_nothing_is_run_where_nothing_was_changed() -> None:
    bench = Bench(conflicting=bad("a"))
    settled = CulpritSearch("base", [part("a")], bench.add, bench.judge).run()
    assert bench.runs == []
    assert settled.commit == "base"


def test_a_failing_worker_is_dropped_with_its_dependent_workers() -> None:
    bench = Bench(bad("b"))
    parts = [part("a"), part("b"), part("c", "b"), part("d", "c"), part("e")]
    settled = CulpritSearch("base", parts, bench.add, bench.judge).run()
    assert [each.worker.id for each, _ in settled.culprits] == ["b"]
    assert [each.worker.id for each in settled.dropped] == ["c", "d"]
    assert settled.commit == "base/a/e"
    assert settled.culprits[0][1] == FAILED


def test_a_dependent_worker_stays_while_another_worker_of_its_dependency_is_merged() -> None:
    """A person included a second candidate of a task, but the gates reject it."""
    bench = Bench(bad("taken"))
    second = MergePart(a_worker(id="taken", task_id="a"))
    parts = [part("a"), second, part("b", "a")]
    settled = CulpritSearch("base", parts, bench.add, bench.judge).run()
    assert [each.worker.id for each, _ in settled.culprits] == ["taken"]
    assert settled.commit == "base/a/b"


def test_the_later_of_two_workers_that_fail_together_is_dropped() -> None:
    bench = Bench(bad("a", "c"))
    parts = [part(name) for name in "abcd"]
    settled = CulpritSearch("base", parts, bench.add, bench.judge).run()
    assert [each.worker.id for each, _ in settled.culprits] == ["c"]
    assert settled.commit == "base/a/b/d"


def test_a_worker_that_fails_with_many_others_is_dropped_instead_of_them() -> None:
    bench = Bench(*(bad("a", each) for each in "bcdefgh"))
    settled = CulpritSearch(
        "base", [part(name) for name in "abcdefgh"], bench.add, bench.judge
    ).run()
    assert [each.worker.id for each, _ in settled.culprits] == ["a"]
    assert settled.culprits[0][1] == FAILED
    assert settled.commit == "base/b/c/d/e/f/g/h"
    assert len(bench.runs) == 9


def test_several_workers_that_fail_with_others_are_dropped() -> None:
    bench = Bench(*(bad(a, b) for a in "adh" for b in "abcdefgh" if a != b))
    settled = CulpritSearch(
        "base", [part(name) for name in "abcdefgh"], bench.add, bench.judge
    ).run()
    assert sorted(each.worker.id for each, _ in settled.culprits) == ["a", "d", "h"]
    assert settled.commit == "base/b/c/e/f/g"


def test_workers_that_build_on_a_cleared_culprit_are_merged() -> None:
    bench = Bench(bad("a", "b"), bad("a", "c"))
    parts = [part("a"), part("b"), part("x", "b"), part("c")]
    settled = CulpritSearch("base", parts, bench.add, bench.judge).run()
    assert settled.commit == "base/b/x/c"
    assert settled.dropped == ()


def test_a_worker_on_which_others_build_stays() -> None:
    bench = Bench(bad("a", "b"), bad("a", "c"))
    parts = [part("a"), part("b"), part("c", "a")]
    settled = CulpritSearch("base", parts, bench.add, bench.judge).run()
    assert settled.commit == "base/a"


def test_a_worker_that_conflicts_only_with_a_culprit_is_merged() -> None:
    class ConflictBench(Bench):
        def add(self, state: str, part: MergePart, may_unite: bool = True) -> MergeStep:
            if part.worker.id == "c" and "b" in state.split("/"):
                return MergeStep(part=part, commit=state, is_whole=False)
            return super().add(state, part, may_unite)

    bench = ConflictBench(bad("b"))
    parts = [part(name) for name in "abc"]
    settled = CulpritSearch("base", parts, bench.add, bench.judge).run()
    assert settled.commit == "base/a/c"


class UnionBench(Bench):
    """A bench on which the parts in ``united`` merge only by a union, with another state."""

    def __init__(self, *bad: frozenset[str], united: frozenset[str]) -> None:
        super().__init__(*bad)
        self.united = united

    def add(self, state: str, part: MergePart, may_unite: bool = True) -> MergeStep:
        name = part.worker.id
        if name not in self.united or state == "base":
            return super().add(state, part)
        if not may_unite:
            return MergeStep(part=part, commit=state, is_whole=False)
        files = (MergedFile(path="log", way=MergeRule.UNION),)
        return MergeStep(part=part, commit=f"{state}/{name}", files=files)


def test_a_union_that_the_gates_pass_counts() -> None:
    bench = UnionBench(united=bad("b"))
    settled = CulpritSearch("base", [part(name) for name in "abc"], bench.add, bench.judge).run()
    assert (settled.commit, bench.runs) == ("base/a/b/c", ["base/a/b/c"])


def test_a_union_that_the_gates_refuse_is_a_conflict_and_no_fault_of_its_worker() -> None:
    bench = UnionBench(bad("a", "c"), united=bad("c"))
    settled = CulpritSearch("base", [part(name) for name in "abcd"], bench.add, bench.judge).run()
    assert settled.commit == "base/a/b/d"
    assert settled.culprits == ()
    assert [step.part.worker.id for step in settled.steps if not step.is_whole] == ["c"]
    assert not blocked(settled.results)


@pytest.mark.parametrize(
    ("cause", "required", "counts"),
    [
        (GateCause.NO_TESTS, True, False),
        (GateCause.TIMEOUT, True, False),
        (GateCause.FAILS_AT_BASE, True, False),
        (GateCause.NO_TESTS, False, True),
        # The gate has no files to check, so it does not judge the changes.
        (GateCause.NOTHING_CHANGED, True, True),
    ],
)
def test_a_union_counts_only_if_gates_ran(cause: GateCause, required: bool, counts: bool) -> None:
    class IdleGateBench(UnionBench):
        def judge(self, state: str) -> tuple[GateResult, ...]:
            idle = GateResult(name="t", status=GateStatus.SKIPPED, cause=cause, required=required)
            return (*PASSED, idle)

    bench = IdleGateBench(united=bad("b", "d"))
    settled = CulpritSearch("base", [part(name) for name in "abcd"], bench.add, bench.judge).run()
    assert settled.commit == ("base/a/b/c/d" if counts else "base/a/c")
    unmerged = [step.part.worker.id for step in settled.steps if not step.is_whole]
    assert unmerged == ([] if counts else ["b", "d"])


NAMES = [chr(ord("a") + number) for number in range(16)]


@settings(max_examples=examples(50, 300), deadline=None, database=None)
@given(
    count=st.integers(1, 16),
    culprits=st.sets(st.sampled_from(NAMES), max_size=5),
    conflicting=st.sets(st.sampled_from(NAMES), max_size=4),
)
def test_exactly_the_culprits_are_found_in_few_runs(
    count: int, culprits: set[str], conflicting: set[str]
) -> None:
    names = NAMES[:count]
    bench = Bench(*(bad(each) for each in culprits), conflicting=frozenset(conflicting))
    settled = CulpritSearch("base", [part(each) for each in names], bench.add, bench.judge).run()

    found = [each.worker.id for each, _ in settled.culprits]
    assert found == [each for each in names if each in culprits - conflicting]
    assert not blocked(settled.results)
    remaining = [each for each in names if each not in culprits | conflicting]
    assert settled.commit == "/".join(["base", *remaining])
    for_each = 1 + math.ceil(math.log2(count))
    assert len(bench.runs) <= 1 + len(found) * for_each + max(0, len(found) - 1) * for_each
    assert len(bench.runs) == len(set(bench.runs))


@settings(max_examples=examples(50, 300), deadline=None, database=None)
@given(
    count=st.integers(2, 10),
    pairs=st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=12),
)
def test_the_remaining_workers_pass_and_each_dropped_worker_fails_with_another(
    count: int, pairs: set[tuple[str, str]]
) -> None:
    names, clashes = NAMES[:count], [bad(*each) for each in pairs]
    bench = Bench(*clashes)
    settled = CulpritSearch("base", [part(each) for each in names], bench.add, bench.judge).run()

    remaining = set(settled.commit.split("/")[1:])
    dropped = {each.worker.id for each, _ in settled.culprits}
    assert remaining | dropped == set(names)
    assert not remaining & dropped
    assert not blocked(settled.results)
    assert all(any(each in clash for clash in clashes) for each in dropped)
