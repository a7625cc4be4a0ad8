"""Servers that crash where and when a test wants it."""

import pytest

from tests.faults.zygote import REPOSITORY
from tests.support.programs import lacking


@pytest.fixture
def spawning() -> None:
    """For tests whose workers call ``orchestrator spawn``."""
    if (REPOSITORY / ".venv" / "bin" / "python").exists():
        return
    said = "bin/orchestrator needs .venv in the checkout: run ./install.sh"
    lacking(said)
