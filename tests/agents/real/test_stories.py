"""Stories of users with the real tools: interrupted jobs lose no work."""

import os
import shlex
import signal

import pytest

from tests.agents.model_api import Call, Script, Turn
from tests.agents.model_api.scripts import rate_limited
from tests.agents.real import scripts
from tests.agents.real.capabilities import parameters
from tests.agents.real.site import Answer, Site
from tests.agents.real.test_sessions import TRIES, tools_of
from tests.integration.site import until

pytestmark = pytest.mark.nightly

#: opencode takes 15 s for work that takes these agents 3 s.
FOUR = ("claude", "codex", "gemini", "claude")
each = pytest.mark.parametrize


@pytest.mark.real_tools
def test_a_rate_limit_in_the_middle_of_a_job_of_four_costs_no_work(site: Site) -> None:
    tasks = []
    for number, tool in enumerate(FOUR, 1):
        limit = rate_limited(retry_after="" if tool == "codex" else "1", times=TRIES[tool])
        site.api.scripts[f"limited-{number}"] = Script.of(
            Turn("I begin.", (Call.write(f"{number}.txt", "of the first attempt"),)),
            Turn(calls=scripts.shell("true")),
            Turn("RESULT done", faults=(limit,)),
        )
        prompt = f"Do it. [[script:limited-{number}]]"
        tasks.append({"title": "A task", "agent": tool, "prompt": prompt})
    job = site.wait(str(site.client.orchestrate("Four", tasks=tasks, max_retries=1)["job_id"]))

    assert job["status"] == "completed", job["reason"]
    branch = f"orchestrator/{job['job_id']}/result"
    for number, worker in enumerate(job["workers"], 1):
        assert site.git("show", f"{branch}:{number}.txt") == "of the first attempt"
        assert [attempt["session"]["resumed"] for attempt in worker["attempts"]] == [False, True]
        assert worker["usage"]["steps"] == 3


@each("agent", parameters(["claude"]))
def test_a_crash_after_the_work_loses_nothing(site: Site, agent: str) -> None:
    script = Script.of(
        Turn(calls=(Call.write("work.txt", "whole"),)),
        Turn(calls=scripts.shell("git add work.txt && git commit -qm work")),
        Turn(calls=scripts.shell("touch begun.txt; sleep 30")),
    )
    job_id = site.submit(agent, f"{agent}-crashes", script, title="A task")
    until(lambda: site.begun(job_id), "a command of the agent runs", 60)
    for pid in tools_of(job_id):
        os.kill(pid, signal.SIGKILL)
    job = site.wait(job_id)

    assert site.only(job)["status"] == "failed"
    [made] = site.client.status(job_id)["made_not_in_result"]
    assert site.git("show", f"{made['branch']}:work.txt") == "whole"
    taken = typed(site, made["command"])
    assert site.git("show", f"orchestrator/{job_id}/result:work.txt") == "whole", taken


@each("agent", parameters(["codex"]))
def test_a_nested_scaffold_of_an_agent_is_in_the_result(site: Site, agent: str) -> None:
    scaffold = (
        "mkdir web && cd web && git init -q && echo hello > main.js && git add --all && "
        "git commit -qm scaffold && echo changed > main.js"
    )
    job = site.run(agent, f"{agent}-scaffold", Script.shell(scaffold), title="A task")

    assert job["status"] == "completed", job["reason"]
    result = f"orchestrator/{job['job_id']}/result"
    assert site.git("show", f"{result}:web/main.js") == "changed\n"
    history = f"refs/orchestrator-kept/{job['job_id']}/worker_1/nested/web"
    assert site.git("log", "--format=%s", history) == "scaffold\n"


@each("agent", parameters(["gemini"]))
def test_the_winner_among_candidates_is_overruled(site: Site, agent: str) -> None:
    texts = {agent: "short\n", "claude": "a\nlonger\nfile\n"}
    candidates = list(texts)
    # Both agents get the same prompt, so the shell script detects which agent runs it.
    script = Script.shell(
        f"case $ORCHESTRATOR_WORKER_ID in *_1) printf %s {shlex.quote(texts[agent])} > it.txt;; "
        f"*) printf %s {shlex.quote(texts['claude'])} > it.txt;; esac"
    )
    site.api.scripts["candidates"] = script
    task = {"id": "t", "title": "A task", "agent": candidates, "prompt": "[[script:candidates]]"}
    job = site.wait(str(site.client.orchestrate("Two", tasks=[task])["job_id"]))
    result = f"orchestrator/{job['job_id']}/result:it.txt"
    assert site.git("show", result) == texts[agent], job["reason"]

    site.client.choose(job["job_id"], "t", "worker_2")

    assert site.git("show", result) == texts["claude"]
    found: Answer = site.client.candidates(job["job_id"], "t")
    assert (found["chosen"], found["by"]) == ("worker_2", "person"), found


def typed(site: Site, command: str) -> str:
    """Run a command as the user types it in the folder."""
    program, *arguments = shlex.split(command)
    assert program.endswith("orchestrator"), command
    done = site.server.cli(*arguments)
    return done.stdout + done.stderr
