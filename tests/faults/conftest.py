"""Servers that crash where and when a test wants it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.zygote import REPOSITORY, Zygote


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled modules, shared with all other tests that start servers."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent.parent if "gw" in base.name else base.parent) / "bytecode"


@pytest.fixture(scope="session")
def zygote(bytecode: Path) -> Iterator[Zygote]:
    zygote = Zygote(bytecode)
    yield zygote
    zygote.close()


@pytest.fixture
def spawning() -> None:
    """For tests whose workers call ``orchestrator spawn``."""
    if (REPOSITORY / ".venv" / "bin" / "python").exists():
        return
    said = "bin/orchestrator needs .venv in the checkout: run ./install.sh"
    pytest.fail(said) if os.environ.get("CI") == "true" else pytest.skip(said)
