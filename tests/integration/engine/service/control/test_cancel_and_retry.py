"""Cancelling whole job trees, and retrying unsuccessful workers."""

import json
from pathlib import Path

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, InProcess, shell, until, worker_processes
from tests.support.project import Project


def nested(site: InProcess, levels: int, effects: Path) -> list[Answer]:
    """Return a task that starts child jobs in several levels.

    The lowest child job runs for long, and detaches a process.
    """
    if levels == 0:
        return [shell(f"echo bottom >> {effects}; setsid -f sleep 300; sleep 300")]
    inner = effects.parent / f"level_{levels}.json"
    inner.write_text(json.dumps(nested(site, levels - 1, effects)))
    return [shell(f"orchestrator spawn 'level {levels}' --tasks {inner} --wait")]


@pytest.mark.usefixtures("spawning")
def test_cancelling_a_tree_stops_every_process_of_it(site: InProcess, effects: Path) -> None:
    job = site.submit("deep", nested(site, 2, effects))
    until(lambda: effects.read_text(), "the deepest worker runs")
    until(lambda: len(worker_processes(job)) >= 4, "so does what it detached")

    first = site.call("POST", f"/jobs/{job}/cancel")
    again = site.call("DELETE", f"/jobs/{job}")

    assert (first.status_code, again.status_code) == (202, 202)
    ended = site.wait(job)
    assert ended["status"] == "cancelled"
    assert not worker_processes(job)
    row = ended["results"]["tasks"][0]
    while row.get("child_results"):
        assert row["status"] == "cancelled"
        [row] = row["child_results"]
    assert row["status"] == "cancelled"
    assert {each["status"] for each in site.get("/jobs")["jobs"]} == {"cancelled"}
    late = site.call("POST", f"/jobs/{job}/cancel")
    assert (late.status_code, late.json()["status"]) == (200, "cancelled")


def test_cancelling_leaves_what_has_succeeded(site: InProcess, effects: Path) -> None:
    tasks = [
        shell(f"echo done >> {effects}", id="a"),
        shell("sleep 300", id="b"),
        shell("true", id="c", depends_on=["b"]),
    ]
    job = site.submit("x", tasks)
    until(lambda: site.status(job).get("results"), "the first one is done")

    site.call("POST", f"/jobs/{job}/cancel")

    ended = site.wait(job)
    assert ended["status"] == "cancelled"
    reason = "cancelled by key 'default'"
    assert ended["reason"] == ended["results"]["tasks"][1]["reason"] == reason
    assert reason in (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert [row["status"] for row in ended["results"]["tasks"]] == [
        "success",
        "cancelled",
        "cancelled",
    ]
    assert effects.read_text() == "done\n"


def test_a_retry_runs_again_only_what_did_not_succeed(site: InProcess, effects: Path) -> None:
    tasks = [
        shell(f"echo a >> {effects}", id="a"),
        shell(f"echo b >> {effects}; [ -e {effects}.mended ]", id="b"),
        shell(f"echo c >> {effects}", id="c", depends_on=["b"]),
    ]
    job = site.submit("x", tasks)
    assert site.wait(job)["status"] == "partial"
    Path(f"{effects}.mended").touch()

    assert site.call("POST", f"/jobs/{job}/retry", {}).status_code == 202

    ended = site.wait(job)
    assert ended["status"] == "completed"
    assert sorted(effects.read_text().split()) == ["a", "b", "b", "c"]
    written = site.status_file(job)
    assert written["status"] == "completed"
    assert [row["status"] for row in written["results"]["tasks"]] == ["success"] * 3
    assert written["counts"] == {"success": 3}


def test_a_retry_may_give_more_time(site: InProcess) -> None:
    job = site.submit("x", [shell("sleep 1.2; echo there")], default_timeout=0.3)
    assert site.wait(job)["results"]["tasks"][0]["status"] == "timeout"

    site.call("POST", f"/jobs/{job}/retry", {"config": {"default_timeout": 30}})

    [row] = site.wait(job)["results"]["tasks"]
    assert (row["status"], row["output"]) == ("success", "there")


def test_a_retry_may_replace_the_tasks_own_timeouts_and_retries(
    site: InProcess, effects: Path
) -> None:
    own = {"timeout": 0.3, "retries": 0}
    slow = f"echo a >> {effects}; sleep 1; [ $(wc -l < {effects}) -ge 3 ]"
    tasks = [shell(slow, **own), shell(["true"], **own)]
    job = site.run("x", tasks, max_retries=0)["job_id"]
    assert effects.read_text() == "a\n"

    more = {"default_timeout": 30, "max_retries": 1}
    site.call("POST", f"/jobs/{job}/retry", {"config": more})

    assert site.wait(job)["status"] == "completed"
    assert effects.read_text() == "a\na\na\n"


def test_a_cancelled_job_can_be_run_again(site: InProcess, effects: Path) -> None:
    job = site.submit("x", [shell(f"[ -e {effects}.go ] || sleep 300")])
    until(lambda: worker_processes(job), "it runs")
    site.call("POST", f"/jobs/{job}/cancel")
    assert site.wait(job)["status"] == "cancelled"
    Path(f"{effects}.go").touch()

    site.call("POST", f"/jobs/{job}/retry")

    assert site.wait(job)["status"] == "completed"


def test_there_is_nothing_to_retry_in_a_completed_job(site: InProcess) -> None:
    job = site.submit("x", [shell("true")])
    site.wait(job)

    answer = site.call("POST", f"/jobs/{job}/retry")

    assert answer.status_code == 409
    assert "nothing to retry" in answer.json()["detail"]
    # The scheduler has released the tree that the answer needed.
    assert not site.manager.parts.scheduler.view.has_tree(job)
    assert site.wait(job)["status"] == "completed"


def test_a_command_that_succeeded_gets_no_advice_to_send_comments(
    make_site: MakeSite, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").begin({"a.txt": "one\n"})
    site = make_site(orchestrator={"project_root": str(project.path)})
    job = site.run("x", [shell("echo b > b.txt", git="on")])["job_id"]

    answer = site.call("POST", f"/jobs/{job}/workers/worker_1/retry")

    assert "; nothing to retry; submit the wanted change as" in answer.json()["detail"]


def test_a_running_job_cannot_be_retried(site: InProcess) -> None:
    job = site.submit("x", [shell("sleep 300")])

    assert site.call("POST", f"/jobs/{job}/retry").status_code == 409

    site.call("POST", f"/jobs/{job}/cancel")
    site.wait(job)


@pytest.mark.usefixtures("spawning")
def test_a_retried_worker_does_not_repeat_the_child_jobs_that_completed(
    site: InProcess, effects: Path
) -> None:
    good, bad = f"echo good >> {effects}", f"echo bad >> {effects}; [ -e {effects}.mended ]"
    spawn = [f"orchestrator spawn x --command '{each}' --wait" for each in (good, bad)]
    job = site.submit("x", [shell("; ".join(spawn))])
    assert site.wait(job)["status"] == "failed"
    Path(f"{effects}.mended").touch()

    site.call("POST", f"/jobs/{job}/retry")

    assert site.wait(job)["status"] == "completed"
    assert effects.read_text().split() == ["good", "bad", "bad"]
    rows = site.status_file(job)["results"]["tasks"][0]["child_results"]
    assert [row["status"] for row in rows] == ["success", "failed", "success"]
