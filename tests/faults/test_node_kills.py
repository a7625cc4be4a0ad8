"""Kills at random instants on three nodes; more: ``python -m tests.support.node_kills``."""

from pathlib import Path

import pytest

from tests.faults.zygote import Zygote
from tests.support.examples import examples
from tests.support.node_kills import kill_nodes

SEED = 21
KILLS = examples(20, 200)


@pytest.mark.slow
@pytest.mark.timeout(examples(480, 3600))
def test_no_kill_of_nodes_loses_or_doubles_work(
    zygote: Zygote, tmp_path: Path, spawning: None
) -> None:
    figures = kill_nodes(tmp_path / "site", zygote, SEED, KILLS)

    print(figures)
    assert not figures.wrong, "\n".join(figures.wrong)
    assert figures.kills.total() == KILLS
    assert len(figures.kills) >= 6, "kinds of kills"
    assert figures.jobs >= 3
