"""How tools end: after a complete result, by an error, by a signal, or before their start."""

import subprocess
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.agents.conftest import KEY
from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, InProcess, until
from tests.support.examples import nightly


@pytest.fixture
def site(make_site: MakeSite, program: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return make_site(orchestrator={"claude_command": str(program)}, workers={"max_retries": 3})


def run(site: InProcess, behaviour: str, **more: object) -> Answer:
    task = {"agent": "claude", "prompt": "Build it", "env": {"STAND_IN": behaviour}, **more}
    [row] = site.run("Build a house", [task])["results"]["tasks"]
    return dict(row)


def test_exit_code_1_after_a_whole_result_is_a_success_with_a_note(site: InProcess) -> None:
    row = run(site, "answers exit-1")
    assert (row["status"], row["attempts"], row["output"]) == ("success", 1, "the answer")
    assert row["reason"] == "claude: exit code 1, although the agent reported a result"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        *nightly(("has-a-fault", "claude failed with an internal error: exit code 1: TypeError")),
        ("crashes", "claude was killed: killed by signal 11"),
    ],
)
@pytest.mark.parametrize("more", [{"retries": 5}, *nightly({})])
def test_a_fault_of_the_tool_is_retried_once_and_names_the_tool(
    site: InProcess, behaviour: str, reason: str, more: Answer
) -> None:
    row = run(site, behaviour, **more)
    assert (row["status"], row["attempts"]) == ("failed", 2)
    assert reason in row["reason"]
    assert "the model" not in row["reason"]


@pytest.mark.nightly
def test_a_tool_that_is_being_replaced_is_waited_for_without_a_retry(
    site: InProcess, program: Path
) -> None:
    assert run(site, "answers")["status"] == "success"
    task = {"agent": "claude", "prompt": "Build it", "retries": 0}
    with program.open("r+b"):
        job = site.submit("Build a house", [task])

        def waits() -> bool:
            [worker] = site.get(f"/jobs/{job}")["workers"]
            return "could not be started" in worker["reason"]

        until(waits, "the tool did not start")
    ended = site.wait(job)
    [row] = ended["results"]["tasks"]
    assert (row["status"], row["attempts"]) == ("success", 2)


def own_tool(folder: Path, script: str) -> Path:
    tool = folder / "tool"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return tool


@pytest.mark.parametrize(
    ("away", "back"),
    [("mv {0} {0}.away", "mv {0}.away {0}"), *nightly(("chmod 0 {0}", "chmod 755 {0}"))],
)
def test_an_agent_of_ones_own_is_waited_for_as_well(
    make_site: MakeSite, tmp_path: Path, away: str, back: str
) -> None:
    tool = own_tool(tmp_path, "echo done")
    site = make_site(agents={"mine": {"command": [str(tool)]}})
    mine = {"agent": "mine", "prompt": "What is it?", "retries": 0}
    goes = {"agent": "shell", "command": away.format(tool), "id": "away"}
    tasks = [{**mine, "id": "a"}, {**goes, "depends_on": ["a"]}, {**mine, "depends_on": ["away"]}]
    job = site.submit("Tell", tasks)

    def waits() -> bool:
        return "retrying in 2 s" in site.get(f"/jobs/{job}")["workers"][2]["reason"]

    until(waits, "the tool did not start")
    subprocess.run(["sh", "-c", back.format(tool)], check=True)
    row = site.wait(job)["results"]["tasks"][2]
    assert (row["status"], row["attempts"]) == ("success", 2)


@pytest.mark.nightly
def test_a_tool_that_stays_away_is_tried_after_2_5_and_15_seconds(
    make_site: MakeSite, tmp_path: Path
) -> None:
    tool = own_tool(tmp_path, "echo done")
    site = make_site(agents={"mine": {"command": [str(tool)]}})
    mine = {"agent": "mine", "prompt": "What is it?", "retries": 0}
    goes = {"agent": "shell", "command": f"chmod 0 {tool}", "id": "away", "depends_on": ["a"]}

    ended = site.run("x", [{**mine, "id": "a"}, goes, {**mine, "depends_on": ["away"]}])

    row = ended["results"]["tasks"][2]
    began = [each["started_at"] for each in _attempts(site, ended["job_id"], 2)]
    pauses = [round(after - before) for before, after in pairwise(map(_seconds, began))]
    assert (row["status"], pauses) == ("failed", [2, 5, 15])
    assert str(tool) in row["reason"], "the tool is named"


@pytest.mark.parametrize("more", [{"retries": 5}, *nightly({})])
def test_a_crash_of_ones_own_agent_is_retried_once_and_names_it(
    make_site: MakeSite, tmp_path: Path, more: Answer
) -> None:
    tool = own_tool(tmp_path, "echo $$; kill -SEGV $$")
    site = make_site(agents={"mine": {"command": [str(tool)]}}, workers={"max_retries": 3})

    [row] = site.run("x", [{"agent": "mine", "prompt": "y", **more}])["results"]["tasks"]

    assert (row["status"], row["attempts"]) == ("failed", 2)
    assert row["reason"].startswith("mine was killed by signal 11")


def _attempts(site: InProcess, job_id: str, index: int) -> list[Answer]:
    found: list[Answer] = site.get(f"/jobs/{job_id}")["workers"][index]["attempts"]
    return found


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


@pytest.mark.parametrize("retries", [0, 3])
def test_a_command_that_does_not_exist_is_never_retried(site: InProcess, retries: int) -> None:
    task = {"agent": "shell", "command": "no-such-command-here", "retries": retries}
    [row] = site.run("Build a house", [task])["results"]["tasks"]
    assert (row["status"], row["attempts"]) == ("failed", 1)
