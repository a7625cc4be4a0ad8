"""Plain requests to real agents whose model only talks, or writes elsewhere."""

from typing import Any

import pytest

from tests.agents.model_api import Call, Script, Turn
from tests.agents.real.capabilities import parameters
from tests.agents.real.site import Answer, Site
from tests.agents.real.tools import AGENTS, LOOPS

LIE = "I added the login form. All tests pass."
QUESTION = "There are two templates. Which one should I use?"

#: By day, only one loop and one tool run, because the text is the same for all agents.
BY_DAY = ("claude", "ollama")
each_agent = pytest.mark.parametrize(
    "agent", parameters(AGENTS, nightly=[each for each in AGENTS if each not in BY_DAY])
)


def ask(site: Site, agent: str, request: str, script: Script) -> Answer:
    name = f"{agent}-plain-{len(site.api.scripts)}"
    site.api.scripts[name] = script
    config: dict[str, Any] = {"planner": "rules", "max_retries": 1, "gates": "off"}
    request = f"{request} [[script:{name}]]"
    return site.wait(str(site.client.orchestrate(request, agent=agent, **config)["job_id"]))


@each_agent
@pytest.mark.parametrize(
    ("words", "expected"), [(LIE, "no file was changed"), (QUESTION, "Which one should I use?")]
)
def test_a_worker_that_only_talks_has_failed(
    site: Site, agent: str, words: str, expected: str
) -> None:
    job = ask(site, agent, "Add a login form", Script.of(Turn(words), endless=True))

    worker = site.only(job)
    assert (job["status"], len(worker["attempts"])) == ("failed", 2), site.log(worker)
    assert expected in worker["reason"]


@each_agent
def test_a_worker_that_explains_has_succeeded(site: Site, agent: str) -> None:
    words = "It maps URLs to views. Would you like me to explain more?"
    job = ask(site, agent, "Explain how the views work", Script.of(Turn(words), endless=True))

    assert (job["status"], job["reason"]) == ("completed", ""), job


@pytest.mark.parametrize(
    "agent", parameters(list(LOOPS), nightly=[each for each in LOOPS if each != "anthropic"])
)
def test_a_file_in_the_home_directory_is_named(site: Site, agent: str) -> None:
    place = site.server.project / "home" / f"{agent}.md"
    script = Script.of(Turn(calls=(Call.write(str(place), "x"),)), Turn("Done."))
    job = ask(site, agent, "Write notes.md", script)

    reason = site.only(job)["reason"]
    assert f"files changed outside the worker's worktree: {place}" in reason, job
