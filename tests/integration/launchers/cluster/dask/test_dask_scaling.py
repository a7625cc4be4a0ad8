"""The plugin that answers ``cluster.adapt()``, in a real scheduler in this process."""

import logging
from typing import Any

import pytest

distributed = pytest.importorskip("distributed")

from orchestrator.launchers.cluster.dask.dask_scaling import (  # noqa: E402
    DaskScaling,
    SchedulerScaling,
)
from tests.support.loops import run_loop  # noqa: E402


async def answers(plugin: SchedulerScaling) -> list[Any]:
    """Return a scheduler's answers before and after the server has sent its figures."""
    async with distributed.Scheduler(
        host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0"
    ) as scheduler:
        await plugin.start(scheduler)
        calls = scheduler.handlers
        asked_ago = calls["orchestrator_workers"](wanted=2, closable=[])
        former = [asked_ago, calls["adaptive_target"](target_duration="5s")]
        again = calls["orchestrator_workers"](wanted=3, closable=[])
        return [*former, again is not None, scheduler.adaptive_target()]


def test_the_figures_of_the_server_are_the_answer_until_they_are_old() -> None:
    assert run_loop(answers(SchedulerScaling(60.0))) == [None, 2, True, 3]
    old = SchedulerScaling(0.0)
    assert run_loop(answers(old)) == [None, 0, True, 0]
    assert old.valid_workers_downscaling(None, [object()]) == []


def test_a_cluster_that_no_program_scales_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    scaling = DaskScaling(0, 3, lambda machine, most: 0, lambda name: None)
    with caplog.at_level(logging.WARNING):
        scaling.warn_if_nothing_asks(1.0, True, 0.0)
        for now in (0.0, 29.0):
            scaling.warn_if_nothing_asks(None, True, now)
        assert not caplog.records
        for now in (31.0, 90.0):
            scaling.warn_if_nothing_asks(None, True, now)
        [record] = caplog.records
        assert "call cluster.adapt()" in record.getMessage()
        scaling.warn_if_nothing_asks(None, False, 99.0)
        scaling.warn_if_nothing_asks(31.0, True, 100.0)
        scaling.warn_if_nothing_asks(61.0, True, 130.0)
    assert len(caplog.records) == 2
