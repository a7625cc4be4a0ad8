"""Jobs that an agent plans: valid and invalid plans, retries, stops, and restarts."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.events import EventKind
from tests.integration.conftest import MakeServer, MakeSite
from tests.integration.site import (
    Answer,
    InProcess,
    Site,
    complete_lines,
    shell,
    until,
    worker_processes,
)
from tests.support.examples import nightly
from tests.support.project import Project, agents

#: An agent. Each call executes the next line of the file ``script`` next to it. As a worker, the
#: agent prints its prompt.
AGENT = """\
import json, os, pathlib, sys, time
asked = sys.stdin.read()
here = pathlib.Path(__file__).parent
if "planner" not in os.environ["ORCHESTRATOR_WORKER_ID"]:
    print("did: " + json.loads(pathlib.Path("task.json").read_text())["title"])
    raise SystemExit
with open(here / "asked", "a") as log:
    log.write(json.dumps(asked) + "\\n")
times = len((here / "asked").read_text().splitlines())
answers = json.loads((here / "answers").read_text())
answer = answers[min(times, len(answers)) - 1]
if answer == "hang":
    time.sleep(600)
if answer == "wait":
    while not (here / "go").exists():
        time.sleep(0.01)
    answer = json.loads((here / "then").read_text())
print("Thinking about it {really}.")
print("```json\\n" + (answer if isinstance(answer, str) else json.dumps(answer)) + "\\n```")
"""


def a_task(name: str, *needs: str, **more: Any) -> Answer:
    fields = {"title": f"Part {name}", "prompt": f"Do {name}", **more}
    return {"id": name, "depends_on": needs, **fields}


def a_plan(*tasks: Answer) -> Answer:
    return {"tasks": list(tasks)}


GOOD = a_plan(a_task("a"), a_task("b"), a_task("c", "a", "b"))
CIRCLE = a_plan(a_task("a", "b"), a_task("b", "a"))
OVERLAP = a_plan(a_task("a", files=["src/x.py"]), a_task("b", files=["./src/x.py"]))


class Planner:
    """An agent in config.yaml with scripted answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "agent.py").write_text(AGENT)

    def answers(self, *answers: Any) -> None:
        (self.folder / "answers").write_text(json.dumps(answers))

    @property
    def asked(self) -> list[str]:
        """Return all prompts that the agent got."""
        return [json.loads(line) for line in complete_lines(self.folder / "asked")]

    @property
    def settings(self) -> dict[str, Any]:
        command = [sys.executable, str(self.folder / "agent.py")]
        return {"thinker": {"command": command}}


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(tmp_path / "planner")


@pytest.fixture
def planning_site(make_site: MakeSite, planner: Planner) -> InProcess:
    return make_site(agents=planner.settings)


def submit_planned(site: Site, request: str = "Build it. Test it.", **config: Any) -> str:
    """Submit a job that the agent plans and runs."""
    response = site.post(request, **{"planner": "thinker", "agent": "thinker", **config})
    assert response.status_code == 202, response.text
    assert response.json()["status"] == "planning"
    return str(response.json()["job_id"])


def _reason(site: Site, job_id: str) -> str:
    return str(site.get(f"/jobs/{job_id}/status")["reason"])


def titles(job: Answer) -> Sequence[str]:
    return [task["title"] for task in job["tasks"]]


def test_a_planned_job_is_accepted_at_once_and_runs_as_planned(
    planning_site: InProcess, planner: Planner
) -> None:
    planner.answers(GOOD)

    job_id = submit_planned(planning_site)
    answer = planning_site.wait(job_id)

    job = planning_site.get(f"/jobs/{job_id}")
    assert answer["status"] == "completed"
    assert titles(job) == ["Part a", "Part b", "Part c"]
    assert [each["worker_id"] for each in answer["results"]["tasks"]] == [
        "worker_1",
        "worker_2",
        "worker_3",
    ]
    assert (job["plan_source"], job["reason"]) == ("thinker", "")
    assert (job["planner"]["worker_id"], job["planner"]["status"]) == ("planner", "success")
    root = planning_site.workspace / f"job_{job_id}"
    assert (root / "depth_0" / "planner" / "prompt.md").exists()
    assert "Thinking" in (root / "logs" / "depth_0_planner.log").read_text()
    assert "planner" not in (root / "status.json").read_text()


