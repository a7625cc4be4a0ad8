"""Random kills on three nodes. More kills: ``python -m tests.support.node_kills``."""

from pathlib import Path

import pytest

from tests.faults.zygote import Zygote
from tests.support.examples import examples
from tests.support.node_kills import Figures, kill_nodes

SEED = 21
KILLS, KILLS_WITH_OWN_FILES = examples(12, 200), examples(9, 200)


@pytest.mark.slow
@pytest.mark.timeout(examples(480, 3600))
def test_no_kill_of_nodes_loses_or_doubles_work(
    zygote: Zygote, tmp_path: Path, spawning: None
) -> None:
    _check(kill_nodes(tmp_path / "site", zygote, SEED, KILLS), KILLS)


@pytest.mark.slow
@pytest.mark.timeout(examples(480, 3600))
def test_no_kill_of_nodes_without_shared_files_loses_or_doubles_work(
    zygote: Zygote, tmp_path: Path, spawning: None
) -> None:
    figures = kill_nodes(tmp_path / "site", zygote, SEED, KILLS_WITH_OWN_FILES, own_files=True)

    _check(figures, KILLS_WITH_OWN_FILES)


def _check(figures: Figures, kills: int) -> None:
    print(figures)
    assert not figures.wrong, "\n".join(figures.wrong)
    assert figures.kills.total() == kills
    assert len(figures.kills) >= 6, "kinds of kills"
    assert figures.jobs >= 3
