"""Servers that crash or stop twice in a row, and shims that get a signal from outside."""

import json
import os
import signal
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.faults.site import FaultSite, check, fault_tasks
from tests.faults.zygote import Zygote
from tests.integration.site import shell, until
from tests.support.examples import nightly

pytestmark = pytest.mark.slow
WAYS = ("crash", "orderly")


@pytest.fixture
def site(zygote: Zygote, tmp_path: Path) -> Iterator[FaultSite]:
    site = FaultSite(tmp_path / "site", zygote)
    yield site
    site.end()


@pytest.mark.parametrize(
    "ways",
    [
        (WAYS[0],) * 2,
        *nightly(*((each,) for each in product(WAYS, WAYS) if each != (WAYS[0],) * 2)),
    ],
    ids="-then-".join,
)
def test_two_ends_in_a_row_change_nothing(
    site: FaultSite, ways: tuple[str, str], spawning: None
) -> None:
    job = site.submit_once(fault_tasks(site, pause="sleep 0.3; "))
    for way in ways:
        site.ensure()
        if way == "crash":
            site.kill()
        else:
            site.terminate()

    answer = site.wait_through(job)

    assert answer["status"] == "completed", (answer, site.effects.read_text(), site.tail())
    # After an orderly stop, the work starts again; after a crash, it continues.
    check(site, job, answer, shim_died="orderly" in ways)


@pytest.mark.parametrize("adopted", [False, True], ids=["own", "adopted"])
def test_a_shim_that_gets_a_signal_from_outside_is_no_cancel(
    site: FaultSite, adopted: bool
) -> None:
    begin = f"[ -e tried ] && exit; touch tried; echo start >> {site.effects}; "
    job = site.submit_once([shell(f"{begin}while :; do sleep 0.05; done", retries=2)])
    until(lambda: "start" in site.effects.read_text(), "it runs")
    if adopted:
        site.kill()
        site.ensure()
    run = site.directory(job) / "attempts" / "worker_1.1.exit.run"
    os.kill(json.loads(run.read_bytes().split(b"\n", 1)[0])["shim"], signal.SIGTERM)

    [row] = site.wait_through(job)["results"]["tasks"]

    assert (row["status"], row["attempts"]) == ("success", 2)
