"""A job that reaches a limit asks a person, who continues or stops it."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MakeServer, MakeSite
from tests.integration.site import HOLD, Site, shell, until, worker_processes

pytestmark = pytest.mark.slow
ASKS: dict[str, Any] = {"on_limit": "ask", "max_retries": 0}


def hold(release: Path) -> dict[str, Any]:
    return shell(f"rm -f key; {HOLD}", env={"RELEASE": str(release)})


def uses(site: Site, job: str, **usage: object) -> str:
    response = site.call("POST", "/usage", usage, key=site.key_of(job))
    assert response.status_code == 200, response.text
    return str(response.json()["stop"])


def has_stopped(site: Site, job: str) -> bool:
    return site.status(job)["workers"] == {"pending": 1} and not worker_processes(job)


def test_a_job_at_its_cap_waits_for_a_person_and_continues_with_a_larger_cap(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server, release = make_server(), tmp_path / "release"
    job = server.submit("use", [hold(release)], max_cost_usd=1.0, **ASKS)

    assert uses(server, job, cost_usd=1.0) == ""
    until(lambda: has_stopped(server, job), "it is paused")
    server.kill()
    server.start()
    paused = server.status(job)["paused"]
    assert (paused["cause"], paused["limit"]) == ("limit", "max_cost_usd")
    in_file = until(lambda: server.status_file(job)["paused"], "status.json shows the pause")
    assert in_file.keys() == paused.keys() and in_file["limit"] == "max_cost_usd"
    [need] = server.get("/needs")["needs"]
    assert (need["kind"], need["command"].split()[-4:]) == (
        "limit",
        ["budget", job, "--max-cost", "USD"],
    )
    assert server.call("POST", f"/jobs/{job}/resume").status_code == 409
    assert server.call("POST", f"/jobs/{job}/budget", {}).status_code == 422
    same = server.call("POST", f"/jobs/{job}/budget", {"max_cost_usd": 1.0})
    assert same.status_code == 422
    other = server.call("POST", f"/jobs/{job}/budget", {"max_wall_seconds": 90_000.0})
    assert other.status_code == 422, "above the ceiling"
    release.touch()

    raised = server.call("POST", f"/jobs/{job}/budget", {"max_cost_usd": 2.0})

    assert raised.status_code == 202, raised.text
    assert server.wait(job)["status"] == "completed"
    assert server.get(f"/jobs/{job}")["config"]["max_cost_usd"] == 2.0
    assert server.get(f"/jobs/{job}")["usage"]["cost_usd"] == 1.0
    assert len(server.get(f"/jobs/{job}/workers/worker_1")["attempts"]) == 2
    assert server.get("/needs")["needs"] == []


def test_a_job_at_its_cap_is_stopped_if_no_person_decides(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, release = make_site(), tmp_path / "release"
    job = site.submit("use", [hold(release)], max_steps=3, ask_seconds=1.0, **ASKS)

    assert uses(site, job, steps=3) == ""

    ended = site.wait(job)
    assert ended["status"] == "failed"
    assert "max_steps (3 steps)" in ended["reason"]
    assert not worker_processes(job)


def test_a_job_at_its_wall_time_waits_for_a_person(make_site: MakeSite, tmp_path: Path) -> None:
    site, release = make_site(), tmp_path / "release"
    job = site.submit("use", [hold(release)], max_wall_seconds=1.0, default_timeout=60, **ASKS)
    until(lambda: site.status(job).get("paused"), "it asks")
    until(lambda: has_stopped(site, job), "it is paused")
    release.touch()

    more = site.call("POST", f"/jobs/{job}/budget", {"max_wall_seconds": 60.0})

    assert more.status_code == 202, more.text
    assert site.wait(job)["status"] == "completed"
