"""A short run of random kills. A longer run: ``python -m tests.support.kills --minutes 10``."""

from pathlib import Path

import pytest

from tests.faults.zygote import Zygote
from tests.support.kills import Kills

SEED, SECONDS = 2, 12.0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_kill_loses_or_doubles_work(zygote: Zygote, tmp_path: Path, spawning: None) -> None:
    figures = Kills(tmp_path / "site", zygote, SEED).run(SECONDS)

    print(figures)
    assert not figures.wrong, "\n".join(figures.wrong)
    assert figures.jobs >= 3
