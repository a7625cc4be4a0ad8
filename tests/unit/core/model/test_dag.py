import pytest

from orchestrator.core.errors import InvalidRequest, PlanCycle
from orchestrator.core.model.dag import check, check_overlaps, critical_path, dependents
from orchestrator.core.model.job import TaskSpec
from tests.unit.core.factories import a_task


def test_tasks_may_name_tasks_that_come_later() -> None:
    check([a_task("b", "a"), a_task("a")])


def test_no_tasks_are_a_valid_graph() -> None:
    check([])


def test_two_tasks_with_one_id_are_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="duplicate task id 'a'"):
        check([a_task("a"), a_task("a")])


def test_an_unknown_dependency_is_refused_with_the_ids_that_exist() -> None:
    with pytest.raises(
        InvalidRequest, match=r"'b' depends on unknown task 'z'; known: a, b"
    ) as refused:
        check([a_task("a"), a_task("b", "z")])
    assert refused.value.kind == "unknown-dependency"


def test_a_circle_is_refused_with_its_members() -> None:
    with pytest.raises(PlanCycle) as refused:
        check([a_task("a", "c"), a_task("b", "a"), a_task("c", "b"), a_task("d")])
    circle = refused.value.message.split(": ")[1].split(";")[0].split(" -> ")
    assert circle[0] == circle[-1]
    assert set(circle) == {"a", "b", "c"}
    assert refused.value.kind == "plan-cycle"


def test_a_task_that_waits_for_itself_is_a_circle() -> None:
    with pytest.raises(PlanCycle, match="a -> a"):
        check([a_task("a", "a")])


@pytest.mark.slow
def test_a_chain_of_ten_thousand_tasks_is_checked_without_recursion() -> None:
    tasks = [a_task("0")] + [a_task(str(n), str(n - 1)) for n in range(1, 10_000)]
    check(tasks)
    check(tasks[::-1])


def test_dependents_are_in_task_order_and_named_once() -> None:
    tasks = [a_task("a"), a_task("c", "a", "a"), a_task("b", "a", "c")]
    assert dependents(tasks) == {"a": ("c", "b"), "c": ("b",)}


@pytest.mark.parametrize(
    "tasks",
    [
        [a_task("a", files=("x",)), a_task("b", files=("y",))],
        [a_task("a", files=("x", "x"))],
        [a_task("a", files=("x",)), a_task("b", "a", files=("x",))],
        # The dependency is indirect, through a task without files. The tasks are in reverse order.
        [a_task("c", "b", files=("x",)), a_task("b", "a"), a_task("a", files=("./x",))],
    ],
)
def test_a_file_may_be_named_by_tasks_that_wait_for_each_other(tasks: list[TaskSpec]) -> None:
    check_overlaps(tasks)


def test_two_tasks_that_run_side_by_side_must_not_name_the_same_file() -> None:
    tasks = [a_task("a"), a_task("b", "a", files=("x",)), a_task("c", "a", files=("d/../x",))]

    with pytest.raises(InvalidRequest, match="'b' and 'c' both name the file 'x'") as refused:
        check_overlaps(tasks)

    assert refused.value.kind == "overlap"


def test_the_longest_chain_wins_over_the_longest_task() -> None:
    #         0    1    2       3       4
    needed = [[], [], [0, 1], [2], []]
    assert critical_path(needed, [1.0, 5.0, 1.0, 2.0, 7.0]) == [1, 2, 3]
    assert critical_path(needed, [1.0, 5.0, 1.0, 2.0, 9.0]) == [4]


def test_the_order_of_tasks_does_not_change_the_critical_path() -> None:
    assert critical_path([[2], [0], []], [1.0, 1.0, 1.0]) == [2, 0, 1]


def test_without_tasks_there_is_no_critical_path() -> None:
    assert critical_path([], []) == []


def test_a_task_without_duration_does_not_end_the_critical_path() -> None:
    assert critical_path([[1], []], [0.0, 1.0]) == [1]
    assert critical_path([[], [0]], [1.0, 0.0]) == [0]
