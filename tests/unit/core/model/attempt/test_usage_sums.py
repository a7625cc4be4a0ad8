"""Sums of usage."""

from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.usage_sums import tokens, usage_sum


def test_an_unknown_figure_stays_unknown_in_a_sum() -> None:
    assert usage_sum(Usage(steps=1), Usage(steps=2, output_tokens=5)) == Usage(
        steps=3, output_tokens=5
    )
    assert usage_sum(Usage(partial=True), Usage(cost_estimated=True)) == Usage(
        partial=True, cost_estimated=True
    )


def test_tokens_read_from_a_cache_do_not_count() -> None:
    used = Usage(input_tokens=1, cache_write_tokens=10, output_tokens=100, cache_read_tokens=1000)
    assert tokens(used) == 111
