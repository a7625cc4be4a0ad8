"""A crash at the n-th failpoint, for n = 1, 2, ... until the last one.

Failpoints stand around every commit and rename, in the server, its spawner and its shims.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.faults.crash_points import OF_ANY_JOB
from tests.faults.site import STORE, FaultSite, check, the_job
from tests.faults.zygote import Zygote

#: Number of groups that share the work, and parallel runs of each group.
GROUPS, AT_ONCE = 4, 3
#: Number of failpoints after the first one at which a crash during recovery is tried.
RECOVERY = 9
#: Failpoints that only crashed runs reach.
RARE = {"recovery: attempt taken up"}
SHIM_POINTS = ("claim:", "exit record:", "worker:")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(zygote: Zygote, folder: Path, crashes: tuple[int, ...], store: str) -> int:
    """How many failpoints the job came by; the job ends as it does without a crash."""
    site = FaultSite(folder, zygote, crashes, store)
    try:
        job_id = site.submit_once(the_job(site))
        answer = site.wait_through(job_id)
        check(site, job_id, answer, shim_died=shim_died(site))
        children = answer["results"]["tasks"][1]["child_job_ids"]
        assert site.get("/jobs")["total"] == 1 + len(children)
        if not site.crashed_at():
            check_names(site)
    finally:
        site.end()
    return len(site.reached())


def shim_died(site: FaultSite) -> bool:
    return any(each.partition(" ")[2].startswith(SHIM_POINTS) for each in site.crashed_at())


def check_names(site: FaultSite) -> None:
    """A crash beyond the last failpoint: the job came by all that are said to be crashed at."""
    names = {each.partition(" ")[2] for each in site.reached()}
    renames = {f"{{}}:{name.partition(':')[2]}" for name in names if "the rename" in name}
    assert set(OF_ANY_JOB) - RARE <= names | renames


def sweep(
    zygote: Zygote, tmp_path: Path, schedules: Iterator[tuple[int, ...]], store: str = STORE
) -> Sequence[tuple[int, ...]]:
    """Run one schedule after another until a crash comes after the last failpoint; all that ran."""
    done: list[tuple[int, ...]] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            batch = [next(schedules) for _ in range(AT_ONCE)]
            folders = [tmp_path / "-".join(map(str, crashes)) for crashes in batch]
            reached = pool.map(run, [zygote] * AT_ONCE, folders, batch, [store] * AT_ONCE)
            done += batch
            if any(crashes[-1] > most for crashes, most in zip(batch, reached, strict=True)):
                return done


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_crash_at_any_failpoint_changes_nothing(
    zygote: Zygote, tmp_path: Path, group: int, spawning: None
) -> None:
    done = sweep(zygote, tmp_path, ((number,) for number in count(1 + group, GROUPS)))

    assert len(done) > 100 / GROUPS


@pytest.mark.parametrize("group", range(GROUPS))
def test_another_crash_during_recovery_changes_nothing(
    zygote: Zygote, tmp_path: Path, group: int, spawning: None
) -> None:
    firsts = count(1 + 6 * group, 6 * GROUPS)
    done = sweep(zygote, tmp_path, ((n, n + 1 + n // 6 % RECOVERY) for n in firsts))

    assert len(done) > 15 / GROUPS
