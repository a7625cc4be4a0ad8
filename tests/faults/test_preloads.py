"""kill -9 of the server or a shim while launches are preloaded: nothing is lost or runs twice."""

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.crash_points import OF_PRELOADS
from tests.faults.site import (
    BEGIN,
    END,
    FaultSite,
    attempt_of,
    check_effects_once,
    check_events_once,
)
from tests.faults.zygote import Zygote
from tests.integration.site import Answer, shell, worker_processes
from tests.support.examples import nightly

TASKS, SLOTS, TRIES = 60, 2, 5
SHIM_POINTS = ("attempt lock:", "exit record:", "worker:")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def short_tasks(site: FaultSite, count: int = TASKS) -> list[Answer]:
    command = ["sh", "-c", BEGIN + END]
    return [shell(command, env={"EFFECTS": str(site.effects)}) for _ in range(count)]


def check(site: FaultSite, job_id: str, answer: Answer, *, shim_died: bool) -> None:
    details = site.tail()
    assert answer["status"] == "completed", (answer, details)
    lines = site.effects.read_text().splitlines()
    check_effects_once(lines, details)
    starts = Counter(attempt_of(line)[0] for line in lines if line.startswith("start"))
    assert len(starts) == TASKS, details
    if not shim_died:
        assert set(starts.values()) == {1}, f"a worker ran twice: {lines}; {details}"
    events = site.events_of(job_id)
    check_events_once(events, details)
    check_order(events)
    assert not worker_processes(job_id), details
    assert not list((site.directory(job_id) / "attempts").glob("*.run")), details


def check_order(events: list[Answer]) -> None:
    """Check that every worker began before it ended, and that no more workers ran at once than
    slots exist.
    """
    running: set[str] = set()
    for event in events:
        if event["kind"] == "worker_started":
            running.add(event["worker_id"])
        elif event["kind"] in ("worker_ended", "worker_retrying"):
            running.discard(event["worker_id"])
        assert len(running) <= SLOTS, event


def run(zygote: Zygote, folder: Path, *crashes: str) -> FaultSite:
    site = FaultSite(folder, zygote, crashes or ("never",))
    try:
        job_id = site.submit_once(short_tasks(site), max_workers=SLOTS)
        answer = site.wait_through(job_id)
        check(site, job_id, answer, shim_died=any(map(crashes_shim, crashes)))
    finally:
        site.end()
    return site


def crashes_shim(name: str) -> bool:
    return name.startswith(SHIM_POINTS)


def test_short_tasks_are_preloaded(zygote: Zygote, tmp_path: Path, spawning: None) -> None:
    sites = (run(zygote, tmp_path / f"site_{number}") for number in range(TRIES))
    assert any(
        set(OF_PRELOADS) <= {each.partition(" ")[2] for each in site.reached()} for site in sites
    )


@pytest.mark.parametrize(
    "crash",
    [
        f"{OF_PRELOADS[-1]}#1",
        *nightly(
            *(f"{name}#1" for name in OF_PRELOADS[:-1]),
            "store: after the commit#24",
            "attempt lock: made#20",
            "worker: started#22",
            *(f"{name}#9" for name in OF_PRELOADS),
            "attempt: end received#20",
            "store: before the commit#24",
            "turn: commands run#16",
            "attempt lock: holder written#21",
            "exit record: before the rename#23",
            "exit record: after the rename#24",
        ),
    ],
)
def test_a_crash_while_launches_are_preloaded_changes_nothing(
    zygote: Zygote, tmp_path: Path, crash: str, spawning: None
) -> None:
    # On a busy machine, the tasks may be too slow for preloaded launches.
    sites = (run(zygote, tmp_path / f"site_{number}", crash) for number in range(TRIES))
    assert any(site.crashed_at() for site in sites), "no crash happened"


@pytest.mark.nightly
def test_crashes_in_a_row_change_nothing(zygote: Zygote, tmp_path: Path, spawning: None) -> None:
    run(
        zygote,
        tmp_path / "site",
        "preload: sent#5",
        "attempt lock: made#20",
        "preload: prepared#30",
    )
