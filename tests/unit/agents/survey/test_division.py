"""Division of a project into child jobs."""

import os
from collections import Counter

from orchestrator.agents.survey.division import (
    PARTS_FOR_A_CHILD_JOB,
    SIZEABLE_PART_BYTES,
    SMALLEST_DIVIDED_BYTES,
    Division,
    divide,
)
from orchestrator.agents.survey.project_files.listing import FoundFile, within

LARGE = SMALLEST_DIVIDED_BYTES // 4


def _files(directories: list[str], size: int = LARGE) -> list[FoundFile]:
    return [FoundFile(f"{directory}/a.py", size) for directory in directories]


def _assert_each_file_is_in_one_part(division: Division, files: list[FoundFile]) -> None:
    holders = Counter(
        file.path for part in division.parts for file in files if within(part.files)(file.path)
    )
    inside = within([division.directory])
    expected = Counter(file.path for file in files if inside(file.path))
    assert holders == expected
    assert sum(part.file_count for part in division.parts) == len(expected)


def test_a_directory_with_five_sizeable_parts_becomes_a_child_job() -> None:
    files = _files([f"d{number}" for number in range(PARTS_FOR_A_CHILD_JOB)])
    (division,) = divide(files, [])
    assert division.directory == "."
    assert [part.files for part in division.parts] == [(f"d{n}",) for n in range(5)]


def test_a_directory_with_four_sizeable_parts_does_not() -> None:
    assert divide(_files([f"d{number}" for number in range(4)]), []) == []


def test_little_to_read_is_one_workers_work() -> None:
    assert divide(_files([f"d{number}" for number in range(9)], SIZEABLE_PART_BYTES), []) == []


def test_data_and_unknown_files_do_not_make_a_part_sizeable() -> None:
    names = [f"d{number}/{name}" for number in range(9) for name in ("a.po", "b.json", "c.bin")]
    assert divide([FoundFile(name, LARGE) for name in names], []) == []


def test_the_parts_hold_each_file_once_small_ones_and_direct_files_in_bundles() -> None:
    files = _files([f"big{number}" for number in range(6)])
    files += _files([f"small{number:03}" for number in range(200)], 2_000)
    files += [FoundFile("top.py", 10), FoundFile("README.md", 10), FoundFile("big0/x/y.py", 5)]
    (division,) = divide(files, [])
    assert len(division.parts) < 20
    _assert_each_file_is_in_one_part(division, files)


def test_an_inner_directory_is_divided_when_the_outer_one_has_few_parts() -> None:
    files = _files([f"src/pkg/d{number}" for number in range(6)]) + _files(["docs"])
    files.append(FoundFile("src/pkg/direct.py", 10))
    (division,) = divide(files, [])
    assert division.directory == "src/pkg"
    assert ("src/pkg/*",) in [part.files for part in division.parts]
    _assert_each_file_is_in_one_part(division, files)


def test_only_what_was_asked_for_is_divided() -> None:
    files = _files([f"a/d{number}" for number in range(6)])
    assert [division.directory for division in divide(files, ["a"])] == ["a"]
    assert divide(files, ["a/*", "a/d0"]) == []


def test_a_directory_whose_name_cannot_be_written_in_a_task_is_kept() -> None:
    odd = os.fsdecode(b"odd-\xff")
    files = _files([f"d{number}" for number in range(5)] + [odd, "*"])
    (division,) = divide(files, [])
    assert [part.name for part in division.parts] == [f"d{number}" for number in range(5)]
