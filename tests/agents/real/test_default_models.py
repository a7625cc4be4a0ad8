"""Every tool with its default model; codex's model uses code mode."""

from collections.abc import Iterator

import pytest

from tests.agents.model_api import ModelApi
from tests.agents.real import scripts
from tests.agents.real.capabilities import DEFAULT_MODELS
from tests.agents.real.conftest import a_site
from tests.agents.real.site import Site
from tests.agents.real.test_agents import GOOD, check_children

pytestmark = [pytest.mark.real_tools, pytest.mark.nightly]
NO_MODEL = {name: {"model": ""} for name in DEFAULT_MODELS}


@pytest.fixture(scope="module")
def default_site(api: ModelApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with a_site(api, tmp_path_factory.mktemp("host project"), {"agents": NO_MODEL}) as site:
        yield site


@pytest.mark.parametrize("agent", DEFAULT_MODELS)
def test_the_default_model_does_the_work(default_site: Site, agent: str) -> None:
    name = f"{agent}-by-default"
    job = default_site.run(agent, name, scripts.work())

    worker = default_site.only(job)
    assert worker["status"] in GOOD, default_site.log(worker)
    assert worker["output"] == "RESULT done"
    assert {"a.txt", "author.txt"} <= set(worker["files_created"])
    calls = [call for call in default_site.api.calls if call.script == name]
    assert tuple(dict.fromkeys(call.model for call in calls)) == DEFAULT_MODELS[agent]
    used = worker["usage"]
    # Gemini includes the usage of its model choice.
    aside = len(DEFAULT_MODELS[agent]) - 1
    assert (used["steps"], used["input_tokens"]) == (3, 400 + 100 * aside)
    assert used["cost_usd"] > 0


@pytest.mark.parametrize("agent", ["codex"])
def test_child_jobs_are_started_in_code_mode(default_site: Site, agent: str) -> None:
    check_children(default_site, agent, commands=True)


@pytest.mark.parametrize("agent", ["codex"])
def test_a_read_only_agent_writes_nothing_in_code_mode(
    api: ModelApi, agent: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = tmp_path_factory.mktemp("host project")
    with a_site(api, project, {"agents": NO_MODEL}, policy="read-only") as site:
        job = site.run(agent, f"{agent}-looking-by-default", scripts.trespass(agent))

    worker = site.only(job)
    assert not {"a.txt", "b.txt"} & set(worker["files_created"])
    assert "permission denied for tools" in worker["reason"], site.log(worker)
    assert worker["usage"]["steps"] == 3
