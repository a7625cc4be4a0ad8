"""Sizes of tests: by day, tests try fewer examples and rows than in the nightly run."""

import os
from collections.abc import Sequence
from typing import Any

import pytest

#: True for ./run-tests.sh --nightly, and for a search for new examples.
AT_NIGHT = bool(os.environ.get("ORCHESTRATOR_TEST_NIGHT") or os.environ.get("HYPOTHESIS_SEARCH"))


def examples(by_day: int, at_night: int) -> int:
    """Return the number of examples for a property test or random walk: by day or at night."""
    return at_night if AT_NIGHT else by_day


def nightly(*rows: object) -> list[Any]:
    """Mark rows of a parametrized test, so that only the nightly tests run them.

    By day, the other rows check the same behaviour with other data.
    """
    return [
        pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.nightly)
        for row in rows
    ]


def every_second(rows: Sequence[object]) -> list[Any]:
    """Mark every second row of a parametrized test, so that only the nightly tests run it."""
    return [each for at, row in enumerate(rows) for each in (nightly(row) if at % 2 else [row])]
