"""Results that arrive after their attempt was declared lost.

A result is used if no newer attempt runs. Otherwise it is saved.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.system import process_table
from tests.faults.site import FaultSite
from tests.faults.zygote import SECRET, Zygote
from tests.integration.site import Answer, shell, until

pytestmark = pytest.mark.slow
#: Secret of the shim that ended late: its record is valid like any of its records.
OWN_SECRET = "e" * 64
LATE = {"secret": OWN_SECRET, "ended_by": "exit", "code": 0, "cpu_seconds": 2.5, "log_bytes": 10}


class _WithSecret(FaultSite):
    def environment(self) -> dict[str, str]:
        return {**super().environment(), SECRET: OWN_SECRET}


@pytest.fixture
def site(zygote: Zygote, tmp_path: Path) -> Iterator[FaultSite]:
    # The pause gives the test time to act, and ends when the test continues.
    workers = {"max_retries": 2, "retry_backoff_seconds": 4.0}
    site = _WithSecret(tmp_path / "site", zygote, workers=workers)
    site.start()
    yield site
    site.end()


def waiting_task(site: FaultSite) -> Answer:
    """Return a task that records its starts, prints a text, and ends when the test releases it."""
    wait = f"until [ -e {site.folder}/release ]; do sleep 0.02; done"
    return shell(f"echo start >> {site.effects}; echo 'half done'; {wait}")


def starts(site: FaultSite) -> int:
    return site.effects.read_text().count("start")


def kill_first_shim(site: FaultSite, job: str) -> Path:
    """Kill the shim of the first attempt; return the path of its exit record."""
    until(lambda: "half done" in site.log(job, "worker_1"), "it runs")
    record = site.directory(job) / "attempts" / "worker_1.1.exit.json"
    run = record.with_name("worker_1.1.exit.run")
    holder = json.loads(run.read_bytes().split(b"\n", 1)[0])
    assert process_table.start_ticks(holder["shim"]) == holder["shim_start"]
    os.kill(holder["shim"], signal.SIGKILL)
    until(lambda: "retrying in" in worker(site, job)["reason"], "it is given up")
    return record


def arrives(record: Path, **changes: Any) -> None:
    """Write the exit record of an attempt as a shim does, after the attempt was declared lost."""
    now = time.time()
    written = record.with_suffix(".late")
    written.write_text(json.dumps({**LATE, "started_at": now - 1, "ended_at": now, **changes}))
    written.replace(record)


def worker(site: FaultSite, job: str) -> Answer:
    found: Answer = site.get(f"/jobs/{job}")["workers"][0]
    return found


def late_results(site: FaultSite, job: str) -> list[dict[str, Any]]:
    events = site.events_of(job)
    return [event["data"] for event in events if event["kind"] == "late_result"]


@pytest.mark.parametrize("crash", [False, True], ids=["server-stays", "server-is-killed"])
def test_a_late_result_is_accepted_before_a_newer_attempt_has_started(
    site: FaultSite, crash: bool
) -> None:
    job = site.submit_once([waiting_task(site)])
    record = kill_first_shim(site, job)
    if crash:
        site.kill()
    arrives(record)
    site.ensure()

    row = site.wait_through(job)["results"]["tasks"][0]

    assert (row["status"], row["attempts"], row["output"]) == ("success", 1, "half done")
    assert starts(site) == 1
    [attempt] = worker(site, job)["attempts"]
    assert (attempt["exit_code"], attempt["reason"]) == (0, "")
    [event] = late_results(site, job)
    assert (event["attempt"], event["taken"]) == (1, True)


def test_a_late_failure_that_may_be_retried_changes_nothing_else(site: FaultSite) -> None:
    job = site.submit_once([waiting_task(site)])
    arrives(kill_first_shim(site, job), code=3)
    (site.folder / "release").touch()

    row = site.wait_through(job)["results"]["tasks"][0]

    assert (row["status"], row["attempts"], starts(site)) == ("success", 2, 2)
    assert worker(site, job)["attempts"][0]["reason"] == "exit code 3: half done"


@pytest.mark.parametrize("crash", [False, True], ids=["server-stays", "server-is-killed"])
def test_a_result_later_than_the_next_start_is_saved_as_salvage(
    site: FaultSite, crash: bool
) -> None:
    job = site.submit_once([waiting_task(site)])
    record = kill_first_shim(site, job)
    until(lambda: starts(site) == 2, "the next attempt runs")
    arrives(record)
    if crash:
        site.kill()
        site.ensure()
    (site.folder / "release").touch()

    row = site.wait_through(job)["results"]["tasks"][0]

    assert (row["status"], row["attempts"], starts(site)) == ("success", 2, 2)
    first, second = worker(site, job)["attempts"]
    assert first["reason"].endswith(f"late result not used (exit code 0); saved in {record}")
    assert (first["exit_code"], second["exit_code"]) == (0, 0)
    assert json.loads(record.read_text())["cpu_seconds"] == 2.5
    assert "late result not used" in (site.directory(job) / "FINAL_RESULT.md").read_text()
    [event] = late_results(site, job)
    assert (event["attempt"], event["taken"], event["record"]) == (1, False, str(record))


def test_a_late_record_without_its_shims_secret_is_no_result(site: FaultSite) -> None:
    job = site.submit_once([waiting_task(site)])
    arrives(kill_first_shim(site, job), secret="0" * 64)
    (site.folder / "release").touch()

    row = site.wait_through(job)["results"]["tasks"][0]

    assert (row["status"], row["attempts"], starts(site)) == ("success", 2, 2)
    assert late_results(site, job) == []


def test_a_half_written_late_record_is_no_result(site: FaultSite) -> None:
    job = site.submit_once([waiting_task(site)])
    kill_first_shim(site, job).write_text('{"ended_by": "ex')
    (site.folder / "release").touch()

    row = site.wait_through(job)["results"]["tasks"][0]

    assert (row["status"], row["attempts"], late_results(site, job)) == ("success", 2, [])
