"""The calls that keys with names and scopes allow and reject."""

from pathlib import Path

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import HOLD, InProcess, shell

KEYS = {
    name: f"the-key-of-{name}-0123456789"
    for name in ("watcher", "ci", "other-ci", "lead", "second-admin")
}
SCOPES = {
    "watcher": ["read"],
    "ci": ["submit"],
    "other-ci": ["submit"],
    "lead": ["read", "submit"],
    "second-admin": ["admin"],
}
READS = ("", "/status", "/tree", "/results", "/wait?timeout=0", "/logs/worker_1", "/events")


@pytest.fixture
def site(make_site: MakeSite) -> InProcess:
    keys = [{"name": name, "key": KEYS[name], "scopes": SCOPES[name]} for name in KEYS]
    return make_site(api={"port": 0, "api_key": "the-key-of-the-engine-tests", "keys": keys})


def submitted(site: InProcess, name: str) -> str:
    response = site.post(f"by {name}", [shell("echo done")], key=KEYS[name])
    assert response.status_code == 202, response.text
    job_id = str(response.json()["job_id"])
    site.wait(job_id)
    return job_id


def statuses(site: InProcess, job_id: str, name: str) -> set[int]:
    return {site.call("GET", f"/jobs/{job_id}{path}", key=KEYS[name]).status_code for path in READS}


def test_a_key_to_read_sees_all_and_changes_nothing(site: InProcess) -> None:
    job = submitted(site, "ci")

    assert statuses(site, job, "watcher") == {200}
    assert site.call("GET", "/stats", key=KEYS["watcher"]).status_code == 200
    for method, path, body in (
        ("POST", "/orchestrate", {"request": "no"}),
        ("POST", "/orchestrate", "not even a request"),
        ("POST", f"/jobs/{job}/cancel", None),
        ("POST", f"/jobs/{job}/retry", None),
        ("DELETE", f"/jobs/{job}", None),
        ("DELETE", "/jobs/unknown", None),
    ):
        answer = site.call(method, path, body, key=KEYS["watcher"])
        assert (answer.status_code, answer.json()["type"]) == (403, "forbidden"), path
    assert site.get("/jobs")["total"] == 1


def test_a_key_to_submit_sees_and_steers_its_own_jobs_only(site: InProcess, tmp_path: Path) -> None:
    release = tmp_path / "release"
    mine = site.post("own", [shell(HOLD, env={"RELEASE": str(release)})], key=KEYS["ci"]).json()
    worker = site.key_of(mine["job_id"])
    child = site.post("below", [shell("true")], key=worker).json()["job_id"]
    foreign = submitted(site, "other-ci")

    assert statuses(site, foreign, "ci") == {404}
    for method, path in (("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
        path = f"/jobs/{foreign}{path}"
        assert site.call(method, path, key=KEYS["ci"]).status_code == 404
    page = site.get("/jobs", key=KEYS["ci"])
    assert {job["job_id"] for job in page["jobs"]} == {mine["job_id"], child}
    assert page["total"] == 2
    assert site.get(f"/jobs/{child}/status", key=KEYS["ci"])["job_id"] == child
    for call in ("/stats", "/nodes"):
        answer = site.call("GET", call, key=KEYS["ci"])
        assert answer.status_code == 403
        assert "use a key with the scope read or admin" in answer.json()["detail"]
    assert site.call("DELETE", f"/jobs/{mine['job_id']}", key=KEYS["ci"]).status_code == 202
    site.wait(mine["job_id"])


def test_a_change_of_a_visible_job_is_forbidden_not_missing(site: InProcess) -> None:
    own, foreign = submitted(site, "lead"), submitted(site, "ci")

    assert statuses(site, foreign, "lead") == {200}
    for call in ("cancel", "retry"):
        answer = site.call("POST", f"/jobs/{foreign}/{call}", key=KEYS["lead"])
        assert (answer.status_code, answer.json()["type"]) == (403, "forbidden")
    assert site.call("POST", f"/jobs/{own}/cancel", key=KEYS["lead"]).status_code == 200
    assert site.call("POST", "/jobs/unknown/cancel", key=KEYS["lead"]).status_code == 404
    assert site.call("POST", f"/jobs/{own}/cancel", key=KEYS["second-admin"]).status_code == 200


def test_jobs_name_the_key_that_submitted_and_the_one_that_stopped_them(site: InProcess) -> None:
    job = site.post("long", [shell("sleep 60")], key=KEYS["ci"]).json()["job_id"]
    site.call("POST", f"/jobs/{job}/cancel", key=KEYS["second-admin"])
    site.wait(job)

    found = site.get(f"/jobs/{job}")
    assert found["submitted_by"] == "ci"
    assert "second-admin" in found["reason"]


def test_the_same_idempotency_key_of_two_callers_makes_two_jobs(site: InProcess) -> None:
    made = {
        site.call(
            "POST",
            "/orchestrate",
            {"request": "same", "tasks": [shell("true")]},
            key=KEYS[name],
            headers={"Idempotency-Key": "same"},
        ).json()["job_id"]
        for name in ("ci", "other-ci", "ci")
    }
    assert len(made) == 2
