"""The chosen candidate, the evidence for the choice, and reasons against other candidates."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.candidates.comparison import comparison_of
from orchestrator.core.candidates.selection import Candidate, candidates_of, chosen, ranked
from orchestrator.core.gates.gate import GateResult, GateStatus
from orchestrator.core.model.attempt.attempt_result import ChangeSize, Usage
from orchestrator.core.model.job import TaskSpec, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import CandidateRank, Criterion, WorkerResult
from tests.unit.core.factories import a_worker

RED = GateResult(name="pytest", status=GateStatus.FAILED, failures=("test_a", "test_b"))
NOISY = GateResult(name="ruff", status=GateStatus.FAILED, required=False, failures=("E501",))
GREEN = GateResult(name="pytest", status=GateStatus.PASSED, tests=12)

#: Evidence of the first and the second candidate, the deciding criterion, and the second
#: candidate's text.
TABLE: tuple[tuple[dict[str, Any], dict[str, Any], Criterion, str], ...] = (
    ({}, {"succeeded": False, "status": "timeout"}, Criterion.SUCCESS, "status timeout"),
    ({}, {"blocking": ("pytest",)}, Criterion.GATES, "1 gate fails (pytest)"),
    (
        {"blocking": ("a",)},
        {"blocking": ("a", "b", "c", "d")},
        Criterion.GATES,
        "4 gates fail (a, b, c, ...)",
    ),
    ({"failures": 1}, {"failures": 3}, Criterion.GATES, "2 more gate failures"),
    ({}, {"unchecked": True}, Criterion.GATES, "gates did not run"),
    ({"unchecked": True}, {"blocking": ("a",)}, Criterion.GATES, "1 gate fails (a)"),
    (
        {},
        {"judges": ("a.py",)},
        Criterion.GATES,
        "the candidate changed tests or gate settings that judge its work (a.py)",
    ),
    (
        {"base_tests": 14},
        {"base_tests": 12},
        Criterion.BASE_TESTS,
        "2 fewer existing tests passed",
    ),
    (
        {"new_tests": ("t::a", "t::b")},
        {"new_tests": ("t::b",)},
        Criterion.NEW_TESTS,
        "1 fewer new test counted (t::a)",
    ),
    ({"lint": 1}, {"lint": 3}, Criterion.LINT, "2 more findings"),
    (
        {"review": 1},
        {"review": 2, "remark": "leaks a file"},
        Criterion.REVIEW,
        "place 2 in the review: leaks a file",
    ),
    ({"review": 1}, {}, Criterion.REVIEW, "not reviewed"),
    ({"lines": 500}, {"delivers_nothing": True, "lines": 0}, Criterion.SIZE, "no changes"),
    ({}, {"delivers_nothing": True}, Criterion.SIZE, "no output"),
    ({"lines": 8}, {"lines": 50}, Criterion.SIZE, "42 more lines"),
    ({"lines": 8, "files": 1}, {"lines": 8, "files": 2}, Criterion.SIZE, "1 more file"),
    ({"lines": 8}, {}, Criterion.SIZE, "size of the change unknown"),
    ({"cost_usd": 0.5}, {"cost_usd": 0.75}, Criterion.COST, "$0.2500 more"),
    ({"cost_usd": 9.0}, {}, Criterion.COST, "cost unknown"),
    ({"seconds": 1.0}, {"seconds": 4.25}, Criterion.TIME, "3.25 s longer"),
    (
        {},
        {},
        Criterion.ORDER,
        "equal in all criteria, but later in the list of agents",
    ),
)


def a_candidate(index: int, **facts: Any) -> Candidate:
    return Candidate(worker_id=f"worker_{index + 1}", index=index, **facts)


@pytest.mark.parametrize(("better", "worse", "by", "why"), TABLE)
def test_the_first_criterion_that_differs_decides_with_a_reason(
    better: dict[str, Any], worse: dict[str, Any], by: Criterion, why: str
) -> None:
    last_first = by is not Criterion.ORDER
    good, bad = a_candidate(int(last_first), **better), a_candidate(int(not last_first), **worse)

    (best, first), (other, second) = ranked([bad, good])

    assert (best, other) == (good, bad)
    assert (first.place, second.place) == (1, 2)
    assert (second.by, second.why, first.by) == (by, why, by)
    if by is not Criterion.SUCCESS:
        assert first.why == f"runner-up {bad.worker_id}: {why}"


@pytest.mark.parametrize("stronger", range(len(TABLE) - 1))
def test_a_criterion_outweighs_all_that_come_after_it(stronger: int) -> None:
    better, worse, by, _ = TABLE[stronger]
    after = [row for row in TABLE if list(Criterion).index(row[2]) > list(Criterion).index(by)]
    for against in after:
        good = a_candidate(1, **{**against[1], **better})
        bad = a_candidate(0, **{**against[0], **worse})
        assert ranked([good, bad])[0][0].worker_id == good.worker_id, against


def test_the_only_successful_candidate_is_chosen_for_its_success() -> None:
    (_, first), _ = ranked([a_candidate(0, succeeded=False, status="failed"), a_candidate(1)])
    assert (first.by, first.why) == (Criterion.SUCCESS, "only candidate that succeeded")


names = st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True).map(tuple)
candidates = st.builds(
    Candidate,
    worker_id=st.just(""),
    index=st.just(0),
    succeeded=st.booleans(),
    unchecked=st.booleans(),
    blocking=names,
    failures=st.integers(0, 2),
    base_tests=st.integers(0, 2),
    new_tests=names,
    lint=st.integers(0, 2),
    review=st.none() | st.integers(1, 2),
    delivers_nothing=st.booleans(),
    lines=st.none() | st.integers(0, 2),
    files=st.integers(0, 2),
    cost_usd=st.none() | st.sampled_from([0.0, 0.1, 0.2]),
    seconds=st.sampled_from([0.0, 1.0]),
)


@given(given_order=st.lists(candidates, min_size=1, max_size=6), data=st.data())
def test_the_order_is_total_and_independent_of_the_order_of_arrival(
    given_order: list[Candidate], data: st.DataObject
) -> None:
    everybody = [
        replace(each, worker_id=f"worker_{index}", index=index)
        for index, each in enumerate(given_order)
    ]
    arrived = data.draw(st.permutations(everybody))

    order = ranked(arrived)

    assert order == ranked(everybody)
    assert [standing.place for _, standing in order] == list(range(1, len(everybody) + 1))
    assert {each.worker_id for each, _ in order} == {each.worker_id for each in everybody}
    assert all(standing.why for _, standing in order)
    # Without the lower candidates, the order of the higher candidates is the same.
    first_half = [each for each, _ in order[: (len(order) + 1) // 2]]
    assert [each for each, _ in ranked(first_half)] == first_half


@given(three=st.lists(candidates, min_size=3, max_size=3))
def test_being_better_is_transitive(three: list[Candidate]) -> None:
    a, b, c = (replace(each, worker_id=str(at), index=at) for at, each in enumerate(three))

    def better(one: Candidate, other: Candidate) -> bool:
        return ranked([one, other])[0][0] is one

    if better(a, b) and better(b, c):
        assert better(a, c)


# -- evidence of a worker ---------------------------------------------------------------------


def a_done(number: int, **result: Any) -> Worker:
    return a_worker(
        id=f"worker_{number}",
        index=number - 1,
        status=WorkerStatus.SUCCESS,
        result=WorkerResult(**{"output": "done", **result}),
    )


def test_gates_tests_size_cost_and_time_come_from_the_result_of_a_worker() -> None:
    change = ChangeSize(files=2, added=3, removed=4)
    [found, _] = candidates_of(
        [
            a_done(1, gates=(RED, NOISY, GREEN), change=change, usage=Usage(cost_usd=0.5)),
            a_done(2, work_seconds=7.0),
        ]
    )
    assert (found.blocking, found.failures, found.base_tests) == (("pytest",), 3, 12)
    assert (found.files, found.lines, found.cost_usd) == (2, 7, 0.5)


def test_without_a_worktree_the_files_that_were_made_are_its_size() -> None:
    (best, first), (_, second) = ranked(
        candidates_of([a_done(1, files_created=("a", "b")), a_done(2, files_created=("a",))])
    )
    assert (best.worker_id, first.by, second.why) == ("worker_2", Criterion.SIZE, "1 more file")


def test_a_gate_that_judged_nothing_counts_no_tests_against_a_candidate() -> None:
    skipped = GateResult(name="pytest", status=GateStatus.SKIPPED)
    more = replace(GREEN, tests=15)
    broken = replace(GREEN, status=GateStatus.BROKEN, required=False, tests=None)
    workers = [a_done(number, gates=(gate,)) for number, gate in enumerate((skipped, GREEN), 1)]
    assert [each.base_tests for each in candidates_of(workers)] == [12, 12]
    workers += [a_done(3, gates=(more,)), a_done(4, gates=(broken,))]
    assert [each.base_tests for each in candidates_of(workers)] == [12, 12, 15, 0]


def test_a_candidate_without_gates_is_unchecked_if_another_passed_gates() -> None:
    candidates = candidates_of([a_done(1, gates=(GREEN,)), a_done(2)])
    assert [each.unchecked for each in candidates] == [False, True]
    assert not any(each.unchecked for each in candidates_of([a_done(1), a_done(2)]))


@pytest.mark.parametrize(
    ("first", "second", "nothing"),
    [
        ({"change": ChangeSize(files=1)}, {"change": ChangeSize(files=0)}, [False, True]),
        ({"files_created": ("a",)}, {}, [False, True]),
        ({"output": ""}, {"output": "an answer"}, [True, False]),
        ({"output": ""}, {"output": ""}, [False, False]),
        # If another candidate changed files, a candidate with only text counts as without work.
        ({"output": "an answer"}, {"output": "", "files_created": ("a",)}, [True, False]),
        ({"change": ChangeSize(files=0)}, {"change": ChangeSize(files=0)}, [False, False]),
    ],
)
def test_changing_nothing_counts_only_where_others_changed_something(
    first: dict[str, Any], second: dict[str, Any], nothing: list[bool]
) -> None:
    found = candidates_of([a_done(1, **first), a_done(2, **second)])
    assert [each.delivers_nothing for each in found] == nothing


def test_the_chosen_candidate_is_the_first_by_rank() -> None:
    second = CandidateRank(place=2, by=Criterion.SIZE, why="")
    first = CandidateRank(place=1, by=Criterion.SIZE, why="")
    workers = [a_done(1, standing=second), a_done(2, standing=first)]
    assert chosen(workers) is workers[1]


def test_without_a_choice_the_first_successful_candidate_is_chosen() -> None:
    failed = a_worker(status=WorkerStatus.FAILED)
    done = [a_done(2), a_done(3)]
    assert chosen([failed, *done]) is done[0]
    assert chosen([failed]) is None


def test_only_gates_that_have_passed_are_counted_as_passed() -> None:
    skipped = GateResult(name="docs", status=GateStatus.SKIPPED)
    known = GateResult(name="mypy", status=GateStatus.KNOWN)
    worker = a_done(1, gates=(GREEN, known, skipped, NOISY))

    [row] = comparison_of(TaskSpec(id=worker.task_id), [worker]).candidates

    assert (row.gates_passed, row.gates_failed) == (2, ())
