"""A crash at each failpoint while a person decides: nothing is lost or done twice.

The job's tasks come from its caller. A person edits and approves the plan, pauses the job with a
stopped worker, resumes the job, answers a question, and raises the step cap.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.faults.site import BEGIN, END, STORE, FaultSite
from tests.faults.zygote import Zygote
from tests.integration.site import KEY, Answer, shell, until, worker_processes
from tests.support.examples import examples

#: Distance between two failpoints at which a run crashes.
STRIDE, AT_ONCE = examples(54, 4), 3
WITHIN = 120.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def the_plan(site: FaultSite) -> list[Answer]:
    common: Answer = {"env": {"EFFECTS": str(site.effects)}, "retries": 6}
    hold = f"until [ -e {site.folder}/release ]; do sleep 0.02; done; "
    report = (
        "curl -sf -H \"X-API-Key: $ORCHESTRATOR_API_KEY\" -H 'Content-Type: application/json' "
        '-d \'{"steps": 5}\' "$ORCHESTRATOR_API_URL/api/v1/usage" >/dev/null; '
        f"until [ -e {site.folder}/raised ]; do sleep 0.02; done; "
    )
    return [
        shell(BEGIN + hold + END, id="a", **common),
        {"id": "ok", "approve": "Go on?", "depends_on": ["a"]},
        shell(BEGIN + report + END, id="b", depends_on=["ok"], **common),
    ]


def decide(site: FaultSite, method: str, path: str, body: Any, already: tuple[int, ...]) -> None:
    """Repeat a call until a server answers.

    An answer that the call was already made also counts.
    """

    def call() -> requests.Response:
        answer = site.call(method, path, body)
        if answer.status_code in already:
            answer.status_code = 200
        return answer

    site.insist(call)


def reached(site: FaultSite, job: str, what: str, seen: Any) -> None:
    def look() -> bool:
        return bool(seen(site.insist(lambda: site.call("GET", f"/jobs/{job}/status"))))

    until(look, f"{what}; {site.tail()}", WITHIN)


def run(zygote: Zygote, folder: Path, crash: int) -> int:
    """Return how many failpoints the job reached."""
    site = FaultSite(folder, zygote, (crash,), STORE)
    try:
        first = [shell("false", id="a")]
        settings: Answer = {"approve": True, "on_limit": "ask", "max_steps": 5}
        job = site.submit_once(first, **settings)
        path = f"/jobs/{job}"
        decide(site, "PUT", f"{path}/plan", {"tasks": the_plan(site), "version": 1}, (409,))
        decide(site, "POST", f"{path}/approve", {}, (409,))
        reached(site, job, "a runs", lambda _: "start" in site.effects.read_text())
        decide(site, "POST", f"{path}/pause", {"running": "stop"}, ())
        reached(site, job, "a has stopped", lambda it: it["workers"] == {"pending": 3})
        (folder / "release").touch()
        decide(site, "POST", f"{path}/resume", {}, ())
        reached(site, job, "it asks", lambda it: it["workers"].get("waiting"))
        decide(site, "POST", f"{path}/tasks/ok/approve", {"comment": "yes"}, (409,))
        reached(site, job, "it asks about its cap", lambda it: "limit" in it.get("paused", {}))
        (folder / "raised").touch()
        decide(site, "POST", f"{path}/budget", {"max_steps": 50}, (422,))
        check(site, job, site.wait_through(job))
    finally:
        site.end()
    return len(site.reached())


def check(site: FaultSite, job: str, ended: Answer) -> None:
    details = site.tail()
    assert ended["status"] == "completed", (ended, details)
    statuses = [(row["task_id"], row["status"]) for row in ended["results"]["tasks"]]
    assert statuses == [("a", "success"), ("ok", "success"), ("b", "success")], details
    events = site.events_of(job)
    assert [each["seq"] for each in events] == list(range(1, len(events) + 1)), details
    kinds = [each["kind"] for each in events]
    for kind in ("plan_edited", "job_approved", "question_asked", "question_answered"):
        assert kinds.count(kind) == 1, (kind, kinds, details)
    assert kinds.count("limit_asked") == kinds.count("budget_raised") == 1, (kinds, details)
    assert kinds.count("job_paused") == kinds.count("job_resumed") == 2, (kinds, details)
    lines = site.effects.read_text().splitlines()
    assert not [line for line in lines if line.startswith("overlap")], (lines, details)
    assert len(lines) == len(set(lines)), f"an attempt ran twice: {lines}; {details}"
    question = requests.get(
        f"{site.url}/api/v1/jobs/{job}/tasks/ok/question", headers={"X-API-Key": KEY}, timeout=30
    ).json()
    assert (question["decision"], question["comment"]) == ("approve", "yes"), details
    assert not worker_processes(job), details


def test_a_crash_while_a_person_decides_changes_nothing(zygote: Zygote, tmp_path: Path) -> None:
    numbers = count(1, STRIDE)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            batch = [next(numbers) for _ in range(AT_ONCE)]
            folders = [tmp_path / str(number) for number in batch]
            seen = list(pool.map(run, [zygote] * AT_ONCE, folders, batch))
            if any(number > most for number, most in zip(batch, seen, strict=True)):
                return
