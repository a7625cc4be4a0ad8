"""AI agents, from a submission to a result; their programs are stand-ins."""

import json
from typing import Any

from tests.integration.agents.conftest import KEY
from tests.integration.engine.site import Answer, InProcess


def row(ended: Answer) -> Answer:
    [found] = ended["results"]["tasks"]
    return dict(found)


def task(behaviour: str = "answers", **more: Any) -> Answer:
    return {"agent": "claude", "prompt": "Build it", "env": {"STAND_IN": behaviour}, **more}


def given(site: InProcess, job_id: str) -> Answer:
    path = site.directory(job_id) / "depth_0" / "worker_1" / "given.json"
    found: Answer = json.loads(path.read_text())
    return found


def test_an_agent_reads_its_prompt_and_its_answer_comes_back(site: InProcess) -> None:
    ended = site.run("Build a house", [task()])

    assert ended["status"] == "completed", site.log(ended["job_id"], "worker_1")
    assert row(ended)["output"] == "the answer"
    found = given(site, ended["job_id"])
    assert "Build it" in found["prompt"]
    assert found["environ"]["ANTHROPIC_API_KEY"] == KEY
    log = site.log(ended["job_id"], "worker_1")
    assert "I am at work" in log and "> Write" in log and "usage:" in log
