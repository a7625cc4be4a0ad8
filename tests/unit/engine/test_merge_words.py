"""What became of a job's changes, in words that stay readable however much there is to tell."""

from typing import Any

from orchestrator.engine.merge_record import Record
from orchestrator.engine.merge_words import MOST_LINES, MOST_PATHS, in_words


def conflict(number: int, *, resolved: bool) -> dict[str, Any]:
    return {"path": f"{number}.py", "worker_id": "worker_2", "resolved": resolved}


def record(count: int, *, resolved: bool, **more: Any) -> Record:
    conflicts = [conflict(number, resolved=resolved) for number in range(count)]
    return Record(job_id="1", strategy="theirs", base="0", conflicts=conflicts, **more)


def test_of_many_files_that_one_won_the_first_are_named_and_the_others_counted() -> None:
    lines = list(in_words(record(MOST_LINES + 5, resolved=True, merged=["worker_2"])))
    assert len(lines) == MOST_LINES + 1
    assert lines[0] == "0.py: worker_2 won over those before it."
    assert lines[-1] == "So it was in 5 more files: see reports/merge_1.json."


def test_a_few_files_that_one_won_are_all_named() -> None:
    assert len(list(in_words(record(MOST_LINES, resolved=True, merged=["worker_2"])))) == MOST_LINES


def test_of_many_conflicts_for_which_one_is_left_out_it_is_said_how_many() -> None:
    left = {"worker_2": "orchestrator/1/worker_2"}
    line, _ = in_words(record(MOST_PATHS + 3, resolved=False, left_out=left))
    assert line.endswith("9.py and 3 more.")
