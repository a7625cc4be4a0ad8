"""Fixtures of the fault tests."""

import pytest

from tests.faults.zygote import REPOSITORY
from tests.support.programs import skip_or_fail


@pytest.fixture
def spawning() -> None:
    """Skip tests whose workers call ``orchestrator spawn`` if the command is not installed."""
    if (REPOSITORY / ".venv" / "bin" / "python").exists():
        return
    reason = "bin/orchestrator needs .venv in the checkout: run ./install.sh"
    skip_or_fail(reason)
