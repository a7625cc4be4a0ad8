"""The estimated usage of a plan, from the usage of earlier workers."""

from collections.abc import Sequence

import pytest

from orchestrator.core.limits.plan_estimate import RULE_OF_THUMB_TOKENS, Estimate, estimate
from orchestrator.core.model.attempt.attempt_result import Usage

EARLIER = {
    "costly": [Usage(input_tokens=100, cost_usd=1.0), Usage(input_tokens=200, cost_usd=2.0)],
    "silent": [Usage()],
    "unpriced": [Usage(output_tokens=50)],
}


def of(*agents: str) -> Estimate:
    def earlier(agent: str) -> Sequence[Usage]:
        return EARLIER.get(agent, [])

    return estimate(agents, lambda agent: agent != "shell", earlier)


def test_the_estimate_is_the_mean_of_earlier_workers_of_the_agent() -> None:
    assert of("costly", "costly") == Estimate(
        workers=2, tokens=300, cost_usd=pytest.approx(3.0), from_workers=2
    )


def test_reviewers_are_estimated_separately() -> None:
    found = estimate(["costly"] * 2, lambda agent: True, lambda agent: EARLIER[agent], ["unpriced"])

    assert (found.workers, found.reviewers) == (2, 1)
    assert (found.tokens, found.cost_usd) == (350, None)
    assert (found.review_tokens, found.review_cost_usd) == (50, None)


def test_commands_use_no_tokens_and_cost_nothing() -> None:
    assert of("shell", "shell") == Estimate(workers=2, tokens=0, cost_usd=0, from_workers=0)


def test_a_cost_that_is_not_known_is_never_zero() -> None:
    assert of("costly", "unpriced").cost_usd is None


@pytest.mark.parametrize("agent", ["silent", "new"])
def test_without_figures_the_estimate_is_a_rule_of_thumb_from_no_workers(agent: str) -> None:
    assert of(agent) == Estimate(
        workers=1, tokens=RULE_OF_THUMB_TOKENS, cost_usd=None, from_workers=0
    )
