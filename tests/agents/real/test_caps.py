"""Usage caps that real tools reach: the usage above the cap, and which workers still succeed."""

from collections.abc import Collection, Iterable

import pytest

from tests.agents.model_api import Fault, Kind, Script, Turn
from tests.agents.real import scripts
from tests.agents.real.capabilities import parameters
from tests.agents.real.site import Answer, Site
from tests.agents.real.tools import AGENTS
from tests.integration.site import worker_processes

WORKERS = 3
#: Number of steps within the cap, and cost in USD of a step of 100 input and 30 output tokens.
STEPS = 6
STEP_COST = {
    "claude": 0.00075,
    "codex": 0.000425,
    "gemini": 0.000105,
    "anthropic": 0.00075,
    "openai-compatible": 0.000425,
}
#: A cap that one step of 100 input and 30 output tokens reaches.
ONE_STEP = 130
#: Each step takes longer than its report.
COMMANDS = [f"sleep 1.5; echo {number}" for number in range(20)]


def each_of(agents: Iterable[str], *, nightly: Collection[str] = ()) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("agent", parameters(tuple(agents), nightly))


def run_side_by_side(site: Site, agent: str, name: str, config: Answer) -> Answer:
    site.api.scripts[name] = Script.shell(*COMMANDS)
    tasks = [
        {"id": f"t{number}", "agent": agent, "prompt": f"Do it. [[script:{name}]]"}
        for number in range(WORKERS)
    ]
    return site.wait(str(site.client.orchestrate("Three", tasks=tasks, **config)["job_id"]))


# One tool that reports a step at its end, and one whose steps are read from its session.
@each_of(AGENTS, nightly=("gemini", "opencode", "openai-compatible", "ollama"))
def test_steps_beyond_a_cap_are_at_most_one_of_each_worker(site: Site, agent: str) -> None:
    name = f"{agent}-capped-steps"
    job = run_side_by_side(site, agent, name, {"max_steps": STEPS})

    assert job["status"] == "failed"
    assert f"stopped by max_steps ({STEPS} steps)" in job["reason"]
    assert STEPS <= job["usage"]["steps"] <= STEPS + WORKERS, job["usage"]
    # A provider would charge for all calls, even if the caller does not read the answer.
    assert len([call for call in site.api.calls if call.script == name]) <= STEPS + WORKERS
    assert worker_processes(job["job_id"]) == []


@each_of(STEP_COST, nightly=("claude", "gemini", "anthropic"))
def test_money_beyond_a_cap_is_at_most_one_step_of_each_worker(site: Site, agent: str) -> None:
    name, step = f"{agent}-capped-cost", STEP_COST[agent]
    cap = STEPS * step
    job = run_side_by_side(site, agent, name, {"max_cost_usd": cap})

    assert job["status"] == "failed"
    assert "stopped by max_cost_usd" in job["reason"]
    assert job["usage"]["cost_usd"] <= cap + WORKERS * step * 1.01, job["usage"]
    calls = len([call for call in site.api.calls if call.script == name])
    assert calls <= STEPS + WORKERS + 1


@each_of(AGENTS, nightly=("codex", "gemini", "opencode", "anthropic", "openai-compatible"))
def test_a_worker_that_is_complete_when_the_cap_is_reached_has_succeeded(
    site: Site, agent: str
) -> None:
    script = scripts.work()
    config = {"max_steps": len(script.turns)}
    if agent == "opencode":  # opencode reports a step when the step begins
        config = {"max_tokens": 500}
    job = site.run(agent, f"{agent}-at-its-cap", script, config=config)

    assert job["status"] == "completed", (job["reason"], site.log(site.only(job)))
    assert site.only(job)["output"] == "RESULT done"
    assert "stopped by" not in job["reason"]


@pytest.mark.nightly
# opencode reports a step's usage when the step's tools have ended.
@each_of(name for name in AGENTS if name != "opencode")
def test_a_cap_that_is_reached_while_a_tool_runs_stops_the_tool(site: Site, agent: str) -> None:
    script = Script.of(Turn(calls=scripts.shell("sleep 600")), Turn("RESULT done"))
    name = f"{agent}-capped-in-a-tool"
    job = site.run(agent, name, script, config={"max_tokens": ONE_STEP})

    assert job["status"] == "failed"
    assert "stopped by max_tokens" in job["reason"]
    assert len([call for call in site.api.calls if call.script == name]) == 1
    assert job["usage"]["input_tokens"] + job["usage"]["output_tokens"] == ONE_STEP
    assert worker_processes(job["job_id"]) == []


@pytest.mark.nightly
@each_of(AGENTS)
def test_a_cap_that_is_reached_before_the_model_answers_stops_the_call(
    site: Site, agent: str
) -> None:
    silent = Turn("RESULT done", faults=(Fault(kind=Kind.SILENT, times=0),))
    script = Script.of(Turn(calls=scripts.shell("true")), silent)
    name = f"{agent}-capped-in-a-call"
    job = site.run(agent, name, script, config={"max_tokens": ONE_STEP})

    assert job["status"] == "failed"
    assert "stopped by max_tokens" in job["reason"]
    assert len([call for call in site.api.calls if call.script == name]) <= 2
    assert job["usage"]["input_tokens"] + job["usage"]["output_tokens"] == ONE_STEP


@pytest.mark.nightly
@each_of(AGENTS)
def test_a_cap_that_the_last_answer_reaches_stops_nothing(site: Site, agent: str) -> None:
    script = Script.of(Turn("RESULT done"))
    job = site.run(agent, f"{agent}-capped-by-its-word", script, config={"max_tokens": ONE_STEP})

    assert job["status"] == "completed", (job["reason"], site.log(site.only(job)))
    assert site.only(job)["output"] == "RESULT done"
