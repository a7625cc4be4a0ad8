"""The fault table is complete, its tests exist, and docs/internals/reliability.md shows it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.faults.promises import PROMISES
from tests.faults.reliability import PAGE, REPOSITORY, SECTIONS, facts, format_tests, page, promises
from tests.faults.row import Row
from tests.faults.table import MOST_WITHOUT_TEST, TABLE, all_tests

TESTS = REPOSITORY / "tests"
PAGE_TEXT = PAGE.read_text("utf-8")


@cache
def defined_in(path: Path) -> frozenset[str]:
    """Return the names of the tests, including the tests that hypothesis generates."""
    found = {node.name for node in ast.parse(path.read_text()).body if hasattr(node, "name")}
    assigned = re.findall(r"^(Test\w+) = ", path.read_text(), re.MULTILINE)
    return frozenset({*found, *assigned})


def test_all_rows_are_there() -> None:
    assert [row.number for row in TABLE] == list(range(1, len(TABLE) + 1))
    assert all(row.fault and row.injection and row.promise for row in TABLE)


def test_every_row_is_in_one_section_of_the_page() -> None:
    numbers = [number for section in SECTIONS.values() for number in section]

    assert sorted(numbers) == [row.number for row in TABLE]


def test_every_row_has_a_test_or_a_reason_for_none() -> None:
    without = [row.number for row in TABLE if not row.tests]

    assert all(bool(row.tests) != bool(row.cannot_run) for row in TABLE)
    assert len(without) <= MOST_WITHOUT_TEST


def test_every_promise_of_the_readme_has_tests_on_the_page() -> None:
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    section = readme.partition("\n## Promises\n")[2].partition("\n## ")[0]

    assert list(PROMISES) == re.findall(r"^\d+\. \*\*(.+?)\*\*", section, re.MULTILINE)
    assert all(PROMISES.values())
    assert promises() in PAGE_TEXT


@pytest.mark.parametrize(
    "test",
    list(dict.fromkeys([*all_tests(), *(each for tests in PROMISES.values() for each in tests)])),
)
def test_every_test_of_the_page_exists(test: str) -> None:
    path, _, name = test.partition("::")

    assert (TESTS / path).is_file() and name in defined_in(TESTS / path)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row.number))
def test_the_page_agrees_with_the_table(row: Row) -> None:
    [line] = [line for line in PAGE_TEXT.splitlines() if line.startswith(f"| {row.number} |")]
    result = line.removeprefix(facts(row)).strip(" |")

    assert line.startswith(facts(row)), "run python -m tests.faults.reliability"
    assert f"{row.number}. {format_tests(row)}\n" in PAGE_TEXT
    assert "not run" not in result and "failed" not in result
    assert row.cannot_run or re.match(r"\d+ passed", result), result


def test_a_row_whose_tests_did_not_run_is_marked() -> None:
    assert page({}).count("**not run**") == 1 + sum(bool(row.tests) for row in TABLE)
