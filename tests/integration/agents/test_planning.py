"""Requests without a planner that the job's AI agent splits. A stand-in replaces the agent."""

import json

import pytest

from tests.integration.agents.conftest import KEY
from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, InProcess
from tests.support.examples import nightly

REQUEST = "Build a house with a roof, doors and windows"


def ran(site: InProcess, request: str = REQUEST, **config: object) -> Answer:
    """Return the job after its end."""
    response = site.post(request, **config)
    assert response.status_code == 202, response.text
    job_id = str(response.json()["job_id"])
    site.wait(job_id)
    found: Answer = site.get(f"/jobs/{job_id}")
    return found


def test_the_agent_of_the_job_plans_it_with_a_schema(site: InProcess) -> None:
    job = ran(site)

    assert (job["plan_source"], job["status"]) == ("claude", "completed")
    assert [task["title"] for task in job["tasks"]] == ["Part a"]
    directory = site.directory(job["job_id"]) / "depth_0" / "planner"
    argv = json.loads((directory / "given.json").read_text())["argv"]
    schema = json.loads(argv[argv.index("--json-schema") + 1])
    assert schema["required"] == ["tasks"]
    # A planner only reads: it changes no file, and starts no job.
    assert "--dangerously-skip-permissions" not in argv
    assert "--mcp-config" not in argv
    assert job["usage"]["cost_usd"] == pytest.approx(1.0)  # the plan's cost and its worker's cost


@pytest.mark.parametrize("request_", ["1. A roof\n2. A door", *nightly("Fix the roof")])
def test_rules_split_what_needs_no_model(site: InProcess, request_: str) -> None:
    assert ran(site, request_)["plan_source"] == "rules"


@pytest.mark.nightly
def test_rules_split_what_is_for_the_survey(make_site: MakeSite) -> None:
    job = ran(make_site())

    assert job["plan_source"] == "rules"


@pytest.mark.nightly
def test_rules_split_the_request_if_the_settings_choose_rules(
    make_site: MakeSite, program: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    site = make_site(orchestrator={"claude_command": str(program)}, workers={"planner": "rules"})

    assert ran(site)["plan_source"] == "rules"


def test_rules_split_the_request_if_the_agent_creates_no_plan(
    make_site: MakeSite, program: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    agents = {"claude": {"env": ["STAND_IN=error"]}}
    site = make_site(orchestrator={"claude_command": str(program)}, agents=agents)

    job = ran(site, max_retries=0)

    assert job["plan_source"] == "rules"
    assert "the model's service failed" in job["planner"]["reason"]
