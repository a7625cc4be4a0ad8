"""Many workers at once: the limits hold, and no worker waits forever."""

from pathlib import Path

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import InProcess, shell, until


def intervals(effects: Path) -> list[tuple[float, int]]:
    """Return (time, +1 or -1) for every start and end, sorted by time."""
    found = []
    for line in effects.read_text().splitlines():
        sign, time = line.split()
        found.append((float(time), 1 if sign == "+" else -1))
    # If an end and a start have the same time, the end counts first.
    return sorted(found)


def most_at_once(effects: Path) -> int:
    now = most = 0
    for _, step in intervals(effects):
        now += step
        most = max(most, now)
    return most


def recording_command(effects: Path, seconds: float) -> str:
    return f'date "++ %s.%N" >> {effects}; sleep {seconds}; date "+- %s.%N" >> {effects}'


@pytest.mark.nightly
@pytest.mark.slow
def test_three_hundred_workers_never_use_more_than_eight_slots(
    site: InProcess, effects: Path
) -> None:
    # Two jobs: each alone may use all slots.
    jobs = [
        site.submit(name, [shell(recording_command(effects, 0.05))] * 150)
        for name in ("one", "two")
    ]

    assert [site.wait(job)["status"] for job in jobs] == ["completed"] * 2
    assert len(intervals(effects)) == 600
    assert 6 <= most_at_once(effects) <= 8
    times = [time for time, _ in intervals(effects)]
    # 300 / 8 x 0.05 s are 2 s. The starts of processes take the rest.
    assert times[-1] - times[0] < 30
    assert site.get("/stats")["slots"]["running"] == 0


def test_a_job_uses_no_more_slots_than_it_asked_for(site: InProcess, effects: Path) -> None:
    ended = site.run("narrow", [shell(recording_command(effects, 0.05))] * 12, max_workers=2)

    assert ended["status"] == "completed"
    assert most_at_once(effects) == 2


def test_a_small_job_does_not_wait_for_a_big_one(site: InProcess) -> None:
    big = site.submit("big", [shell("sleep 0.1")] * 200)
    until(lambda: site.status(big)["status"] == "running", "the big job runs")

    small = site.wait(site.submit("small", [shell("true")]))

    assert small["status"] == "completed"
    waiting = [row for row in site.get(f"/jobs/{big}")["workers"] if row["status"] == "pending"]
    assert len(waiting) > 50
    site.call("POST", f"/jobs/{big}/cancel")
    site.wait(big)


def test_one_worker_at_a_time_runs_without_enough_memory(make_site: MakeSite) -> None:
    # This much memory is never available, but one worker at a time still runs.
    site = make_site(workers={"min_available_memory_bytes": 2**60, "max_workers": 4})

    assert site.run("x", [shell("true")] * 3)["status"] == "completed"
