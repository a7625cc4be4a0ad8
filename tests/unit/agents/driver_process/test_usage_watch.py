"""The line in a worker's log about its usage."""

from orchestrator.agents.driver_process.usage_watch import usage_text
from orchestrator.core.model.attempt.attempt_result import Usage


def test_the_text_of_one_step_is_singular() -> None:
    assert usage_text(Usage(steps=1, input_tokens=7)) == "1 step, 7 input tokens"
    assert usage_text(Usage(steps=2)) == "2 steps"
