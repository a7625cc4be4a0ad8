"""What a job used, in a line for people."""

from typing import Any

import pytest
from click import unstyle

from orchestrator.cli.planning import estimate_line
from orchestrator.cli.status import status_lines
from orchestrator.cli.summary import summary_lines, used_line


@pytest.mark.parametrize(
    ("usage", "line"),
    [
        ({}, ""),
        (
            {"steps": 1400, "input_tokens": 10, "output_tokens": 2, "cost_usd": 0.5},
            "Used:   1,400 steps, 10 tokens read, 2 written, 0.5000 USD",
        ),
        (
            {"steps": 1, "cost_usd": 0.5, "cost_estimated": True, "cost_partial": True},
            "Used:   1 steps, at least 0.5000 USD (estimated)",
        ),
        (
            {"steps": 2, "cache_read_tokens": 7, "cache_write_tokens": 3},
            "Used:   2 steps, 7 from a cache, 3 into a cache, cost not known",
        ),
    ],
)
def test_what_was_used_is_told_in_a_line(usage: dict[str, Any], line: str) -> None:
    assert used_line(usage) == line


@pytest.mark.parametrize(
    ("cost", "words"),
    [(0.004, "less than 0.01 USD"), (0.25, "about 0.25 USD"), (None, "not known")],
)
def test_an_estimate_of_little_is_not_nothing(cost: float | None, words: str) -> None:
    found = {"tokens": 1000, "cost_usd": cost, "from_workers": 2, "workers": 3}

    assert words in estimate_line(found)


@pytest.mark.parametrize("lines", [summary_lines, status_lines])
def test_candidates_that_were_not_taken_are_told_from_the_one_that_was(lines: Any) -> None:
    row = {"status": "success", "output": "done"}
    tasks = [{**row, "worker_id": f"worker_{n}", "chosen": n == 2} for n in (1, 2)]
    answer = {"job_id": "j", "status": "completed", "results": {"tasks": tasks}}

    first, second = lines(answer, 100)[1:3]

    assert first.endswith("(not taken: another candidate is) done")
    assert second.endswith(" done") and "taken" not in second


def line_of(width: int = 120, **task: object) -> str:
    answer = {"job_id": "a", "status": "completed", "results": {"tasks": [task]}}
    return unstyle(status_lines(answer, width)[1]).split(None, 2)[-1]


def test_a_worker_is_shown_with_the_first_and_the_last_line_of_its_answer() -> None:
    said = "# Added the cart\n\nwith tests\n\n```\nx\n```\nThe price of zero is open.\n"
    task = {"worker_id": "worker_1", "status": "success", "output": said}
    assert line_of(**task) == "Added the cart ... The price of zero is open."
    assert line_of(60, **task).endswith(" ... The p...")
    assert line_of(**{**task, "output": "one line\n"}) == "one line"
    assert line_of(**{**task, "output": ""}) != ""


def test_a_long_first_line_leaves_room_for_the_last_one() -> None:
    task = {"worker_id": "worker_1", "status": "success", "output": f"{'a ' * 100}\nIt failed."}
    assert line_of(**task).endswith("... It failed.")
    answer = {"job_id": "a", "status": "x", "results": {"tasks": [task]}}
    assert len(unstyle(status_lines(answer, 80)[1])) <= 80


def test_that_nothing_was_changed_stands_before_the_answer() -> None:
    task = {
        "worker_id": "worker_1",
        "status": "success",
        "output": "It is fine.",
        "unchanged": True,
    }
    assert line_of(**task) == "changed nothing: It is fine."
    assert line_of(**{**task, "unchanged": False}) == "It is fine."
    assert line_of(**{**task, "reason": "why"}) == "why"
