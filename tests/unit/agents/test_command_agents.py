"""Agents that run a program: the evidence that they return for an attempt."""

from pathlib import Path

import pytest

from orchestrator.agents.command_agents import OUTPUT_LIMIT_BYTES, CommandAgent, ShellAgent
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit


@pytest.mark.parametrize("code", [0, 3])
def test_the_kept_evidence_of_a_silent_command_is_what_would_be_read(
    tmp_path: Path, code: int
) -> None:
    exit = Exit(ended_by=EndedBy.EXIT, code=code)
    shell = ShellAgent()
    assert shell.evidence(tmp_path, "", exit, tmp_path / "control") == shell.evidence_of_nothing


@pytest.mark.parametrize("agent", [ShellAgent(), CommandAgent(name="mine", argv=("mine",))])
def test_an_output_without_its_beginning_names_the_log(
    tmp_path: Path, agent: ShellAgent | CommandAgent
) -> None:
    directory, control = tmp_path / "depth_0" / "worker_3", tmp_path / "control"
    whole = Exit(ended_by=EndedBy.EXIT, code=0, log_bytes=OUTPUT_LIMIT_BYTES)
    longer = Exit(ended_by=EndedBy.EXIT, code=0, log_bytes=OUTPUT_LIMIT_BYTES + 1)

    assert agent.evidence(directory, "tail\n", whole, control).output == "tail"
    cut = agent.evidence(directory, "tail\n", longer, control).output
    assert cut == "(cut here; read the beginning in logs/depth_0_worker_3.log)\n\ntail"
