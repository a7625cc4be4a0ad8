"""Some of the crash tests, with the state in PostgreSQL.

All crash tests: ``ORCHESTRATOR_TEST_STORE=postgresql pytest tests/faults``.
"""

from pathlib import Path

import pytest

from tests.faults.site import FaultSite, check, fault_tasks
from tests.faults.test_failpoints import RECOVERY, sweep, without_a_crash
from tests.faults.zygote import Zygote
from tests.support.examples import examples
from tests.support.kills import Kills

SECONDS = 6.0
#: One of this many failpoints is tested. Changes of the code change the selection.
STRIDE = examples(52, 17)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_crash_at_a_failpoint_changes_nothing_on_postgresql(
    zygote: Zygote, tmp_path: Path, spawning: None
) -> None:
    most = len(without_a_crash(zygote, tmp_path, "postgresql"))

    firsts = range(7, most + 1, STRIDE)
    sweep(zygote, tmp_path, [(n, n + 1 + n % RECOVERY) for n in firsts], "postgresql")


def test_no_kill_loses_or_doubles_work_on_postgresql(
    zygote: Zygote, tmp_path: Path, spawning: None
) -> None:
    figures = Kills(tmp_path / "site", zygote, 3, "postgresql").run(SECONDS)

    assert not figures.wrong, "\n".join(figures.wrong)
    assert figures.jobs


@pytest.mark.nightly
def test_a_crash_and_an_orderly_end_change_nothing_on_postgresql(
    zygote: Zygote, tmp_path: Path, spawning: None
) -> None:
    site = FaultSite(tmp_path / "site", zygote, store="postgresql")
    try:
        job = site.submit_once(fault_tasks(site, pause="sleep 0.3; "))
        site.kill()
        site.ensure()
        site.terminate()
        check(site, job, site.wait_through(job), shim_died=True)
    finally:
        site.end()
