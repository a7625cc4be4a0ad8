"""Limits of keys: rejections name the limit, and the time when it resets."""

from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.conftest import MakeSite
from tests.integration.site import HOLD, KEY, Answer, InProcess, shell, until

pytestmark = pytest.mark.slow

CI = "the-key-of-the-build-machine"


def a_site(make_site: MakeSite, **limits: Any) -> InProcess:
    key = {"name": "ci", "key": CI, "scopes": ["submit"], "limits": limits}
    return make_site(api={"port": 0, "api_key": KEY, "keys": [key]})


def hold(release: Path) -> Answer:
    return shell(HOLD, env={"RELEASE": str(release)})


def refusal(answer: requests.Response, kind: str, limit: str) -> Answer:
    assert answer.status_code == 429, answer.text
    problem: Answer = answer.json()
    assert (problem["type"], problem["limit"]) == (kind, limit)
    assert limit in problem["detail"]
    assert int(answer.headers["Retry-After"]) >= 1
    return problem


def test_unfinished_jobs_of_a_key_are_limited(make_site: MakeSite, tmp_path: Path) -> None:
    site, release = a_site(make_site, max_running_jobs=2), tmp_path / "release"
    jobs = [site.post("hold", [hold(release)], key=CI).json()["job_id"] for _ in range(2)]

    problem = refusal(
        site.post("one more", [shell("true")], key=CI),
        "limit-running-jobs",
        "api.keys[ci].limits.max_running_jobs",
    )
    assert (problem["most"], problem["used"], problem["free_at"]) == (2, 2, None)
    assert site.post("of another key", [shell("true")]).status_code == 202

    release.touch()
    for job in jobs:
        site.wait(job)
    assert site.post("one more", [shell("true")], key=CI).status_code == 202


def test_each_key_has_its_own_rate_of_submissions(make_site: MakeSite) -> None:
    site = a_site(make_site, submissions_per_minute=1)
    assert site.post("one", [shell("true")], key=CI).status_code == 202
    problem = refusal(
        site.post("two", [shell("true")], key=CI),
        "rate-limit",
        "api.keys[ci].limits.submissions_per_minute",
    )
    assert (problem["most"], problem["used"]) == (1, 1)
    assert problem["free_at"].endswith("Z")
    for _ in range(3):
        assert site.post("another key", [shell("true")]).status_code == 202


def test_jobs_of_a_key_share_its_workers(make_site: MakeSite, tmp_path: Path) -> None:
    site, release = a_site(make_site, max_workers=2), tmp_path / "release"
    refused = site.post("too many", [shell("true")], key=CI, max_workers=3)
    assert refused.status_code == 422
    assert "above the limit 2 of the key" in refused.json()["detail"]

    tasks = [hold(release), hold(release)]
    jobs = [site.post("hold", tasks, key=CI).json()["job_id"] for _ in range(2)]
    assert site.get(f"/jobs/{jobs[0]}")["config"]["max_workers"] == 2
    until(lambda: site.get("/stats")["slots"]["running"] == 2, "two of the key run")
    free = site.submit("of another key", [hold(release)])
    until(lambda: site.get("/stats")["slots"]["running"] == 3, "another key's runs")
    counts = [site.get(f"/jobs/{job}")["workers"] for job in jobs]
    assert [sum(each["status"] == "running" for each in one) for one in counts] == [2, 0]
    release.touch()
    for job in (*jobs, free):
        assert site.wait(job)["status"] == "completed"


def test_the_cost_of_a_key_in_a_day_is_limited(make_site: MakeSite, tmp_path: Path) -> None:
    site, release = a_site(make_site, max_cost_usd_per_day=1.0), tmp_path / "release"
    job = site.post("hold", [hold(release)], key=CI).json()["job_id"]
    worker = site.key_of(job)
    answer_to_usage = site.call("POST", "/usage", {"cost_usd": 1.5}, key=worker).json()
    assert answer_to_usage == {"stop": "", "waiting": False, "capped": True}

    limit = "api.keys[ci].limits.max_cost_usd_per_day"
    answer = site.post("one more", [shell("true")], key=CI)
    problem = refusal(answer, "limit-cost-per-day", limit)
    assert (problem["most"], problem["used"]) == (1.0, 1.5)
    assert problem["free_at"].endswith("T00:00:00Z")
    child = site.post("a part", [shell("true")], key=worker)
    refusal(child, "limit-cost-per-day", limit)
    assert site.post("another key", [shell("true")]).status_code == 202
    release.touch()
    # A command calls no model, so no cap stops it.
    assert site.wait(job)["status"] == "completed"
