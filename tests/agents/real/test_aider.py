"""Tests of aider. They need ORCHESTRATOR_TEST_AIDER, the path of its program; otherwise they are
skipped.

Continuous integration skips them, too, because aider's installation is larger than those of all
other tools together.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.model_api import ModelApi, Script, Tokens, Turn
from tests.agents.model_api.scripts import unauthorized
from tests.agents.real.conftest import a_site
from tests.agents.real.site import Site

VARIABLE = "ORCHESTRATOR_TEST_AIDER"
PROGRAM = os.environ.get(VARIABLE, "")
pytestmark = [
    pytest.mark.real_tools,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not PROGRAM, reason=f"{VARIABLE} names no aider"),
]
WORDS = "I make it; this line is longer than a terminal of eighty columns, which would break it."
EDIT = f"{WORDS}\n\na.txt\n```\n<<<<<<< SEARCH\n=======\nof the agent\n>>>>>>> REPLACE\n```"


@pytest.fixture(scope="module")
def aider(api: ModelApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    project = tmp_path_factory.mktemp("host project")
    changes = {
        "orchestrator": {"aider_command": str(Path(PROGRAM).absolute())},
        "agents": {"aider": {"model": "openai/gpt-5.1"}},
    }
    with a_site(api, project, changes) as site:
        yield site


def test_aider_writes_files_and_reports_its_usage(aider: Site) -> None:
    script = Script.of(Turn(EDIT, tokens=Tokens(input=200, output=40)))
    job = aider.run("aider", "aider-work", script)

    worker = aider.only(job)
    assert worker["status"] == "success", aider.log(worker)
    assert worker["output"] == EDIT
    assert worker["files_created"] == ["a.txt"]
    branch = f"orchestrator/{job['job_id']}/result"
    assert aider.git("show", f"{branch}:a.txt") == "of the agent\n"
    used = worker["usage"]
    assert (used["steps"], used["input_tokens"], used["output_tokens"]) == (1, 200, 40)
    assert used["cost_usd"] > 0
    # No call for a commit message, whose usage aider would not report.
    assert len([each for each in aider.api.calls if each.script == "aider-work"]) == 1


@pytest.mark.parametrize(
    ("name", "script", "reason"),
    [
        ("401", Script.failing(unauthorized()), "the agent's login failed"),
        ("empty", Script.of(Turn("")), "the agent ended without an answer"),
    ],
)
def test_a_failure_of_aider(aider: Site, name: str, script: Script, reason: str) -> None:
    worker = aider.only(aider.run("aider", f"aider-{name}", script, retries=0))

    assert worker["reason"].startswith(reason), aider.log(worker)
