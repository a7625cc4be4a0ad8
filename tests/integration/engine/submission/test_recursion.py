"""Workers that start child jobs through the real API."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import HOLD, KEY, InProcess, shell, until

pytestmark = pytest.mark.usefixtures("spawning")

DESCEND = """
n=$1
if [ "$n" -gt 0 ]; then
  exec orchestrator spawn "level $n" --command "bash $0 $((n - 1))" --wait
fi
echo bottom
"""


@pytest.fixture
def descend(tmp_path: Path) -> Path:
    script = tmp_path / "descend.sh"
    script.write_text(DESCEND)
    return script


def test_one_slot_is_enough_for_five_levels(make_site: MakeSite, descend: Path) -> None:
    site = make_site(workers={"max_workers": 1})

    ended = site.run("go down", [shell(f"bash {descend} 5")], max_recursion_depth=5)

    assert ended["status"] == "completed"
    row, names = ended["results"]["tasks"][0], []
    while row.get("child_results"):
        assert row["status"] == "recursive_success"
        names.append(row["worker_id"])
        [row] = row["child_results"]
    assert [*names, row["worker_id"]] == ["_".join(["worker", *"1" * n]) for n in range(1, 7)]
    assert "bottom" in row["output"]


def test_the_workspace_shows_every_level(site: InProcess, descend: Path) -> None:
    job = site.wait(site.submit("go down", [shell(f"bash {descend} 2"), shell("true")]))["job_id"]

    directory = site.directory(job)
    for depth, name in enumerate(["worker_1", "worker_1_1", "worker_1_1_1"]):
        assert (directory / f"depth_{depth}" / name).is_dir()
        assert (directory / "logs" / f"depth_{depth}_{name}.log").is_file()
        assert (directory / f"depth_{depth}" / f"LEVEL_{depth}_REPORT.md").is_file()
    assert os.readlink(directory / "depth_0" / "worker_1_recursive") == "worker_1"
    assert os.readlink(directory / "depth_1" / "worker_1_1_recursive") == "worker_1_1"
    assert not (directory / "depth_0" / "worker_2_recursive").exists()
    assert (directory / "FINAL_RESULT.md").is_file()
    child = site.status(job)["results"]["tasks"][0]["child_job_id"]
    assert Path(site.status(child)["results"]["final_report"]).is_file()


CLAIM = """
import json, os, sys, urllib.error, urllib.request

(script, key, log), depth = sys.argv, int(os.environ["ORCHESTRATOR_DEPTH"])
with open(log, "a") as out:
    print(depth, os.environ["ORCHESTRATOR_MAX_DEPTH"], file=out)
config = {"current_depth": depth + 1, "max_recursion_depth": 3}
task = {"command": [sys.executable, script, key, log]}
call = urllib.request.Request(
    os.environ["ORCHESTRATOR_API_URL"] + "/api/v1/orchestrate",
    json.dumps({"request": f"level {depth + 1}", "tasks": [task], "config": config}).encode(),
    {"X-API-Key": key, "Content-Type": "application/json"},
)
try:
    urllib.request.urlopen(call)
except urllib.error.HTTPError as refused:
    with open(log, "a") as out:
        print(refused.code, json.load(refused)["detail"], file=out)
"""


def test_depths_that_are_only_claimed_end_too(site: InProcess, tmp_path: Path) -> None:
    """A worker that uses a user's key starts root jobs. The depth that it claims counts."""
    script, log = tmp_path / "claim.py", tmp_path / "log"
    script.write_text(CLAIM)

    site.run(
        "level 0",
        [shell(shlex.join([sys.executable, str(script), KEY, str(log)]))],
        max_recursion_depth=3,
    )

    until(lambda: "Max recursion" in log.read_text(), "the last one is refused")
    *levels, refused = log.read_text().splitlines()
    assert levels == ["0 3", "1 3", "2 3", "3 3"]
    assert refused.startswith("422 Max recursion depth reached: current_depth 4 is above ")