def test_the_planner_gets_the_request_and_the_published_schema(
    planning_site: InProcess, planner: Planner
) -> None:
    planner.answers(GOOD)

    job_id = submit_planned(planning_site, "Build a castle.")
    planning_site.wait(job_id)

    (prompt,) = planner.asked
    directory = planning_site.workspace / f"job_{job_id}" / "depth_0" / "planner"
    published = Path(__file__).parents[4] / "plan.schema.json"
    assert "Build a castle." in prompt
    assert (directory / "plan.schema.json").read_text() == published.read_text()
    assert published.read_text().strip() in prompt


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (CIRCLE, "dependency cycle"),
        pytest.param(OVERLAP, "both name the file 'src/x.py'", marks=pytest.mark.nightly),
        pytest.param(
            a_plan(a_task("a", "z")), "depends on unknown task 'z'", marks=pytest.mark.nightly
        ),
        pytest.param(
            a_plan({"id": "a", "title": "A"}),
            "/tasks/0/prompt: is required",
            marks=pytest.mark.nightly,
        ),
        ("Sorry, no.", "no JSON object"),
        *nightly(
            (a_plan(*(a_task(f"t{each}") for each in range(9))), "of 8 used (max_total_workers)")
        ),
    ],
)
def test_an_invalid_plan_is_requested_again_with_the_reason(
    planning_site: InProcess, planner: Planner, bad: Any, why: str
) -> None:
    planner.answers(bad, GOOD)

    job_id = submit_planned(planning_site, max_total_workers=8)
    answer = planning_site.wait(job_id)

    first, second = planner.asked
    job = planning_site.get(f"/jobs/{job_id}")
    assert answer["status"] == "completed"
    assert why not in first
    assert why in second
    assert (job["plan_source"], len(job["tasks"]), len(job["planner"]["attempts"])) == (
        "thinker",
        3,
        2,
    )


MANY = a_plan(*(a_task(f"t{each}") for each in range(15)))
LIST = "\n".join(f"- Port module {each}" for each in range(8))


@pytest.mark.parametrize(
    ("request_", "second", "prompts", "tasks"),
    [
        ("Build it. Test it.", GOOD, 2, 3),
        # The planner's number of modules takes precedence over the rules.
        *nightly(("Port each module.", MANY, 2, 15)),
        (LIST, MANY, 1, 15),
    ],
)
def test_a_planner_is_asked_once_whether_so_many_tasks_are_meant(
    planning_site: InProcess, planner: Planner, request_: str, second: Any, prompts: int, tasks: int
) -> None:
    planner.answers(MANY, second)

    job_id = submit_planned(planning_site, request_, approve=True)
    until(lambda: planning_site.get(f"/jobs/{job_id}")["tasks"], "it is planned")

    assert len(planner.asked) == prompts
    assert ("the plan has 15 tasks" in planner.asked[-1]) == (prompts == 2)
    job = planning_site.get(f"/jobs/{job_id}")
    assert (job["plan_source"], len(job["tasks"])) == ("thinker", tasks)


NO_TASKS = a_plan()


