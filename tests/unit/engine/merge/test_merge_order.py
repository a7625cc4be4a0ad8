"""The order in which workers' changes are merged."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.gates.gate import GateResult, GateStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.engine.merge.merge_order import (
    MergePart,
    best_last,
    built_on_others_last,
    split_by_dependencies,
)
from tests.unit.core.factories import a_task, a_worker


def part(name: str, *depends_on: str) -> MergePart:
    return MergePart(a_worker(id=name, task_id=name), frozenset(depends_on))


def test_workers_that_build_on_a_missing_dependency_are_separated() -> None:
    tasks = [a_task("a"), a_task("b", "a"), a_task("c", "b"), a_task("d")]
    parts = [part("b", "a"), part("c", "b"), part("d")]
    whole, without = split_by_dependencies(parts, tasks)
    assert [each.worker.id for each in whole] == ["d"]
    assert [(each.worker.id, task) for each, task in without] == [("b", "a"), ("c", "b")]


def test_workers_that_contain_others_come_last() -> None:
    parts = [part("a"), part("b"), part("c", "b"), part("d")]
    ordered = built_on_others_last(parts, lambda worker: worker.id == "b")
    assert [each.worker.id for each in ordered] == ["a", "d", "b", "c"]


def judged(name: str, *depends_on: str, tests: int = 0, failures: int = 0) -> MergePart:
    gate = GateResult(
        name="tests",
        status=GateStatus.PASSED,
        tests=tests,
        failures=tuple(f"test_{number}" for number in range(failures)),
    )
    worker = a_worker(id=name, task_id=name, result=WorkerResult(gates=(gate,)))
    return MergePart(worker, frozenset(depends_on))


def names(parts: Sequence[MergePart]) -> str:
    return "".join(part.worker.id for part in parts)


def test_the_better_result_comes_after_the_others() -> None:
    parts = [judged("a", tests=3), judged("b", tests=2), judged("c", tests=9, failures=1)]
    assert names(best_last(parts)) == "cba"


def test_a_dependent_worker_comes_after_its_dependency_whatever_their_evidence() -> None:
    parts = [judged("a", tests=9), judged("b", "a", tests=1), judged("c", tests=5)]
    assert names(best_last(parts)) == "cab"


@given(st.lists(st.sets(st.integers(0, 7)), max_size=8))
def test_equal_evidence_keeps_the_order(depends_on: list[set[int]]) -> None:
    parts = [
        part(str(number), *(str(each) for each in before if each < number))
        for number, before in enumerate(depends_on)
    ]
    assert best_last(parts) == parts
