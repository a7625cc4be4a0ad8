"""Agents that run a program: what they tell of an attempt."""

from pathlib import Path

import pytest

from orchestrator.agents.program_agent import ShellAgent
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit


@pytest.mark.parametrize("code", [0, 3])
def test_the_kept_evidence_of_a_silent_command_is_what_would_be_read(
    tmp_path: Path, code: int
) -> None:
    exit = Exit(ended_by=EndedBy.EXIT, code=code)
    shell = ShellAgent()
    assert shell.evidence(tmp_path, "", exit, tmp_path / "control") == shell.evidence_of_nothing
