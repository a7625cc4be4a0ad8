"""Every agent through a server: its work, its reported usage, and its failures."""

import json

import pytest

from tests.agents.model_api import Script, Turn
from tests.agents.model_api.scripts import rate_limited, unauthorized
from tests.agents.real import scripts
from tests.agents.real.capabilities import CAPABILITIES, each_with
from tests.agents.real.site import Answer, Site
from tests.agents.real.tools import LOOPS
from tests.integration.site import until, worker_processes

#: Ollama does not report its cache.
CACHED = 60
#: USD for 400 tokens of input, 60 cached, and 100 of output; a local model has no known cost.
COST = {
    "claude": 0.001806,
    "codex": 0.0015075,
    "gemini": 0.0003718,
    "opencode": 0.0006,
    "anthropic": 0.002718,
    "openai-compatible": 0.0015075,
}
#: Rejected calls of four workers: more than one each if that takes no time. Tools wait some
#: seconds before they retry.
REFUSALS = {"claude": 6, "codex": 6, "gemini": 4, "opencode": 4}
GOOD = ("success", "recursive_success")


@each_with(
    "files, a commit, and the agent's answer",
    "steps, tokens, cache reads",
    "cost",
    nightly=("opencode",),
)
def test_files_usage_and_cost_are_reported(site: Site, agent: str) -> None:
    cached = 0 if agent == "ollama" else CACHED
    job = site.run(agent, f"{agent}-work", scripts.work(cached))

    worker = site.only(job)
    assert worker["status"] in GOOD, site.log(worker)
    assert worker["output"] == "RESULT done"
    assert {"a.txt", "author.txt", "where.txt"} <= set(worker["files_created"])
    branch = f"orchestrator/{job['job_id']}/result"
    assert site.git("show", f"{branch}:a.txt") == "of the agent"
    assert site.git("show", f"{branch}:author.txt") == f"worker_1 ({agent})\n"
    assert site.git("show", f"{branch}:where.txt").endswith("/bin/orchestrator\n")
    assert "pushing is off for workers" in site.git("show", f"{branch}:push.txt")
    assert "work of the agent" in site.git("log", "--format=%s", branch)
    used = worker["usage"]
    assert (used["steps"], used["input_tokens"], used["output_tokens"]) == (3, 400, 100)
    assert used.get("cache_read_tokens", 0) == cached
    assert job["usage"] == used
    assert used.get("cost_usd") == pytest.approx(COST.get(agent))
    is_reported = CAPABILITIES["cost"][agent] == "reported"
    assert used.get("cost_estimated", False) == (agent in COST and not is_reported)


def test_the_shared_start_of_prompts_has_its_own_cache_mark(site: Site) -> None:
    scripts_of = [f"cached-{number}" for number in (1, 2)]
    site.api.scripts.update(dict.fromkeys(scripts_of, Script.of(Turn("fine"))))
    tasks = [{"agent": "anthropic", "prompt": f"[[script:{name}]]"} for name in scripts_of]
    site.wait(str(site.client.orchestrate("Both", tasks=tasks)["job_id"]))

    calls = [each.body["messages"][0]["content"] for each in site.api.calls]
    mine = [each for each in calls if any(name in json.dumps(each) for name in scripts_of)]
    [(one, own), (other, _)] = mine
    assert one == other and "cache_control" in one
    assert "cached-" in own["text"]


@each_with("plans a request", nightly=("gemini", "opencode", "openai-compatible", "ollama"))
def test_the_agent_of_a_job_splits_its_request(site: Site, agent: str) -> None:
    site.api.scripts[f"{agent}-plan"] = scripts.plan(agent)
    site.api.scripts["part-a"] = scripts.part("a")
    request = f"Build a shop with accounts, a basket and search. [[script:{agent}-plan]]"
    job = site.wait(str(site.client.orchestrate(request, agent=agent)["job_id"]))

    assert (job["plan_source"], job["status"]) == (agent, "completed"), job
    assert [task["title"] for task in job["tasks"]] == ["Part a"]
    assert site.only(job)["output"] == "PART of a"
    assert job["planner"]["status"] == "success"
    assert job["planner"]["usage"]["input_tokens"] >= 100
    [first, *_] = [each for each in site.api.calls if each.script == f"{agent}-plan"]
    asked_by_schema = CAPABILITIES["plans a request"][agent] == "yes"
    assert ("additionalProperties" in json.dumps(_answer_shape(first.body))) == asked_by_schema


def _answer_shape(body: Answer) -> object:
    """Return the answer's schema from a request, for each API."""
    tools = [each for each in body.get("tools", ()) if each.get("name") in scripts.ANSWERS.values()]
    return [tools, *(body.get(name) for name in ("text", "response_format", "format"))]


# In the next test, all tools start child jobs by MCP. In this test, one tool has a sandbox, and
# one has none.
@each_with(
    "child job by MCP", nightly=("claude", "gemini", "opencode", "openai-compatible", "ollama")
)
def test_child_jobs_are_started_with_the_policy_edit(editing_site: Site, agent: str) -> None:
    check_children(editing_site, agent, commands=agent not in LOOPS)


@each_with(
    "child job by MCP",
    "child job by `orchestrator spawn`",
    "child job by HTTP",
    nightly=("gemini", "opencode", "anthropic", "ollama"),
)
def test_child_jobs_are_started_in_each_way(site: Site, agent: str) -> None:
    check_children(site, agent, commands=True)


