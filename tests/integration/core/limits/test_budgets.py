"""Cost, tokens, and steps: workers report them live, and the server compares them with caps."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.site import HOLD, KEY, InProcess, shell, until, worker_processes

pytestmark = pytest.mark.slow


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return tmp_path / "release"


def hold(release: Path, **more: Any) -> dict[str, Any]:
    return shell(HOLD, env={"RELEASE": str(release)}, **more)


def report(site: InProcess, key: str, **usage: object) -> str:
    """Report usage. Return the reason why the worker must stop, or an empty text."""
    response = site.call("POST", "/usage", usage, key=key)
    assert response.status_code == 200, response.text
    return str(response.json()["stop"])


def test_what_a_worker_uses_shows_while_it_runs(site: InProcess, release: Path) -> None:
    job = site.submit("use", [hold(release)])
    key = site.key_of(job)

    assert report(site, key, steps=1, input_tokens=100, cost_usd=0.25) == ""
    assert report(site, key, steps=2, input_tokens=250, cost_usd=0.5) == ""
    usage = site.get(f"/jobs/{job}")["usage"]
    release.touch()
    site.wait(job)

    assert usage == {"steps": 2, "input_tokens": 250, "cost_usd": 0.5}
    assert site.get(f"/jobs/{job}")["usage"] == usage
    assert "worker_used" in [event.kind for event in site.manager.parts.store.events(job, 0, 100)]


def test_usage_of_descendants_shows_in_the_tree(site: InProcess, release: Path) -> None:
    job = site.submit("use", [hold(release)])
    key = site.key_of(job)
    report(site, key, steps=1, cost_usd=0.25)
    site.post("child", [hold(release)], key=key)
    report(site, site.key_of(job, "worker_1_1", depth=1), steps=2)

    tree = site.get(f"/jobs/{job}/tree")
    release.touch()
    site.wait(job)

    [above] = tree["workers"]
    [below] = above["child_jobs"]
    assert tree["usage"] == {"steps": 3, "cost_usd": 0.25, "cost_partial": True}
    assert above["usage"] == {"steps": 1, "cost_usd": 0.25}
    assert below["usage"] == below["workers"][0]["usage"] == {"steps": 2}


def test_a_job_over_its_limit_is_stopped_with_all_its_processes(
    site: InProcess, release: Path
) -> None:
    job = site.submit("use", [hold(release), hold(release)], max_cost_usd=1.0)
    first, second = site.key_of(job), site.key_of(job, "worker_2")

    assert report(site, first, cost_usd=0.6) == ""
    assert report(site, second, cost_usd=0.4).startswith("max_cost_usd (1 USD)")
    ended = site.wait(job)

    assert ended["status"] == "failed"
    assert "max_cost_usd (1 USD)" in ended["reason"]
    until(lambda: not worker_processes(job), "no process is left")
    again = site.call("POST", f"/jobs/{job}/retry", {}, key=KEY)
    assert again.status_code == 422 and "max_cost_usd" in again.text
    release.touch()
    more = {"config": {"max_cost_usd": 5.0}}
    assert site.call("POST", f"/jobs/{job}/retry", more, key=KEY).status_code == 202
    assert site.wait(job)["status"] == "completed"


def test_the_answer_to_usage_states_that_child_jobs_are_at_work(
    site: InProcess, release: Path
) -> None:
    job = site.submit("use", [hold(release)])
    key = site.key_of(job)
    assert site.call("POST", "/usage", {}, key=key).json() == {
        "stop": "",
        "waiting": False,
        "capped": False,
    }

    site.post("child", [hold(release)], key=key)

    assert site.call("POST", "/usage", {}, key=key).json() == {
        "stop": "",
        "waiting": True,
        "capped": False,
    }
    release.touch()
    site.wait(job)


def test_a_child_job_gets_what_is_left_and_no_more(site: InProcess, release: Path) -> None:
    job = site.submit("use", [hold(release)], max_tokens=1000)
    key = site.key_of(job)
    report(site, key, output_tokens=400)

    greedy = site.post("child", [shell("true")], key=key, max_tokens=5000).json()
    assert greedy["left"]["tokens"] == 600
    report(site, key, output_tokens=999)
    assert report(site, key, output_tokens=1000).startswith("max_tokens")
    assert site.wait(job)["status"] == "failed"


def test_a_task_has_limits_of_its_own(site: InProcess, release: Path) -> None:
    job = site.submit("use", [hold(release, max_steps=5)])
    key = site.key_of(job)
    assert report(site, key, steps=4) == ""
    assert report(site, key, steps=5).startswith("max_steps (5 steps) of the worker's task")
    release.touch()
    assert site.wait(job)["workers"] == {"success": 1}
    assert site.get(f"/jobs/{job}")["usage"]["steps"] == 5


def test_only_a_worker_reports_its_usage(site: InProcess) -> None:
    assert site.call("POST", "/usage", {"steps": 1}, key=KEY).status_code == 403
    assert site.call("POST", "/usage", {"steps": 1}, key="x" * 30).status_code == 401


@pytest.mark.parametrize("body", [{"steps": -1}, {"cost_usd": "1"}, {"steps": 1.5}, {"money": 1}])
def test_an_invalid_usage_is_rejected(
    site: InProcess, release: Path, body: dict[str, object]
) -> None:
    job = site.submit("use", [hold(release)])
    response = site.call("POST", "/usage", body, key=site.key_of(job))
    assert response.status_code in (400, 422), response.text
    release.touch()
    site.wait(job)
