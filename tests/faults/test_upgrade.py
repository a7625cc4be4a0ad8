"""A database and running shims of the previous release, adopted by this release."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.site import FaultSite
from tests.faults.zygote import REPOSITORY, Zygote

FIXTURES = REPOSITORY / "tests" / "fixtures"
#: The ended job of the fixture, and the job whose second worker runs; its third worker waits.
ENDED, RUNS = "aaaaaaaa", "bbbbbbbb"

pytestmark = pytest.mark.slow


@pytest.fixture
def site(zygote: Zygote, tmp_path: Path) -> Iterator[FaultSite]:
    site = FaultSite(tmp_path / "site", zygote, store="sqlite")
    site.workspace.mkdir()
    database = sqlite3.connect(site.workspace / "orchestrator.db")
    database.executescript((FIXTURES / "release_0_1_0.sql").read_text())
    database.close()
    yield site
    site.end()


@pytest.mark.parametrize("form", ["known", "unknown"])
def test_the_next_release_adopts_running_workers(
    site: FaultSite, tmp_path: Path, form: str
) -> None:
    record = site.directory(RUNS) / "attempts" / "worker_2.1.exit.json"
    gate = tmp_path / "gate"
    command = [sys.executable, FIXTURES / "old_shim.py", record, f"{RUNS}/worker_2/1", gate, form]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as shim:
        assert shim.stdout is not None and shim.stdout.readline() == b"ready\n"
        site.start()
        assert site.status(RUNS)["status"] == "running"
        workers = site.get(f"/jobs/{RUNS}")["workers"]
        assert [worker["status"] for worker in workers] == ["success", "running", "pending"]
        gate.touch()

        ended = site.wait_through(RUNS)

    rows = ended["results"]["tasks"]
    assert [(row["status"], row["attempts"]) for row in rows] == [("success", 1)] * 3
    assert [rows[0]["output"], rows[2]["output"]] == ["one", "three"]
    numbers = [event["seq"] for event in site.events_of(RUNS)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_ended_jobs_are_unchanged_after_an_upgrade(site: FaultSite) -> None:
    site.start()

    answer = site.status(ENDED)

    assert answer["status"] == "completed"
    assert [row["output"] for row in answer["results"]["tasks"]] == ["first"]
    assert site.events_of(ENDED)[-1]["kind"] == "job_ended"


def test_a_running_attempt_without_its_shim_is_run_again(site: FaultSite) -> None:
    site.start()

    rows = site.wait_through(RUNS)["results"]["tasks"]

    assert [(row["status"], row["attempts"]) for row in rows] == [
        ("success", 1),
        ("success", 2),
        ("success", 1),
    ]
