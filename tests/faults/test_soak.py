"""One minute of the soak. A longer run: ``python tests/support/soak.py --minutes 10``."""

from pathlib import Path

import pytest

from tests.faults.zygote import REPOSITORY, Zygote
from tests.support.programs import skip_or_fail
from tests.support.soak import soak
from tests.support.soaking.kinds import KINDS

SEED, SECONDS = 1, 60.0


@pytest.fixture
def spawning() -> None:
    if not (REPOSITORY / ".venv" / "bin" / "python").exists():
        reason = "bin/orchestrator needs .venv in the checkout: run ./install.sh"
        skip_or_fail(reason)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_minute_of_everything_at_once_breaks_no_promise(
    zygote: Zygote, tmp_path: Path, spawning: None
) -> None:
    figures = soak(tmp_path, zygote, SEED, SECONDS)

    print(figures)
    assert not figures.wrong, "\n".join(figures.wrong)
    assert figures.jobs.keys() == KINDS.keys()
    assert figures.quiet_moments
