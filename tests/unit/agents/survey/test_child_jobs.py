"""The child jobs of a survey."""

import pytest

from orchestrator.agents.survey import child_jobs
from orchestrator.cli.output.exit_codes import ExitCode


@pytest.mark.parametrize("code", [each for each in ExitCode if each < ExitCode.TIMED_OUT])
def test_the_exit_codes_are_those_of_the_command_line(code: ExitCode) -> None:
    assert getattr(child_jobs, code.name) == code
