"""A new built-in agent, added to a copy of the product by the steps in CONTRIBUTING.md."""

import json
import re
from pathlib import Path

import pytest

from tests.acceptance.embedding import KEY, PRODUCT, copy_product, run
from tests.support.project import Project

pytestmark = pytest.mark.slow

CALL = '''"""Quill: ``quill --mode MODE``, with its prompt on standard input."""

from orchestrator.agents.ai_tools.invocation.call import AgentCall, CallInputs


def call(inputs: CallInputs) -> AgentCall:
    return AgentCall(argv=(*inputs.command, "--mode", inputs.policy), reader="quill")
'''
READER = '''"""Quill: ``SAY`` and words on each line."""

import time

from orchestrator.agents.ai_tools.reader_parts.run_outcome import RunReport, outcome_of_run
from orchestrator.agents.ai_tools.reader_parts.usage_meter import RunFacts
from orchestrator.agents.activity.agent_events import AgentOutcome, Ending, TextEvent, AgentEvent


class QuillReader:
    session = ""

    def __init__(self, known: RunFacts | None = None) -> None:
        self._text = ""

    def line(self, text: str) -> list[AgentEvent]:
        self._text = text.removeprefix("SAY ").strip() or self._text
        return [TextEvent(self._text)]

    def outcome(self, ending: Ending) -> AgentOutcome:
        report = RunReport(text=self._text, began=True, finished=True, usage_is_complete=True)
        return outcome_of_run(report, ending, time.time())
'''
ENTRY = """QUILL = KnownTool(
    name="quill",
    description="Quill, a pretend agent",
    program="quill",
    pass_env=("QUILL_*",),
    credentials=("QUILL_KEY",),
    reports_cost=True,
    resumes=True,
    inherits=(Inherited.MEMORY,),
    login="set QUILL_KEY",
)

"""
ADDED = ("CLAUDE = KnownTool(", f"{ENTRY}CLAUDE = KnownTool("), ("KNOWN = (", "KNOWN = (QUILL, ")
PROGRAM = """#!/bin/sh
[ "$1" = --version ] && { echo 1.5; exit; }
echo "key $QUILL_KEY, called with $*" > quill.txt
echo "SAY wrote quill.txt"
"""
SETTINGS = """api: {port: 0, api_key: KEY}
workers: {planner: rules}
orchestrator: {quill_command: PROGRAM}
agents:
  mine: {command: [PROGRAM], reader: quill}
  quill: {inherit: [memory]}
"""


def steps() -> list[tuple[str, str]]:
    """File and name of each step of the worked example."""
    document = (PRODUCT / "CONTRIBUTING.md").read_text("utf-8")
    section = document.partition("### A built-in agent\n")[2].partition("\n#")[0]
    return re.findall(r"^\d\. `([^`]+)`: `(\w+)`", section, re.MULTILINE)


def add_agent(folder: Path) -> None:
    """Follow the worked example for ``quill`` in place of ``gemini``; change nothing else."""
    for path, name in steps():
        file = folder / path.replace("gemini", "quill")
        match name:
            case "call":
                file.write_text(CALL)
            case "GeminiReader":
                file.write_text(READER)
            case "GEMINI":
                text = file.read_text("utf-8")
                for before, after in ADDED:
                    assert text.count(before) == 1, before
                    text = text.replace(before, after)
                file.write_text(text)
            case _:
                pytest.fail(f"no step of this test: {path}: {name}")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "host").begin({"a.txt": "a\n"})


def test_an_agent_of_three_files_is_known_everywhere_and_works(
    project: Project, tmp_path: Path
) -> None:
    folder = copy_product(project.path)
    tool = folder / "bin" / "orchestrator"
    program = tmp_path / "bin" / "quill-1"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (folder / "config.yaml").write_text(
        SETTINGS.replace("KEY", KEY).replace("PROGRAM", json.dumps(str(program)))
    )
    refused = run(tool, "config", "check", cwd=folder)

    add_agent(folder)

    assert refused.returncode == 2 and "quill_command: unknown key" in refused.stderr
    checked = run(tool, "config", "check", cwd=folder)
    assert checked.returncode == 0, checked.stderr
    schema = run(tool, "config", "schema", cwd=folder).stdout
    assert "Command that starts Quill, a pretend agent." in schema
    assert (
        "Format of the agent's output: quill, claude, codex, gemini, opencode, aider, plain"
        in schema
    )
    assert "quill, claude, codex" in run(tool, "attach", "--help", cwd=folder).stdout
    known = run(tool, "agents", "--json", cwd=folder, QUILL_KEY="k-1").stdout
    assert [
        (each["path"], each["credential"], each["inherit"])
        for each in json.loads(known)["agents"]
        if each["name"] == "quill"
    ] == [(str(program), "QUILL_KEY", ["memory"])]

    written = {"auto": "key k-1, called with --mode full", "mine": "key , called with"}
    for agent, words in written.items():
        command = (tool, "run", "Create quill.txt", "--agent", agent, "--json")
        done = run(*command, cwd=project.path, QUILL_KEY="k-1")
        assert done.returncode == 0, done
        job = json.loads(done.stdout)
        [worker] = job["results"]["tasks"]
        assert worker["agent"] == ("quill" if agent == "auto" else "mine")
        assert worker["output"] == "wrote quill.txt"
        assert project.show(f"orchestrator/{job['job_id']}/result", "quill.txt").strip() == words
