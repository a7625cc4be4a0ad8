"""Servers that crash where and when a test wants it."""

import os

import pytest

from tests.faults.zygote import REPOSITORY


@pytest.fixture
def spawning() -> None:
    """For tests whose workers call ``orchestrator spawn``."""
    if (REPOSITORY / ".venv" / "bin" / "python").exists():
        return
    said = "bin/orchestrator needs .venv in the checkout: run ./install.sh"
    pytest.fail(said) if os.environ.get("CI") == "true" else pytest.skip(said)
