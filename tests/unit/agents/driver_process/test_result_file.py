"""``agent.json``: written by the driver, read by the server, and writable for the worker."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.activity.agent_events import AgentOutcome
from orchestrator.agents.driven_agent import CommonSettings, DrivenAgent
from orchestrator.agents.driver_process import result_file
from orchestrator.core.model.attempt.attempt_result import EndedBy, ErrorClass, Exit, Usage

OUTCOME = AgentOutcome(
    text="an answer",
    error_class=ErrorClass.RATE_LIMIT,
    error="later",
    usage=Usage(steps=3, input_tokens=10, cost_usd=0.5, cost_estimated=True, partial=True),
    session="s",
    denied=("Bash",),
    resets_at=12.5,
)
AGENT = DrivenAgent(name="claude", tool="claude", common=CommonSettings(home="/nowhere"))
ENDED = Exit(ended_by=EndedBy.EXIT, code=1)


def test_an_outcome_is_read_back_unchanged() -> None:
    assert result_file.from_json(result_file.to_json(OUTCOME)) == OUTCOME
    assert result_file.from_json(result_file.to_json(AgentOutcome())) == AgentOutcome()


def changed(**more: Any) -> str:
    return json.dumps({**json.loads(result_file.to_json(OUTCOME)), **more})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        changed(version=2),
        changed(error_class="sad"),
        changed(usage={"steps": "many"}),
        changed(usage=None),
        changed(usage={"steps": -1, "cost_estimated": False, "partial": False}),
        changed(usage={"cost_usd": float("nan"), "cost_estimated": False, "partial": False}),
        changed(denied=3),
        changed(resets_at="soon"),
        changed(more=1),
    ],
)
def test_an_invalid_outcome_is_rejected(text: str) -> None:
    with pytest.raises(ValueError):
        result_file.from_json(text)


@pytest.fixture
def control(tmp_path: Path) -> Path:
    directory = tmp_path / "workspace" / "job_1" / "attempts" / "worker_1.1"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def work(control: Path) -> Path:
    directory = control.parents[1] / "depth_0" / "worker_1"
    directory.mkdir(parents=True)
    return directory


def test_the_evidence_has_the_outcome_of_the_agent(control: Path, work: Path) -> None:
    result_file.write(control, OUTCOME)

    evidence = AGENT.evidence(work, "", ENDED, control)

    assert evidence.error_class is ErrorClass.RATE_LIMIT
    assert evidence.resets_at == 12.5
    assert evidence.usage == OUTCOME.usage
    assert evidence.claimed_success is False
    # Text for the next attempt.
    assert evidence.output == "an answer\n\n[failed: later]"


def test_the_error_is_the_output_if_the_agent_gave_no_answer(control: Path, work: Path) -> None:
    result_file.write(control, replace(OUTCOME, text=""))

    assert AGENT.evidence(work, "", ENDED, control).output == "later"


def test_an_answer_file_precedes_the_text_and_replaces_a_missing_one(
    control: Path, work: Path
) -> None:
    result_file.write(control, AgentOutcome(error_class=ErrorClass.EMPTY, error="nothing was said"))
    (work / "output.md").write_text("what I did")

    evidence = AGENT.evidence(work, "", Exit(ended_by=EndedBy.EXIT, code=1), control)

    assert evidence.output == "what I did"
    assert evidence.error_class is ErrorClass.NONE


@pytest.mark.parametrize("leftover", ["nothing", "a link", "nonsense"])
def test_a_driver_that_was_killed_leaves_its_log(control: Path, work: Path, leftover: str) -> None:
    if leftover == "a link":
        (control.parent / "secret").write_text(result_file.to_json(OUTCOME))
        (control / result_file.NAME).symlink_to(control.parent / "secret")
    elif leftover == "nonsense":
        (control / result_file.NAME).write_text("{")

    evidence = AGENT.evidence(work, "one\nthe last line\n", ENDED, control)

    assert evidence.error == "the last line"
    assert evidence.output_required and evidence.claimed_success is None
