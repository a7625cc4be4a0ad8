"""Limits apply even if workers try to evade them."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from orchestrator.core.ports.store import StateChange
from tests.integration.conftest import MakeSite
from tests.integration.site import HOLD, KEY, InProcess, shell, until, worker_processes


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return tmp_path / "release"


def hold(
    site: InProcess, release: Path, request: str = "hold", **config: object
) -> tuple[str, str]:
    """Start a job; return it with the key of its one worker."""
    job = site.submit(request, [shell(HOLD, env={"RELEASE": str(release)})], **config)
    return job, site.key_of(job)


def rejection_kind(response: requests.Response) -> str:
    """Return the kind of a rejection."""
    assert response.status_code == 422, response.text
    return str(response.json()["type"]).rstrip("/").replace("#", "/").rpartition("/")[2]


@pytest.mark.parametrize("forged", [0, 2, 3])
def test_a_worker_cannot_lie_about_its_depth(site: InProcess, release: Path, forged: int) -> None:
    job, key = hold(site, release)

    assert rejection_kind(site.post("x", [shell("true")], key=key, current_depth=forged)) == (
        "depth-mismatch"
    )

    assert site.get(f"/jobs?parent={job}")["total"] == 0
    accepted = site.post("x", [shell("true")], key=key, current_depth=1)
    assert site.get(f"/jobs/{accepted.json()['job_id']}")["depth"] == 1
    release.touch()
    assert site.wait(job)["status"] == "completed"


def test_no_child_job_is_deeper_than_the_root_allows(site: InProcess, release: Path) -> None:
    job, key = hold(site, release, max_recursion_depth=1)
    body = [shell(HOLD, env={"RELEASE": str(release)})]
    child = site.post("hold too", body, key=key, max_recursion_depth=9)
    assert child.json()["left"]["depth"] == 0
    assert child.json()["caller_left"]["depth"] == 1
    below = site.key_of(job, "worker_1_1", 1)

    answer = site.post("deeper", [shell("true")], key=below)

    assert rejection_kind(answer) == "limit-depth"
    assert answer.json()["left"]["depth"] == 0
    release.touch()
    assert site.wait(job)["status"] == "completed"


def test_recursion_can_be_forbidden(site: InProcess, release: Path) -> None:
    job, key = hold(site, release, enable_recursion=False)

    assert rejection_kind(site.post("x", [shell("true")], key=key)) == "recursion-disabled"

    release.touch()
    assert site.wait(job)["status"] == "completed"


def test_child_jobs_of_a_worker_are_limited(make_site: MakeSite, release: Path) -> None:
    site = make_site(limits={"max_child_jobs_per_worker": 2})
    job, key = hold(site, release)
    for number in range(2):
        assert site.post(f"part {number}", [shell("true")], key=key).status_code == 202

    assert rejection_kind(site.post("one more", [shell("true")], key=key)) == "limit-children"

    assert site.post("part 0", [shell("true")], key=key).json()["duplicate"] is True
    release.touch()
    assert site.wait(job)["status"] == "completed"


def test_descendants_of_a_root_job_are_limited(make_site: MakeSite, release: Path) -> None:
    site = make_site(limits={"max_child_jobs_per_root": 2})
    job, key = hold(site, release)
    site.post("part", [shell(HOLD, env={"RELEASE": str(release)})], key=key)
    below = site.key_of(job, "worker_1_1", 1)
    assert site.post("part of the part", [shell("true")], key=below).status_code == 202

    for each in (key, below):
        assert (
            rejection_kind(site.post("one more", [shell("true")], key=each)) == "limit-descendants"
        )

    release.touch()
    assert site.wait(job)["status"] == "completed"


def test_workers_of_a_job_tree_are_limited(site: InProcess, release: Path) -> None:
    job, key = hold(site, release, max_total_workers=3)
    assert rejection_kind(site.post("three", [shell("true")] * 3, key=key)) == "limit-workers"
    # A child job cannot raise its root job's value.
    assert (
        rejection_kind(site.post("three", [shell("true")] * 3, key=key, max_total_workers=100))
        == "limit-workers"
    )

    answer = site.post("two", [shell("true")] * 2, key=key)

    assert answer.status_code == 202
    assert answer.json()["left"]["workers"] == 0
    release.touch()
    assert site.wait(job)["status"] == "completed"
    assert (
        rejection_kind(site.post("four", [shell("true")] * 4, max_total_workers=3))
        == "limit-workers"
    )


def test_tasks_of_a_job_are_limited(make_site: MakeSite) -> None:
    site = make_site(limits={"max_tasks_per_job": 3})

    assert rejection_kind(site.post("x", [shell("true")] * 4)) == "limit-tasks"
    assert rejection_kind(site.post("- one\n- two\n- three\n- four")) == "limit-tasks"

    assert site.get("/jobs")["total"] == 0
    assert site.run("x", [shell("true")] * 3)["status"] == "completed"


def test_a_job_ends_when_its_wall_time_is_over(site: InProcess) -> None:
    tasks = [shell("echo kept"), shell("sleep 60")]

    ended = site.run("slow", tasks, max_wall_seconds=1)

    first, second = ended["results"]["tasks"]
    assert (ended["status"], first["status"], second["status"]) == ("partial", "success", "timeout")
    assert "max_wall_seconds" in second["reason"]
    assert not worker_processes(ended["job_id"])


def test_a_request_beyond_a_ceiling_is_rejected(make_site: MakeSite) -> None:
    site = make_site(limits={"max_workers": 10, "max_depth": 4, "max_wall_seconds": 100})

    assert rejection_kind(site.post("x", max_workers=11)) == "limit-workers"
    assert rejection_kind(site.post("x", max_recursion_depth=5)) == "limit-depth"
    assert rejection_kind(site.post("x", max_wall_seconds=101)) == "limit-wall"


BOMB = """
import json, os, sys, urllib.error, urllib.request
started = 0
while True:
    body = {"request": f"{os.environ['ORCHESTRATOR_WORKER_ID']} {started}",
            "tasks": [{"agent": "shell", "command": [sys.executable, __file__]}]}
    request = urllib.request.Request(
        os.environ["ORCHESTRATOR_API_URL"] + "/api/v1/orchestrate",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "X-API-Key": os.environ["ORCHESTRATOR_API_KEY"]},
    )
    try:
        urllib.request.urlopen(request, timeout=60).read()
    except urllib.error.HTTPError as error:
        print(json.loads(error.read())["type"])
        break
    started += 1
