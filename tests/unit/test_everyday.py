"""``./run-tests.sh --quick`` collects exactly the list in ``tests/conftest.py``."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import EVERYDAY, HERE, may_have_everyday_tests


def test_every_entry_in_the_list_of_everyday_tests_exists() -> None:
    assert [each for each in EVERYDAY if not each.exists()] == []


def test_a_module_that_the_list_does_not_name_is_omitted() -> None:
    modules = {path.relative_to(HERE) for path in HERE.rglob("test_*.py")}
    collected = {
        each for each in modules if all(map(may_have_everyday_tests, _way_to(HERE / each)))
    }

    assert {each.parts[0] for each in collected} == {"unit", "contract", "integration"}
    assert collected == {
        each for each in modules if any(map((HERE / each).is_relative_to, EVERYDAY))
    }


@pytest.mark.slow
def test_everyday_tests_are_collected_without_other_modules() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "not slow"]
    folder = HERE / "integration"

    found = subprocess.run(
        [*command, str(folder)], cwd=HERE.parent, capture_output=True, text=True, timeout=100
    )

    tests = [line for line in found.stdout.splitlines() if "::" in line]
    modules = {(HERE.parent / line.partition("::")[0]) for line in tests}
    assert modules == {each for each in EVERYDAY if each.is_relative_to(folder)}, found.stdout


def _way_to(path: Path) -> list[Path]:
    """Return the folders that are checked before a module, and the module."""
    return [*(each for each in path.parents if each.is_relative_to(HERE)), path]
