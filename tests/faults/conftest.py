"""Servers that crash at a place and time that a test selects."""

import pytest

from tests.faults.zygote import REPOSITORY
from tests.support.programs import skip_or_fail


@pytest.fixture
def spawning() -> None:
    """For tests with workers that call ``orchestrator spawn``."""
    if (REPOSITORY / ".venv" / "bin" / "python").exists():
        return
    reason = "bin/orchestrator needs .venv in the checkout: run ./install.sh"
    skip_or_fail(reason)
