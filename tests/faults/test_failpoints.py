"""A crash at each kind of failpoint of a job; at night, at the n-th failpoint, for every n.

Failpoints are before and after every commit and rename in the server, its spawner, and its shims.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.crash_points import OF_ANY_JOB
from tests.faults.site import STORE, FaultSite, check, fault_tasks
from tests.faults.zygote import Zygote
from tests.support.examples import AT_NIGHT, examples, nightly

#: Number of groups that share the work, and parallel runs of each group.
GROUPS, AT_ONCE = 4, 3
#: Number of failpoints after the first crash at which a second crash, during recovery, is tried.
RECOVERY = 9
#: Distance between two failpoints after whose crash a crash during recovery is tried.
STRIDE = examples(12, 6)
#: Failpoints that only crashed runs reach.
RARE = {"recovery: attempt adopted"}
SHIM_POINTS = ("attempt lock:", "exit record:", "worker:")
#: Crashes of one run: numbers of failpoints, or names with the number of the occurrence.
Schedule = tuple[int | str, ...]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(zygote: Zygote, folder: Path, crashes: Schedule, store: str) -> list[str]:
    """Run the job with crashes. Check that it ends as without them. Return the reached
    failpoints.
    """
    site = FaultSite(folder, zygote, crashes, store)
    try:
        job_id = site.submit_once(fault_tasks(site))
        answer = site.wait_through(job_id)
        check(site, job_id, answer, shim_died=shim_died(site))
        children = answer["results"]["tasks"][1]["child_job_ids"]
        assert site.get("/jobs")["total"] == 1 + len(children)
        if not site.crashed_at():
            check_names(site)
    finally:
        site.end()
    return [each.partition(" ")[2] for each in site.reached()]


def shim_died(site: FaultSite) -> bool:
    # A crash at a named failpoint is reported without the process.
    names = (each if each in OF_ANY_JOB else each.partition(" ")[2] for each in site.crashed_at())
    return any(name.startswith(SHIM_POINTS) for name in names)


def check_names(site: FaultSite) -> None:
    """Check that a job without a crash reaches every failpoint of the list."""
    names = {each.partition(" ")[2] for each in site.reached()}
    renames = {f"{{}}:{name.partition(':')[2]}" for name in names if "the rename" in name}
    assert set(OF_ANY_JOB) - RARE <= names | renames


def sweep(
    zygote: Zygote, tmp_path: Path, schedules: Sequence[Schedule], store: str = STORE
) -> None:
    folders = [tmp_path / f"run_{number}" for number in range(len(schedules))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(run, [zygote] * len(folders), folders, schedules, [store] * len(folders)):
            pass


def without_a_crash(zygote: Zygote, tmp_path: Path, store: str = STORE) -> list[str]:
    """Return the names of a job's failpoints, in order."""
    names = run(zygote, tmp_path / "without", ("never",), store)
    assert len(names) > 100
    return names


def of_each_name(names: Sequence[str]) -> list[int | str]:
    """Return two failpoints of each name: the first, and one in the middle of the job.

    Of failpoints of files, return only a third, because one function writes all files.
    """
    numbers: dict[str, list[int]] = {}
    for number, name in enumerate(names, 1):
        numbers.setdefault(name, []).append(number)
    of_files = [found[0] for name, found in numbers.items() if name not in OF_ANY_JOB]
    return [
        *(
            f"{name}#{time}"
            for name, found in numbers.items()
            if name in OF_ANY_JOB
            for time in sorted({1, (len(found) + 1) // 2})
        ),
        *of_files[::3],
    ]


@pytest.mark.parametrize("group", [0, *nightly(*range(1, GROUPS))])
def test_a_crash_at_any_failpoint_changes_nothing(
    zygote: Zygote, tmp_path: Path, group: int, spawning: None
) -> None:
    names = without_a_crash(zygote, tmp_path)
    places = range(1, len(names) + 1) if AT_NIGHT else of_each_name(names)

    sweep(zygote, tmp_path, [(place,) for place in places[group::GROUPS]])


@pytest.mark.parametrize("group", [0, *nightly(*range(1, GROUPS))])
def test_another_crash_during_recovery_changes_nothing(
    zygote: Zygote, tmp_path: Path, group: int, spawning: None
) -> None:
    most = len(without_a_crash(zygote, tmp_path))
    firsts = range(1 + STRIDE * group, most + 1, STRIDE * GROUPS)

    sweep(zygote, tmp_path, [(n, n + 1 + n // STRIDE % RECOVERY) for n in firsts])