def test_a_second_child_job_continues_the_numbers_of_workers(site: InProcess) -> None:
    command = (
        "orchestrator spawn 'first' --command 'echo a' --wait && "
        "orchestrator spawn 'second' --command 'echo b' --wait"
    )

    [row] = site.run("two child jobs", [shell(command)])["results"]["tasks"]

    children = [site.status(job)["results"]["tasks"][0] for job in row["child_job_ids"]]
    assert [child["worker_id"] for child in children] == ["worker_1_1", "worker_1_2"]
    assert row["child_results"][0]["worker_id"] == "worker_1_2"
    assert row["child_job_id"] == row["child_job_ids"][-1]


def test_a_parent_is_not_done_before_the_child_job_it_left_behind(
    site: InProcess, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    child = f"until [ -e {release} ]; do sleep 0.02; done"
    job = site.submit("leave", [shell(f"orchestrator spawn 'left' --command '{child}'")])
    until(lambda: _reason(site, job).startswith("process exited"), "it waits")
    assert site.status(job)["status"] == "running"

    release.touch()

    [row] = site.wait(job)["results"]["tasks"]
    assert row["status"] == "recursive_success"


def _reason(site: InProcess, job: str) -> str:
    return str(site.get(f"/jobs/{job}")["workers"][0]["reason"])


def test_a_parent_whose_child_job_failed_has_failed(site: InProcess) -> None:
    ended = site.run("ask", [shell("orchestrator spawn 'x' --command 'exit 3' --wait; true")])

    [row] = ended["results"]["tasks"]
    assert (ended["status"], row["status"]) == ("failed", "failed")
    assert f"child job {row['child_job_id']} ended with status failed" in row["reason"]


def test_a_later_child_job_with_the_same_request_makes_up_for_a_failed_one(
    site: InProcess, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    child = f"if [ -e {second} ]; then echo fine; else touch {second}; exit 1; fi"
    ask = f"orchestrator spawn 'x' --command '{child}' --wait"

    ended = site.run("ask twice", [shell(f"{ask} || {ask}")])

    [row] = ended["results"]["tasks"]
    assert (ended["status"], row["status"]) == ("completed", "recursive_success")
    assert len(row["child_job_ids"]) == 2


def test_the_same_question_is_answered_with_the_same_child_job(
    site: InProcess, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    job = site.submit("hold", [shell(HOLD, env={"RELEASE": str(release)})])
    key = site.key_of(job)

    first = site.post("do a part", [shell("echo a")], key=key)
    again = site.post("do  a PART", [shell("echo a")], key=key)
    other = site.post("do a part", [shell("echo b")], key=key)

    assert [each.status_code for each in (first, again, other)] == [202, 202, 202]
    assert again.json()["job_id"] == first.json()["job_id"]
    assert again.json()["duplicate"] is True
    assert other.json()["job_id"] != first.json()["job_id"]
    release.touch()
    assert site.wait(job)["status"] == "completed"


def test_a_child_job_of_an_ended_worker_is_retried_by_its_parent_worker(site: InProcess) -> None:
    child_exits = "[ -e ../../depth_0/worker_1/tried ]"
    spawn = f'orchestrator spawn y --command "{child_exits}" --wait || {{ touch tried; exit 1; }}'
    job = site.run("x", [shell(spawn)])["job_id"]
    child = site.status(job)["results"]["tasks"][0]["child_job_id"]

    refusals = [
        site.call("POST", f"/jobs/{path}/retry") for path in (child, f"{child}/workers/worker_1_1")
    ]

    for each in refusals:
        assert each.status_code == 409
        assert "has ended" in each.json()["detail"]
        assert f" retry {job} worker_1" in each.json()["detail"]
    assert site.call("POST", f"/jobs/{job}/workers/worker_1/retry").status_code == 202
    assert site.wait(job)["status"] == "completed"
