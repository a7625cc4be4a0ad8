"""Names of ``orchestrator.composition`` are imported at their first use."""

import subprocess
import sys
from types import ModuleType

import pytest

from orchestrator import composition


@pytest.mark.parametrize("name", composition.__all__)
def test_every_name_is_there_each_time(name: str) -> None:
    first, second = getattr(composition, name), getattr(composition, name)

    assert first is second
    assert not isinstance(first, ModuleType)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = composition.nothing


@pytest.mark.slow
def test_landing_needs_no_database() -> None:
    program = (
        "import sys; from orchestrator.composition import landing; "
        "print('sqlalchemy' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