@pytest.mark.parametrize(
    ("answers", "config", "why"),
    [
        pytest.param(
            ["no", "no", GOOD],
            {},
            "the plan was rejected: the answer has no JSON object",
            id="no plan",
        ),
        pytest.param(
            [NO_TASKS, NO_TASKS, GOOD],
            {},
            "the plan was rejected",
            id="an empty plan",
            marks=pytest.mark.nightly,
        ),
        pytest.param(["hang"], {"default_timeout": 2}, "timeout", id="out of time"),
    ],
)
def test_a_planner_that_was_named_and_fails_fails_its_job_and_nothing_starts(
    planning_site: InProcess,
    planner: Planner,
    answers: Sequence[Any],
    config: dict[str, Any],
    why: str,
) -> None:
    planner.answers(*answers)

    job_id = submit_planned(planning_site, **config)
    answer = planning_site.wait(job_id)

    job = planning_site.get(f"/jobs/{job_id}")
    assert (answer["status"], job["plan_source"], job["tasks"]) == ("failed", "none", [])
    assert "plan_fallback" not in job
    assert "thinker created no plan" in answer["reason"]
    assert f"orchestrator retry {job_id}" in answer["reason"]
    assert why in answer["reason"] or job["planner"]["status"] == why
    assert not worker_processes(job_id)


def test_a_job_whose_named_planner_failed_is_planned_by_a_retry(
    planning_site: InProcess, planner: Planner
) -> None:
    planner.answers("no", "no", GOOD)
    job_id = submit_planned(planning_site)
    assert planning_site.wait(job_id)["status"] == "failed"

    assert planning_site.call("POST", f"/jobs/{job_id}/retry").status_code == 202

    assert planning_site.wait(job_id)["status"] == "completed"
    assert planning_site.get(f"/jobs/{job_id}")["plan_source"] == "thinker"


@pytest.mark.parametrize(
    ("answers", "config"),
    [
        pytest.param(["no", "no", GOOD], {}, id="no plan", marks=pytest.mark.nightly),
        pytest.param([NO_TASKS], {}, id="an empty plan"),
        pytest.param(["hang"], {"default_timeout": 2}, id="out of time", marks=pytest.mark.nightly),
    ],
)
def test_auto_plans_by_rules_and_reports_it_before_anything_starts(
    make_site: MakeSite, planner: Planner, answers: Sequence[Any], config: dict[str, Any]
) -> None:
    planner.answers(*answers)
    site = make_site(agents={"thinker": {**planner.settings["thinker"], "plans": True}})

    job_id = submit_planned(site, "Explain it. Describe it.", planner="auto", **config)
    answer = site.wait(job_id)

    job = site.get(f"/jobs/{job_id}")
    assert answer["status"] == "completed"
    assert (job["plan_source"], titles(job)) == ("rules", ["Explain it.", "Describe it."])
    assert job["plan_fallback"]["agent"] == "thinker"
    assert job["plan_fallback"]["reason"].startswith("thinker created no plan: ")
    assert answer["plan_fallback"] == job["plan_fallback"]
    assert answer["reason"].startswith("planned by rules: thinker created no plan: ")
    events = site.manager.parts.store.events(job_id, 0, 1000)
    kinds = [each.kind for each in events]
    planned_event = events[kinds.index(EventKind.JOB_PLANNED)]
    assert kinds.index(EventKind.JOB_PLANNED) < kinds.index(EventKind.WORKER_STARTED)
    assert (planned_event.data["source"], planned_event.data["fallback_from"]) == (
        "rules",
        "thinker",
    )


def test_a_job_can_be_cancelled_while_it_is_planned_and_be_planned_again(
    planning_site: InProcess, planner: Planner
) -> None:
    planner.answers("hang", GOOD)
    job_id = submit_planned(planning_site)
    until(lambda: planner.asked, "the planner is asked")

    planning_site.call("POST", f"/jobs/{job_id}/cancel")
    cancelled = planning_site.wait(job_id)
    assert (cancelled["status"], worker_processes(job_id)) == ("cancelled", [])
    root = planning_site.workspace / f"job_{job_id}"
    assert "Nothing was built" not in (root / "FINAL_RESULT.md").read_text()

    assert planning_site.call("POST", f"/jobs/{job_id}/retry").status_code == 202
    assert planning_site.wait(job_id)["status"] == "completed"
    assert len(planning_site.get(f"/jobs/{job_id}")["tasks"]) == 3


