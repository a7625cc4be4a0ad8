"""The environment of a worker, and the calls that its key allows."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.security.allowed_environment import ALLOWED, ALLOWED_PREFIXES
from tests.integration.site import HOLD, KEY, InProcess, shell

GIVEN = {
    "ORCHESTRATOR_API_URL",
    "ORCHESTRATOR_API_KEY",
    "ORCHESTRATOR_JOB_ID",
    "ORCHESTRATOR_WORKER_ID",
    "ORCHESTRATOR_DEPTH",
    "ORCHESTRATOR_MAX_DEPTH",
    "ORCHESTRATOR_WORKER_DIR",
    "ORCHESTRATOR_PROJECT_ROOT",
    "ORCHESTRATOR_HOME",
    "ORCHESTRATOR_PYTHON",
    "ORCHESTRATOR_WORKER",
    "ORCHESTRATOR_PORT",
    # Variables that limit upward searches of tools.
    "GIT_CEILING_DIRECTORIES",
    "GOFLAGS",
}


def test_a_worker_sees_its_own_subtree_and_nothing_else(site: InProcess, tmp_path: Path) -> None:
    release = tmp_path / "release"
    task = shell(HOLD, env={"RELEASE": str(release)})
    root, other = site.submit("one", [task, task]), site.submit("other", [task])
    mine, sibling, foreign = site.key_of(root), site.key_of(root, "worker_2"), site.key_of(other)
    child = site.post("mine", [shell("true")], key=mine).json()["job_id"]
    sibling_child = site.post("the sibling's", [shell("true")], key=sibling).json()["job_id"]
    foreign_child = site.post("foreign", [shell("true")], key=foreign).json()["job_id"]

    for path in ("", "/status", "/tree", "/events", "/wait?timeout=0", "/logs/worker_1"):
        for job in (root, other, sibling_child, foreign_child):
            assert site.call("GET", f"/jobs/{job}{path}", key=mine).status_code == 404, path
    for job in (root, other, sibling_child, foreign_child):
        assert site.call("POST", f"/jobs/{job}/cancel", key=mine).status_code == 404
        assert site.call("POST", f"/jobs/{job}/retry", key=mine).status_code == 404
    detail = site.call("GET", f"/jobs/{root}", key=mine).json()["detail"]
    assert detail == f"there is no job {root!r} among this worker's child jobs"
    assert site.get(f"/jobs/{child}/status", key=mine)["job_id"] == child
    assert [job["job_id"] for job in site.get("/jobs", key=mine)["jobs"]] == [child]
    assert site.get("/jobs?depth=0", key=mine)["jobs"] == []
    assert site.call("GET", "/stats", key=mine).status_code == 403
    assert site.call("GET", "/tasks", key=mine).status_code == 403

    release.touch()
    assert site.wait(root)["status"] == site.wait(other)["status"] == "completed"


def test_a_key_dies_with_its_attempt(site: InProcess, tmp_path: Path) -> None:
    release = tmp_path / "release"
    job = site.submit("hold", [shell(HOLD, env={"RELEASE": str(release)})])
    key = site.key_of(job)
    assert site.call("GET", "/jobs", key=key).status_code == 200

    release.touch()
    site.wait(job)

    assert site.call("GET", "/jobs", key=key).status_code == 401
    assert site.post("more", [shell("true")], key=key).status_code == 401


def test_every_attempt_has_a_key_of_its_own(site: InProcess) -> None:
    [row] = site.run("twice", [shell("printenv ORCHESTRATOR_API_KEY >> keys; exit 1", retries=1)])[
        "results"
    ]["tasks"]

    directory = site.directory(site.get("/jobs")["jobs"][0]["job_id"]) / "depth_0" / "worker_1"
    keys = (directory / "keys").read_text().split()
    assert row["attempts"] == 2
    assert len(set(keys)) == 2


def test_the_environment_of_a_worker_is_the_allow_list(
    site: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = 'python3 -c \'import json,os; json.dump(dict(os.environ), open("env", "w"))\''
    task = shell(command, env={"MINE": "yes", "PATH": "/usr/bin:/bin"})

    ended = site.run("look", [task])

    directory = site.directory(ended["job_id"]) / "depth_0" / "worker_1"
    found = json.loads((directory / "env").read_text())
    shells_own = {"PWD", "SHLVL", "_", "OLDPWD"}
    extra = {
        name
        for name in found
        if name not in ALLOWED | GIVEN | shells_own and not name.startswith(ALLOWED_PREFIXES)
    }
    assert extra == {"MINE"}
    assert set(found) >= GIVEN
    assert KEY not in json.dumps(found)
    assert found["ORCHESTRATOR_WORKER_DIR"] == str(directory)
    assert found["ORCHESTRATOR_PROJECT_ROOT"] == str(site.folder / "project")
    assert found["PATH"] == f"{site.folder / 'bin'}{os.pathsep}/usr/bin:/bin"
    assert (found["ORCHESTRATOR_DEPTH"], found["ORCHESTRATOR_MAX_DEPTH"]) == ("0", "3")


def test_a_task_cannot_take_the_marker_off_its_processes(site: InProcess) -> None:
    look = shell("printenv ORCHESTRATOR_WORKER")

    assert site.post("look", [{**look, "env": {"ORCHESTRATOR_WORKER": "x"}}]).status_code == 422
    ended = site.run("look", [look])

    [row] = ended["results"]["tasks"]
    assert row["output"].strip() == f"{ended['job_id']}/worker_1/1"


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_the_no_proxy_of_a_task_still_includes_this_machine(site: InProcess, name: str) -> None:
    ended = site.run("look", [shell(f"printenv {name}", env={name: "example.org"})])

    [row] = ended["results"]["tasks"]
    assert row["output"].strip() == "example.org,localhost,127.0.0.1,::1"


def test_a_worker_calls_the_server_past_a_proxy(site: InProcess) -> None:
    """A proxy for the internet cannot reach this machine, and must not get the worker's key."""
    call = 'curl -sf -H "X-API-Key: $ORCHESTRATOR_API_KEY" "$ORCHESTRATOR_API_URL/api/v1/jobs"'

    ended = site.run("call", [shell(call, env={"http_proxy": "http://127.0.0.1:9"})])

    assert ended["status"] == "completed"
