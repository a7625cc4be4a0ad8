"""Invalid keys on every call; a thousand submissions at once."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from orchestrator.api.openapi.document import document
from tests.faults.site import FaultSite
from tests.faults.zygote import Zygote
from tests.integration.site import HOLD, KEY, shell, until

pytestmark = pytest.mark.slow


@pytest.fixture
def site(zygote: Zygote, tmp_path: Path) -> Iterator[FaultSite]:
    site = FaultSite(tmp_path / "site", zygote, limits={"submissions_per_minute": 400})
    site.start()
    yield site
    site.end()


def calls(job: str) -> list[tuple[str, str]]:
    """Return every call about a job, and /orchestrate."""
    names = {"job_id": job, "worker_id": "worker_1", "name": "FINAL_RESULT.md"}
    names |= {"task_id": "task_1", "lock": "src", "task": job}
    return [
        (method.upper(), re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "x"), path))
        for path, methods in json.loads(document())["paths"].items()
        for method, call in methods.items()
        if method in ("get", "post", "delete") and call.get("security") != []
    ]


def statuses(site: FaultSite, job: str, key: str) -> dict[tuple[str, str], int]:
    headers = {"X-API-Key": key} if key else {}
    body = {"request": "x", "tasks": [shell("true")]}
    return {
        (method, path): requests.request(
            method,
            site.url + path,
            json=body if path.endswith("/orchestrate") else {} if method == "POST" else None,
            headers=headers,
            timeout=30,
        ).status_code
        for method, path in calls(job)
    }


def test_keys_that_are_dead_foreign_or_made_up_open_nothing(
    site: FaultSite, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    ended = site.submit("ended", [shell("printenv ORCHESTRATOR_API_KEY > .k && mv .k key")])
    dead = site.key_of(ended)
    site.wait(ended)
    running = site.submit("running", [shell(HOLD, env={"RELEASE": str(release)})])
    foreign = site.key_of(running)

    for key in (dead, "", "made-up", KEY[:-1], KEY + "x"):
        found = statuses(site, ended, key)
        # The API for other tools answers an invalid key as these tools do.
        of_tools = {call: found.pop(call) for call in [*found] if "/api/v1/tasks" in call[1]}
        assert set(of_tools.values()) == {403 if key else 401}, (key, of_tools)
        assert len(found) > 12 and set(found.values()) == {401}, (key, found)
    of_others = {
        call: status for call, status in statuses(site, ended, foreign).items() if ended in call[1]
    }
    # A call of people refuses every worker (403), and a wrong body is refused before the job is
    # looked up, as is a read without a parameter that it needs (422): neither shows the job.
    assert len(of_others) > 8 and set(of_others.values()) <= {403, 404, 422}, of_others
    # All calls of the API for other tools are for people.
    reads = {
        status
        for (method, path), status in of_others.items()
        if method == "GET" and "/api/v1/tasks" not in path
    }
    assert reads <= {404, 422}, of_others
    release.touch()
    site.wait(running)


def test_a_thousand_submissions_at_once_lose_no_job(site: FaultSite) -> None:
    with requests.Session() as session, ThreadPoolExecutor(50) as threads:
        session.headers["X-API-Key"] = KEY
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=50))
        url = f"{site.url}/api/v1/orchestrate"

        def post(number: int) -> requests.Response:
            body = {"request": f"number {number}", "tasks": [shell("true")]}
            return session.post(url, json=body, timeout=60)

        answers = list(threads.map(post, range(1000)))

    counts = Counter(answer.status_code for answer in answers)
    assert set(counts) == {202, 429}, counts
    assert counts[202] >= 400
    assert all(int(each.headers["Retry-After"]) > 0 for each in answers if each.status_code == 429)
    accepted = {each.json()["job_id"] for each in answers if each.status_code == 202}
    assert len(accepted) == counts[202] == site.get("/jobs")["total"]
    until(lambda: site.get("/jobs?status=completed")["total"] == len(accepted), "all end", 60)