#: An agent that calls the API with the planner's key, and prints the answer.
CALLER = """\
import json, os, sys, urllib.request, urllib.error
url = os.environ["ORCHESTRATOR_API_URL"] + "/api/v1/" + sys.argv[1]
head = {"X-API-Key": os.environ["ORCHESTRATOR_API_KEY"], "Content-Type": "application/json"}
if os.environ["ORCHESTRATOR_WORKER_ID"] == "planner":
    try:
        urllib.request.urlopen(urllib.request.Request(url, sys.argv[2].encode(), head))
    except urllib.error.HTTPError as error:
        print(error.read().decode())
    print('{"tasks": [{"id": "a", "title": "A", "prompt": "x"}]}')
print("done")
"""


def calling(make_site: MakeSite, tmp_path: Path, path: str, body: Answer) -> InProcess:
    """A site with an agent that makes an API call while it plans."""
    script = tmp_path / "caller.py"
    script.write_text(CALLER)
    command = [sys.executable, str(script), path, json.dumps(body)]
    return make_site(agents={"thinker": {"command": command}})


def test_a_planner_starts_no_child_jobs(make_site: MakeSite, tmp_path: Path) -> None:
    site = calling(make_site, tmp_path, "orchestrate", {"request": "more"})

    job_id = submit_planned(site)
    assert site.wait(job_id)["status"] == "completed"

    log = (site.workspace / f"job_{job_id}" / "logs" / "depth_0_planner.log").read_text()
    assert "a planner may not start child jobs" in log
    assert site.get("/jobs")["total"] == 1


def test_what_a_planner_uses_is_counted_in_its_job(make_site: MakeSite, tmp_path: Path) -> None:
    site = calling(make_site, tmp_path, "usage", {"input_tokens": 70, "output_tokens": 7})

    job_id = submit_planned(site, max_tokens=1000)
    site.wait(job_id)

    job = site.get(f"/jobs/{job_id}")
    assert (job["status"], job["usage"]["input_tokens"]) == ("completed", 70)
    assert job["planner"]["usage"]["output_tokens"] == 7
    figures = json.loads(
        (site.workspace / f"job_{job_id}" / "reports" / "analytics.json").read_text()
    )
    assert figures["input_tokens"]["value"] == 70


