"""For all tests: which are everyday ones, and the same examples in every run.

A red run can be had again; HYPOTHESIS_SEARCH=1 looks for new examples instead.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
if not os.environ.get("HYPOTHESIS_SEARCH"):
    settings.load_profile("repeatable")

HERE = Path(__file__).parent
#: What ./run-tests.sh --quick runs, but for what is marked slow in there: the units, the contracts
#: on SQLite, and the main path of the job manager with real processes.
EVERYDAY = ("unit", "contract", "integration/engine/test_tasks.py")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if not _is_everyday(item):
            item.add_marker(pytest.mark.slow)


def _is_everyday(item: pytest.Item) -> bool:
    if "postgresql" in item.name:
        return False
    return any(item.path.is_relative_to(HERE / each) for each in EVERYDAY)
