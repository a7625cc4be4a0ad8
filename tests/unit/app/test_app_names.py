"""Names of ``orchestrator.app`` are imported at their first use."""

import subprocess
import sys
from types import ModuleType

import pytest

from orchestrator import app


@pytest.mark.parametrize("name", app.__all__)
def test_every_name_is_there_each_time(name: str) -> None:
    first, second = getattr(app, name), getattr(app, name)

    assert first is second
    assert not isinstance(first, ModuleType)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = app.nothing


@pytest.mark.slow
def test_landing_needs_no_database() -> None:
    said = "import sys; from orchestrator.app import landing; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