"""


def test_a_recursion_bomb_stops_at_the_exact_limits(make_site: MakeSite, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.py"
    bomb.write_text(BOMB)
    site = make_site(limits={"max_child_jobs_per_worker": 3, "max_child_jobs_per_root": 30})

    ended = site.run("bomb", [shell(f"python3 {bomb}")], max_recursion_depth=2)

    # 3 child jobs with 3 child jobs each: the limit on depth is reached first.
    jobs = site.get("/jobs?page_size=100")["jobs"]
    assert ended["status"] == "completed"
    assert sorted(job["depth"] for job in jobs) == [0, *[1] * 3, *[2] * 9]
    assert not worker_processes(ended["job_id"])


@pytest.mark.slow
def test_a_deeper_bomb_stops_at_the_descendants_of_its_root(
    make_site: MakeSite, tmp_path: Path
) -> None:
    bomb = tmp_path / "bomb.py"
    bomb.write_text(BOMB)
    site = make_site(limits={"max_child_jobs_per_root": 30})

    ended = site.run("bomb", [shell(f"python3 {bomb}")], max_recursion_depth=10)

    assert site.get("/jobs")["total"] == 31
    assert ended["status"] == "completed"
    assert not worker_processes(ended["job_id"])


def test_what_an_ancestor_was_asked_is_refused(site: InProcess, release: Path) -> None:
    tasks = [shell(HOLD, env={"RELEASE": str(release)})]
    job, key = hold(site, release, "Do it  all")

    assert rejection_kind(site.post("do it ALL", tasks, key=key)) == "cycle"
    site.post("another part", tasks, key=key)
    below = site.key_of(job, "worker_1_1", 1)
    assert rejection_kind(site.post("do it all", tasks, key=below)) == "cycle"
    assert rejection_kind(site.post("another part", tasks, key=below)) == "cycle"

    release.touch()
    assert site.wait(job)["status"] == "completed"


def test_a_worker_cannot_hand_on_its_own_task_as_it_is(site: InProcess, release: Path) -> None:
    task = shell(HOLD, env={"RELEASE": str(release)}, prompt="Write the parser")
    job = site.submit("Build a compiler", [task])
    key = site.key_of(job)

    assert rejection_kind(site.post("write  the parser", key=key, agent="shell")) in (
        "cycle",
        "no-command",
    )
    assert rejection_kind(site.post("write the parser", key=key, agent="survey")) == "cycle"

    release.touch()
    assert site.wait(job)["status"] == "completed"


def test_one_idempotency_key_makes_one_job(site: InProcess) -> None:
    body = {"request": "once", "tasks": [shell("true")]}

    def post(_: int) -> requests.Response:
        return site.call("POST", "/orchestrate", body, headers={"Idempotency-Key": "k-1"})

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(post, range(10)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert not any("limits_notice" in answer.json() for answer in answers), "no limit is set"
    assert sum(not answer.json().get("duplicate") for answer in answers) == 1
    assert site.get("/jobs")["total"] == 1
    site.wait(answers[0].json()["job_id"])
    again = post(0).json()
    assert again["duplicate"] is True
    # The job has ended: its workers start nothing more.
    assert again["left"]["depth"] == again["left"]["wall_seconds"] == 0
    other = site.call(
        "POST", "/orchestrate", {"request": "other"}, headers={"Idempotency-Key": "k-1"}
    )
    assert rejection_kind(other) == "idempotency-mismatch"


def test_a_repeated_idempotency_key_with_other_settings_is_rejected(site: InProcess) -> None:
    def post(config: dict[str, object]) -> requests.Response:
        body = {"request": "once", "tasks": [shell("true")], "config": config}
        return site.call("POST", "/orchestrate", body, headers={"Idempotency-Key": "k-2"})

    job_id = post({"max_retries": 1, "labels": {"team": "a"}}).json()["job_id"]
    other = post({"max_retries": 2, "labels": {"team": "a"}})
    assert rejection_kind(other) == "idempotency-mismatch"
    assert job_id in other.json()["detail"]
    site.wait(job_id)
    assert rejection_kind(post({})) == "idempotency-mismatch"
    same = post({"labels": {"team": "a"}, "max_retries": 1}).json()
    assert (same["job_id"], same["duplicate"]) == (job_id, True)


def test_a_repeated_idempotency_key_of_a_job_of_an_older_version_gets_this_job(
    site: InProcess,
) -> None:
    def post(config: dict[str, object]) -> requests.Response:
        body = {"request": "once", "tasks": [shell("true")], "config": config}
        return site.call("POST", "/orchestrate", body, headers={"Idempotency-Key": "k-3"})

    job_id = post({"max_retries": 1}).json()["job_id"]
    site.wait(job_id)
    store = site.manager.parts.store
    job = store.job(job_id)
    assert job is not None
    # An older version stored no fingerprint of the settings.
    store.save(StateChange(jobs=[replace(job, config=replace(job.config, requested=""))]))
    same = post({"max_retries": 1}).json()
    assert (same["job_id"], same["duplicate"]) == (job_id, True)


def test_workers_of_two_trees_may_use_the_same_idempotency_key(
    site: InProcess, release: Path
) -> None:
    found = []
    for name in ("one tree", "another tree"):
        job, key = hold(site, release, name)
        answer = site.call(
            "POST",
            "/orchestrate",
            {"request": f"part of {name}", "tasks": [shell("true")]},
            key=key,
            headers={"Idempotency-Key": "build"},
        )
        assert answer.status_code == 202, answer.text
        below = site.get(f"/jobs?parent={job}")["jobs"]
        assert [each["job_id"] for each in below] == [answer.json()["job_id"]]
        found.append(job)
    release.touch()
    assert [site.wait(job)["status"] for job in found] == ["completed"] * 2


def test_a_request_may_use_more_slots_than_is_usual_here(
    make_site: MakeSite, effects: Path
) -> None:
    site = make_site(workers={"max_workers": 1})
    # Each worker waits until all four run.
    meet = f"echo x >> {effects}; until [ $(wc -l < {effects}) -ge 4 ]; do sleep 0.02; done"

    ended = site.run("together", [shell(meet)] * 4, max_workers=4, default_timeout=20)

    assert ended["status"] == "completed"


def test_a_key_that_ends_between_its_check_and_the_submission_starts_nothing(
    site: InProcess, release: Path
) -> None:
    job, key = hold(site, release)
    service = site.manager.service
    caller = service.callers.of_key(key)
    release.touch()
    site.wait(job)

    from orchestrator.core.errors import Unauthorized
    from orchestrator.core.model.job import TaskSpec
    from orchestrator.core.model.submission import Submission

    late = Submission(request="late", tasks=(TaskSpec(id="a", command="true", agents=("shell",)),))
    with pytest.raises(Unauthorized):
        service.submissions.submit(caller, late)
    assert site.get("/jobs")["total"] == 1
    assert until(lambda: site.manager.parts.supervisor.alive, "the loop still runs")


def test_the_answer_to_a_refusal_is_json_with_what_to_do(site: InProcess) -> None:
    answer = site.call(
        "POST",
        "/orchestrate",
        {"request": "x", "tasks": [{"command": "x", "agent": "none"}]},
        key=KEY,
    )

    assert rejection_kind(answer) == "unknown-agent"
    assert "shell, survey; or add an agent under 'agents' in config.yaml" in answer.json()["detail"]


def test_a_refused_child_job_is_in_the_log_the_events_and_the_reports(
    site: InProcess, release: Path
) -> None:
    job, key = hold(site, release, max_recursion_depth=0)

    assert rejection_kind(site.post("go deeper", [shell("true")], key=key)) == "limit-depth"

    release.touch()
    site.wait(job)
    log = (site.directory(job) / "logs" / "orchestrator.log").read_text()
    [line] = [line for line in log.splitlines() if "child_job_refused" in line]
    assert f"job={job} worker_1 limit=limit-depth" in line and '"go deeper"' in line
    stream = site.call("GET", f"/jobs/{job}/events")
    assert "event: child_job_refused" in stream.text
    assert site.get(f"/jobs/{job}")["workers"][0]["refused_child_jobs"] == 1
    figures = json.loads((site.directory(job) / "reports" / "analytics.json").read_text())
    assert figures["refused_child_jobs"] == 1
    final = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "1 child job rejected because of a limit or a cycle" in final
    timeline = (site.directory(job) / "reports" / "timeline.md").read_text()
    assert "| Child jobs rejected by a limit or as a cycle | 1 |" in timeline


@pytest.mark.usefixtures("spawning")
def test_a_child_job_that_a_worker_of_a_child_job_could_not_start_is_in_the_final_result(
    site: InProcess,
) -> None:
    deeper = "orchestrator spawn deeper --command true || true"
    child = f'orchestrator spawn child --command "{deeper}" --wait'

    ended = site.run("x", [shell(child)], max_recursion_depth=1)

    rejected = "1 child job rejected because of a limit or a cycle"
    final = (site.directory(ended["job_id"]) / "FINAL_RESULT.md").read_text()
    assert (ended["status"], ended["reason"]) == ("completed", rejected), final
    assert final.startswith("# Completed") and f"Note: {rejected}" in final


def test_the_remaining_quota_is_the_same_in_every_answer(site: InProcess, release: Path) -> None:
    job, key = hold(site, release, max_total_workers=4, max_recursion_depth=2)
    body = [shell(HOLD, env={"RELEASE": str(release)})]

    answer = site.post("child", body, key=key).json()
    child = answer["job_id"]

    def counted(left: dict[str, int]) -> dict[str, int]:
        return {name: left[name] for name in left if name != "wall_seconds"}

    own = {"depth": 1, "child_jobs": 20, "child_jobs_in_root": 999, "workers": 2}
    assert counted(answer["left"]) == counted(site.status(child)["left"]) == own
    assert counted(site.get(f"/jobs/{child}")["left"]) == own
    # The caller's depth is one less, and it has started one of its 20 child jobs.
    assert counted(answer["caller_left"]) == {**own, "depth": 2, "child_jobs": 19}
    assert counted(site.status(job)["left"]) == {**own, "depth": 2}
    again = site.post("child", body, key=key).json()
    assert again["duplicate"] and counted(again["caller_left"]) == counted(answer["caller_left"])
    over = site.post("too many", [shell("true")] * 3, key=key).json()
    assert over["left"]["workers"] == 2
    release.touch()
    site.wait(job)
    assert set(site.status(job)["left"].values()) == {0}
