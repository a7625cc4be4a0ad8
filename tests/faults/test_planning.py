"""A crash at the n-th failpoint of a job that an agent plans, for n = 1, 2, ..."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.faults.site import FaultSite
from tests.faults.zygote import Zygote
from tests.integration.site import worker_processes
from tests.support.examples import every_second, examples

#: Number of groups that share the work, and parallel runs of each group.
GROUPS, AT_ONCE = 2, 3
#: Distance between tested failpoints. Few are enough, because planners start and end as workers do.
EVERY = examples(20, 3)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: An agent that records each call, and answers with a plan; as a worker, it prints a text. Its
#: processes inherit the lock. If the lock is not available, another attempt still runs.
AGENT = """\
import fcntl, json, os, sys
effects, name = sys.argv[1], os.environ["ORCHESTRATOR_WORKER_ID"]
lock = open(f"{effects}.{name}", "a")
os.set_inheritable(lock.fileno(), True)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open(effects, "a").write(f"overlap {name}\\n")
open(effects, "a").write(f"{name}\\n")
task = {"id": "a", "title": "From the plan", "prompt": "x"}
second = {**task, "id": "b", "depends_on": ["a"]}
print(json.dumps({"tasks": [task, second]}) if name == "planner" else "done")
"""


def run(zygote: Zygote, folder: Path, number: int) -> int:
    """Check that the job ends as without a crash. Return the number of failpoints."""
    script = folder.with_suffix(".py")
    script.write_text(AGENT)
    effects = folder / "effects"
    thinker = {"command": [sys.executable, str(script), str(effects)]}
    site = FaultSite(folder, zygote, (number,), agents={"thinker": thinker})
    try:
        body = {"request": "One. Two.", "config": {"planner": "thinker", "agent": "thinker"}}
        headers = {"Idempotency-Key": "once"}
        submitted = site.insist(lambda: site.call("POST", "/orchestrate", body, headers=headers))
        check(site, str(submitted["job_id"]))
    finally:
        site.end()
    return len(site.reached())


def check(site: FaultSite, job_id: str) -> None:
    answer, details = site.wait_through(job_id), site.tail()
    job = site.insist(lambda: site.call("GET", f"/jobs/{job_id}"))
    kinds = [event["kind"] for event in site.events_of(job_id)]
    lines = site.effects.read_text().splitlines()
    assert answer["status"] == "completed", (answer, details)
    # The exit of a shim uses one of the planner's two attempts.
    assert job["plan_source"] == "thinker", (job, details)
    assert [task["title"] for task in job["tasks"]] == ["From the plan"] * 2, details
    assert [worker["worker_id"] for worker in job["workers"]] == ["worker_1", "worker_2"], details
    assert kinds.count("job_planned") == kinds.count("planner_ended") == 1, (kinds, details)
    assert not [line for line in lines if line.startswith("overlap")], (lines, details)
    assert len(lines) <= 4, (lines, details)
    assert site.get("/jobs")["total"] == 1
    assert not worker_processes(job_id), details
    assert "planner" not in json.dumps(answer["results"]["tasks"])


@pytest.mark.parametrize("group", every_second(range(GROUPS)))
def test_a_crash_at_any_failpoint_loses_no_plan(zygote: Zygote, tmp_path: Path, group: int) -> None:
    numbers, done = count(1 + group, EVERY * GROUPS), 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            batch = [next(numbers) for _ in range(AT_ONCE)]
            folders = [tmp_path / str(number) for number in batch]
            reached = list(pool.map(run, [zygote] * AT_ONCE, folders, batch))
            done += len(batch)
            if any(number > most for number, most in zip(batch, reached, strict=True)):
                break
    assert done > 20 / EVERY / GROUPS
