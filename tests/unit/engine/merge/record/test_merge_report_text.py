"""Messages about the merge of a job's changes are readable even for many changes."""

from typing import Any

from orchestrator.engine.merge.record.merge_record import MergeRecord
from orchestrator.engine.merge.record.merge_report_text import MOST_LINES, MOST_PATHS, outcome_lines


def conflict(number: int, *, resolved: bool) -> dict[str, Any]:
    return {"path": f"{number}.py", "worker_id": "worker_2", "resolved": resolved}


def record(count: int, *, resolved: bool, **more: Any) -> MergeRecord:
    conflicts = [conflict(number, resolved=resolved) for number in range(count)]
    return MergeRecord(job_id="1", strategy="theirs", base="0", conflicts=conflicts, **more)


def test_the_first_of_many_files_that_a_worker_won_are_named_and_the_others_counted() -> None:
    lines = list(outcome_lines(record(MOST_LINES + 5, resolved=True, merged=["worker_2"])))
    assert len(lines) == MOST_LINES + 1
    assert lines[0] == "0.py: worker_2's version won."
    assert lines[-1] == "5 more replaced lines are listed in reports/merge_1.json."


def test_a_few_files_that_a_worker_won_are_all_named() -> None:
    assert (
        len(list(outcome_lines(record(MOST_LINES, resolved=True, merged=["worker_2"]))))
        == MOST_LINES
    )


def test_many_conflicts_of_an_unmerged_worker_are_counted() -> None:
    unmerged = {"worker_2": "orchestrator/1/worker_2"}
    line, _ = outcome_lines(record(MOST_PATHS + 3, resolved=False, left_out=unmerged))
    assert line.endswith("9.py and 3 more); branch orchestrator/1/worker_2.")


def test_a_child_job_is_merged_with_the_jobs_above_it() -> None:
    unmerged = {"worker_2": "orchestrator/1/worker_2"}
    made = record(1, resolved=False, left_out=unmerged, hindrances={"worker_2": "no_retry"})

    text = " ".join(outcome_lines(made, above=["2", "3"]))

    chain = "merge 1 --strategy theirs && bin/orchestrator merge 2 && bin/orchestrator merge 3."
    begin = "To merge after job 3 has ended, with one worker's version of each conflict: "
    assert f"{begin}bin/orchestrator {chain}" in text
    assert "--resolve" not in text
    assert "bin/orchestrator merge 1 --resolve worker." in " ".join(outcome_lines(made))


def lost(path: str, **more: Any) -> dict[str, Any]:
    hunk = {"first": 0, "last": 0, "removed": False, "text": [], "workers": ["worker_1"], **more}
    return {"path": path, "worker_id": "worker_2", "resolved": True, "lost": [hunk]}


def test_each_place_that_was_overruled_is_named_with_its_worker() -> None:
    found = [
        lost("a.py", first=5, last=6, text=["    return 1", "x"]),
        lost("b.py", first=3, last=3, removed=True),
        lost("c.bin"),
    ]
    who = ["worker_1", "worker_2"]
    made = MergeRecord(
        job_id="1", strategy="theirs", base="0", conflicts=found, merged=who, branch="b"
    )
    lines = list(outcome_lines(made))
    assert "in 3 places, another worker's version won" in lines[0]
    assert [line for line in lines if line.startswith("Replaced: ")] == [
        "Replaced: a.py, lines 5-6 (written by worker_1); worker_2's version won; replaced text:"
        "     return 1 | x",
        "Replaced: b.py, the removal of line 3 (written by worker_1); worker_2's version won",
        "Replaced: c.bin, the whole file (written by worker_1); worker_2's version won",
    ]


def test_messages_explain_how_files_were_merged() -> None:
    ways = [("a", "union"), ("b", "union"), ("c", "line_ends"), ("d", "directory_rename")]
    files = [{"worker_id": "worker_2", "path": path, "way": way} for path, way in ways]
    lines = list(outcome_lines(MergeRecord(job_id="1", strategy="auto", base="0", files=files)))
    assert lines == [
        "Both sides only added lines, and the result has the lines of both: a, b.",
        "Merged, ignoring differences in blanks and carriage returns at line ends: c.",
        "Moved, because another worker renamed the directory: d.",
    ]
