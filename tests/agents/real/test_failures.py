"""Every failure of a model's service, with every agent and a real server."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agents.model_api import ModelApi
from tests.agents.real.capabilities import marks_of
from tests.agents.real.conftest import a_site
from tests.agents.real.failures import FAILURES, SUCCESS
from tests.agents.real.site import Site
from tests.agents.real.tools import AGENTS, LOOPS, TOOLS

#: Stall timeout in seconds: tools need some seconds to start and print, but loops start at once.
STALL_SECONDS, LOOP_STALL_SECONDS = 15.0, 2.0
#: Failures for which a tool retries for a minute or more, so that they run at night.
EVERY = os.environ.get("ORCHESTRATOR_TEST_EVERY") == "1"
#: opencode never ends after a cut answer: each attempt takes some more steps until it is stopped.
MOST_STEPS = 40


def is_nightly(agent: str, name: str) -> bool:
    """True for combinations that run only at night.

    By day, every second failure runs with one built-in loop and one tool. tests/agents/ tests each
    failure with each loop by day, without a server.
    """
    turn, is_second = divmod(list(FAILURES).index(name), 2)
    group = list(LOOPS) if agent in LOOPS else list(TOOLS)
    return is_second == 1 or group.index(agent) != turn % len(group)


CASES = [
    pytest.param(agent, name, marks=marks_of(agent, is_nightly(agent, name)), id=f"{agent}-{name}")
    for name in FAILURES
    for agent in AGENTS
    if agent not in FAILURES[name].other
    if EVERY or agent not in FAILURES[name].slow
]


@pytest.fixture(scope="module")
def impatient(api: ModelApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a short stall timeout, so that a silent agent soon counts as hung."""
    folder = tmp_path_factory.mktemp("host project")
    with a_site(api, folder, stall_seconds=STALL_SECONDS) as site:
        yield site


@pytest.fixture(scope="module")
def hasty(api: ModelApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("host project")
    with a_site(api, folder, stall_seconds=LOOP_STALL_SECONDS) as site:
        yield site


@pytest.mark.parametrize(("agent", "name"), CASES)
def test_a_failure_of_the_service(request: pytest.FixtureRequest, agent: str, name: str) -> None:
    failure = FAILURES[name]
    silent = "hasty" if agent in LOOPS else "impatient"
    where: Site = request.getfixturevalue(silent if agent in failure.silent else "site")
    # The loops show the retry after a silence without waiting 15 s.
    once = failure.slow if agent in LOOPS else (*failure.slow, *failure.silent)
    retries = 0 if agent in once else 1
    script = f"{agent}-{list(FAILURES).index(name)}"
    limits: dict[str, Any] = {"retries": retries, "max_steps": MOST_STEPS}
    job = where.run(agent, script, failure.script, **limits)

    worker = where.only(job)
    if failure.reason == SUCCESS:
        assert worker["status"] == "success", worker["reason"]
        return
    assert worker["reason"].startswith(failure.reason.format(tool=agent)), where.log(worker)
    assert len(worker["attempts"]) == (1 + retries if failure.is_retried else 1)
