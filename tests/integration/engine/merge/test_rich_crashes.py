"""Repeated crashes of the server during one job that uses nearly all features of git."""

import json
import sys
from pathlib import Path

import pytest

from tests.faults.crash_points import OF_A_RICH_JOB
from tests.integration.conftest import MakeCrashing
from tests.integration.engine.merge.test_resolving import RESOLVER
from tests.integration.site import until, worker_processes
from tests.support.project import edit

FILES = {"a.txt": "one\ntwo\nthree\n"}
#: Command that reports an overlap if two workers have the lock.
LOCKED = """
orchestrator lock db --wait 60 >/dev/null
exec 8>>'{place}/db.lock'
flock -n 8 || echo overlap >> '{effects}'
sleep 0.05
exec 8>&-
orchestrator unlock db
"""


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_crashes_in_a_row_cost_a_job_with_gates_locks_and_merging_nothing(
    crashing: MakeCrashing, tmp_path: Path, spawning: None
) -> None:
    (tmp_path / "resolver.py").write_text(RESOLVER)
    resolver = {"resolver": {"command": [sys.executable, str(tmp_path / "resolver.py")]}}
    once = [f"{name}#1" for name in OF_A_RICH_JOB]
    site, project = crashing(*once, files=FILES, agents=resolver)
    before = project.snapshot()
    children = tmp_path / "children.json"
    children.write_text(json.dumps([edit("echo below > below.txt")]))
    locked = LOCKED.format(place=tmp_path, effects=site.effects)
    tasks = [
        edit(f"{locked}sed -i s/two/2/ a.txt"),
        edit(f"{locked}sed -i s/two/zwei/ a.txt"),
        edit(f"orchestrator spawn below --tasks {children} --wait >/dev/null; echo x > above.txt"),
    ]
    # The gate fails only if both files of a pair exist.
    gate = "! { [ -e one.txt ] && [ -e two.txt ] && ! [ -e both.txt ]; }"
    tasks += [
        edit("echo 1 > one.txt"),
        edit("echo 2 > two.txt; ! [ -e one.txt ] || touch both.txt"),
    ]

    job = site.submit_once(tasks, gates=[gate], resolve="resolver")
    answer = site.wait_through(job, within=180)

    assert answer["status"] == "completed", (answer, site.tail())
    assert set(site.crashed_at()) == set(OF_A_RICH_JOB), site.reached()[-20:]
    assert "overlap" not in site.effects.read_text()
    result = f"orchestrator/{job}/result"
    expected = {"above.txt", "below.txt", "one.txt", "two.txt", "both.txt"}
    assert expected <= set(project.files(result)), site.tail()
    assert sorted(project.show(result, "a.txt").split("\n")) == ["2", "one", "three", "zwei"]
    until(lambda: project.worktrees() == [], "no worktree is left")
    assert project.snapshot() == before
    assert not worker_processes(job)
