"""What tests do by day and what at night: examples of properties, rows that repeat others."""

import os
from typing import Any

import pytest

#: True for ./run-tests.sh --nightly, and for a search for new examples.
AT_NIGHT = bool(os.environ.get("ORCHESTRATOR_TEST_NIGHT") or os.environ.get("HYPOTHESIS_SEARCH"))


def examples(by_day: int, at_night: int) -> int:
    """How many a property or a random walk gets."""
    return at_night if AT_NIGHT else by_day


def nightly(*rows: object) -> list[Any]:
    """Rows of a parametrized test for the night: other rows show the same, with other data."""
    return [
        pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.nightly)
        for row in rows
    ]
