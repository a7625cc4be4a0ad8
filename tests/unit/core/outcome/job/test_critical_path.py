"""The critical path of a job."""

from orchestrator.core.outcome.job.critical_path import critical_path


def test_the_longest_chain_wins_over_the_longest_task() -> None:
    #         0    1    2       3       4
    needed = [[], [], [0, 1], [2], []]
    assert critical_path(needed, [1.0, 5.0, 1.0, 2.0, 7.0]) == [1, 2, 3]
    assert critical_path(needed, [1.0, 5.0, 1.0, 2.0, 9.0]) == [4]


def test_the_order_of_tasks_does_not_matter() -> None:
    assert critical_path([[2], [0], []], [1.0, 1.0, 1.0]) == [2, 0, 1]


def test_without_tasks_there_is_no_path() -> None:
    assert critical_path([], []) == []