def check_children(site: Site, agent: str, *, commands: bool) -> None:
    job = site.run(agent, f"{agent}-parent", scripts.parent(commands=commands))

    worker = site.only(job)
    assert worker["status"] in GOOD, site.log(worker)
    children = [site.client.job(child) for child in worker["child_job_ids"]]
    requests = [child["request"] for child in children]
    assert requests == ["By MCP", *(["By command", "By HTTP"] if commands else [])], site.log(
        worker
    )
    assert {child["status"] for child in children} == {"completed"}


@each_with(
    "cancelled while a tool runs: no process remains",
    nightly=("gemini", "opencode", "anthropic", "openai-compatible"),
)
def test_a_cancelled_agent_leaves_no_process(site: Site, agent: str) -> None:
    job_id = site.submit(agent, f"{agent}-hanging", scripts.hanging())
    until(lambda: site.begun(job_id), "a command of the agent runs", 60)
    assert worker_processes(job_id)

    site.client.cancel(job_id)
    job = site.wait(job_id)

    assert site.only(job)["status"] == "cancelled"
    assert worker_processes(job_id) == []


@each_with("401: one attempt, class `auth`", nightly=("gemini", "opencode", "anthropic", "ollama"))
def test_a_wrong_key_is_not_retried(site: Site, agent: str) -> None:
    script = Script.failing(unauthorized())
    job = site.run(agent, f"{agent}-401", script, retries=2)

    worker = site.only(job)
    assert worker["status"] == "failed"
    assert len(worker["attempts"]) == 1
    assert "login failed" in worker["reason"]


# test_sessions.py runs every tool with a limit of one worker.
@each_with(
    "4 workers get 429, and all succeed after a retry",
    nightly=("claude", "codex", "gemini", "opencode", "openai-compatible", "ollama"),
)
def test_many_rate_limits_cost_only_time(site: Site, agent: str) -> None:
    name = f"{agent}-429"
    site.api.scripts[name] = Script.failing(
        rate_limited(retry_after="1", times=REFUSALS.get(agent, 12))
    )
    tasks = [{"id": f"t{n}", "agent": agent, "prompt": f"[[script:{name}]]"} for n in range(4)]
    job = site.wait(str(site.client.orchestrate("A storm", tasks=tasks)["job_id"]))

    assert [worker["status"] for worker in job["workers"]] == ["success"] * 4


@each_with("`max_steps` enforced", nightly=("gemini", "opencode", "openai-compatible", "ollama"))
def test_max_steps_is_enforced(site: Site, agent: str) -> None:
    job = site.run(agent, f"{agent}-forever", scripts.FOREVER, max_steps=3)

    worker = site.only(job)
    assert worker["status"] == "failed"
    assert "max_steps" in worker["reason"]
    # The driver learns of the step beyond the limit after its start; the stub answers at once.
    assert worker["usage"]["steps"] <= 6


# Steps and tokens come from the same lines.
@each_with(
    "`max_tokens` enforced during the attempt",
    nightly=("claude", "gemini", "opencode", "anthropic", "openai-compatible"),
)
def test_max_tokens_is_enforced_while_the_agent_works(site: Site, agent: str) -> None:
    # Gemini stops if the same call is repeated, so each call differs.
    commands = [f"sleep 0.3; echo {number}" for number in range(40)]
    script = Script.shell(*commands)
    job = site.run(agent, f"{agent}-tokens", script, max_tokens=500)

    worker = site.only(job)
    assert worker["status"] == "failed"
    assert "max_tokens" in worker["reason"], site.log(worker)
    # Four answers have 520 tokens; the stub answers at once, and the tool is stopped shortly
    # after.
    used = worker["usage"]
    assert 500 <= used["input_tokens"] + used["output_tokens"] <= 1500
    assert used["steps"] <= 12


@each_with(
    "`read-only`: a worker that should write cannot, and fails",
    nightly=("gemini", "opencode", "openai-compatible", "ollama"),
)
def test_a_read_only_agent_writes_nothing(read_only_site: Site, agent: str) -> None:
    job = read_only_site.run(agent, f"{agent}-looking", scripts.trespass(agent))

    worker = read_only_site.only(job)
    assert not {"a.txt", "b.txt"} & set(worker["files_created"])
    assert "permission denied for tools" in worker["reason"], read_only_site.log(worker)
    if agent == "codex":  # Codex' stream has no item for a command that ends at once
        assert worker["usage"]["steps"] == 3


@pytest.mark.parametrize(
    "way", ["MCP", *(pytest.param(way, marks=pytest.mark.nightly) for way in ("command", "HTTP"))]
)
@each_with("starts child jobs that run codex and gemini: by MCP, `spawn`, and HTTP")
def test_claude_delegates_parts_to_codex_and_gemini(site: Site, agent: str, way: str) -> None:
    for name in ("codex", "gemini"):
        site.api.scripts[f"part-{name}"] = scripts.part(name)
    job = site.run(agent, f"whole-{way}", scripts.whole(way, "codex", "gemini"))

    worker = site.only(job)
    assert worker["status"] in GOOD, site.log(worker)
    [child] = [site.client.job(child) for child in worker["child_job_ids"]]
    assert child["request"] == f"The parts by {way}"
    assert {each["agent"]: each["output"] for each in child["workers"]} == {
        "codex": "PART of codex",
        "gemini": "PART of gemini",
    }
    for each in child["workers"]:
        assert f"{each['agent']}.txt" in each["files_created"]