def test_a_planner_that_uses_all_that_its_job_may_ends_the_job(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site = calling(make_site, tmp_path, "usage", {"input_tokens": 70})

    answer = site.wait(submit_planned(site, max_tokens=50))

    assert answer["status"] == "failed"
    assert "max_tokens" in answer["reason"]


def test_a_plan_waits_for_a_person_and_runs_once_approved(
    planning_site: InProcess, planner: Planner
) -> None:
    planner.answers(GOOD)
    job_id = submit_planned(planning_site, approve=True)

    until(lambda: _reason(planning_site, job_id) == "waiting for approval", "there is a plan")
    waits = planning_site.get(f"/jobs/{job_id}")
    assert (waits["status"], len(waits["tasks"])) == ("planning", 3)
    assert {worker["status"] for worker in waits["workers"]} == {"pending"}

    approved = planning_site.call("POST", f"/jobs/{job_id}/approve")
    # The same decision again is accepted, because its answer may be lost. Another one is too late.
    again = planning_site.call("POST", f"/jobs/{job_id}/approve")
    other = planning_site.call("POST", f"/jobs/{job_id}/approve", {"comment": "fine"})

    answers = (approved.status_code, again.status_code, other.status_code)
    assert answers == (202, 202, 409)
    assert planning_site.wait(job_id)["status"] == "completed"


def test_a_rejected_plan_runs_nothing(planning_site: InProcess) -> None:
    job_id = str(planning_site.post("x", [{"command": "true"}], approve=True).json()["job_id"])

    rejected = planning_site.call("POST", f"/jobs/{job_id}/reject")
    answer = planning_site.wait(job_id)

    assert rejected.status_code == 202
    assert answer["status"] == "cancelled"
    assert "the plan was rejected" in answer["reason"]
    assert planning_site.get(f"/jobs/{job_id}")["workers"][0]["attempts"] == []


def test_a_planner_that_cannot_plan_or_is_unknown_is_refused(planning_site: InProcess) -> None:
    assert planning_site.post("x", planner="shell").json()["type"].endswith("no-planner")
    assert planning_site.post("x", planner="nobody").json()["type"].endswith("unknown-agent")


def test_auto_asks_the_jobs_agent_only_if_its_settings_allow_plans(
    make_site: MakeSite, planner: Planner
) -> None:
    planner.answers(GOOD)
    plans = {"thinker": {**planner.settings["thinker"], "plans": True}}
    site = make_site(agents=plans)
    plain = make_site(agents=planner.settings)

    def source(site: InProcess, **config: Any) -> str:
        job_id = str(site.post("Do x. Do y.", **config).json()["job_id"])
        site.wait(job_id)
        return str(site.get(f"/jobs/{job_id}")["plan_source"])

    assert source(site, agent="thinker") == "thinker"
    assert source(plain, agent="thinker") == "rules"
    assert source(site, agent="thinker", planner="rules") == "rules"


def test_a_child_job_is_planned_too_and_its_workers_are_numbered_after_the_others(
    make_site: MakeSite, planner: Planner, spawning: None
) -> None:
    planner.answers(GOOD)
    site = make_site(agents=planner.settings)
    first_spawn = "orchestrator spawn given --tasks given.json --wait"
    spawn = (
        'echo \'[{"agent": "shell", "command": "true"}]\' > given.json && '
        f"{first_spawn} && orchestrator spawn planned --wait && orchestrator spawn again --wait"
    )
    job_id = site.submit("parent", [shell(spawn)], planner="thinker", agent="thinker")

    answer = site.wait(job_id)

    (parent,) = answer["results"]["tasks"]
    assert (answer["status"], parent["status"]) == ("completed", "recursive_success")
    _, second, third = parent["child_job_ids"]
    names = [worker["worker_id"] for worker in site.get(f"/jobs/{second}")["workers"]]
    assert names == ["worker_1_2", "worker_1_3", "worker_1_4"]
    planners = [site.get(f"/jobs/{each}")["planner"]["worker_id"] for each in (second, third)]
    assert planners == ["worker_1_planner_2", "worker_1_planner_3"]


@pytest.mark.parametrize("named", [False, *nightly(True)])
def test_a_plan_that_would_be_a_deadlock_gives_way_to_the_rules_unless_its_planner_was_named(
    make_site: MakeSite, planner: Planner, spawning: None, named: bool
) -> None:
    planner.answers("wait")
    (planner.folder / "then").write_text(json.dumps(a_plan(a_task("a", locks=["db"]))))
    site = make_site(agents={"thinker": {**planner.settings["thinker"], "plans": True}})
    agents = {"planner": "thinker" if named else "auto", "agent": "thinker"}
    spawn = [shell("orchestrator spawn child --wait", locks=["src"])]
    parent = site.submit("parent", spawn, **agents)
    until(lambda: planner.asked, "the planner is asked")
    taking = "orchestrator lock db && orchestrator lock src --wait 60"
    other = site.submit("other", [shell(taking)])
    until(
        lambda: "waiting for lock src" in str(site.get(f"/jobs/{other}")), "the other waits for src"
    )

    (planner.folder / "go").touch()

    answer = site.wait(parent)
    child = site.get(f"/jobs/{answer['results']['tasks'][0]['child_job_id']}")
    assert site.wait(other)["status"] == "completed"
    if named:
        assert (answer["status"], child["status"]) == ("failed", "failed")
        assert (child["plan_source"], child.get("plan_fallback")) == ("none", None)
        assert "deadlock" in child["reason"]
        return
    assert answer["status"] == "completed"
    assert child["plan_source"] == "rules"
    assert "deadlock" in child["plan_fallback"]["reason"]
    events = site.manager.parts.store.events(parent, 0, 1000)
    [submit_planned] = [each for each in events if each.kind is EventKind.JOB_PLANNED]
    assert "deadlock" in str(submit_planned.data["reason"])


@pytest.mark.parametrize("script", ["echo none yet", *nightly("grep -q 2 app.py")])
def test_a_planned_gate_that_always_succeeds_has_judged_nothing(
    make_site: MakeSite, planner: Planner, tmp_path: Path, script: str
) -> None:
    package = json.dumps({"scripts": {"test": script}})
    project = Project(tmp_path / "project").begin({"app.py": "x = 1\n", "package.json": package})
    project_settings = {"project_root": str(project.path)}
    site = make_site(orchestrator=project_settings, agents={**planner.settings, **agents(tmp_path)})
    task = {"title": "Edit", "gates": ["npm test"]}
    planner.answers(a_plan(a_task("a", **task, prompt="echo 'x = 2' > app.py; echo done; exit")))

    answer = site.wait(submit_planned(site, "Edit it.", agent="editor"))

    assert answer["status"] == "completed", answer
    unjudged = [each["name"] for each in answer.get("unjudged_gates", [])]
    assert unjudged == (["planned-npm-test"] if script.startswith("echo") else [])


def _waiting_for(planner: Planner, plan: Answer) -> None:
    """Let the planner wait for ``go``, and then answer with the plan."""
    planner.answers("wait")
    (planner.folder / "then").write_text(json.dumps(plan))


def test_a_planner_runs_while_the_server_is_dead_and_its_plan_counts(
    make_server: MakeServer, planner: Planner
) -> None:
    _waiting_for(planner, GOOD)
    server = make_server(agents=planner.settings)
    job_id = submit_planned(server)
    until(lambda: planner.asked, "the planner is asked")

    server.kill()
    (planner.folder / "go").touch()
    until(lambda: not worker_processes(job_id), "it is done")
    server.start()

    assert server.wait(job_id)["status"] == "completed"
    job = server.get(f"/jobs/{job_id}")
    assert (job["plan_source"], len(job["tasks"]), len(planner.asked)) == ("thinker", 3, 1)


@pytest.mark.nightly
def test_a_planner_that_was_stopped_with_its_server_is_asked_again(
    make_server: MakeServer, planner: Planner
) -> None:
    _waiting_for(planner, GOOD)
    server = make_server(agents=planner.settings)
    job_id = submit_planned(server)
    # Stopped as often as allowed: this uses none of its attempts.
    for times in (1, 2, 3):
        until(lambda times=times: len(planner.asked) == times, "the planner is asked")
        server.terminate()
        assert not worker_processes(job_id)
        server.start()

    (planner.folder / "go").touch()

    assert server.wait(job_id)["status"] == "completed"
    assert server.get(f"/jobs/{job_id}")["plan_source"] == "thinker"


def test_a_plan_still_waits_for_approval_after_a_crash(
    make_server: MakeServer, planner: Planner
) -> None:
    planner.answers(GOOD)
    server = make_server(agents=planner.settings)
    job_id = submit_planned(server, approve=True)
    until(lambda: _reason(server, job_id) == "waiting for approval", "there is a plan")

    server.kill()
    server.start()

    assert _reason(server, job_id) == "waiting for approval"
    assert len(planner.asked) == 1
    server.call("POST", f"/jobs/{job_id}/approve")
    assert server.wait(job_id)["status"] == "completed"
