"""The total usage of workers in answers."""

from orchestrator.api.serializers.answer_parts import usage_answer
from orchestrator.core.model.attempt.attempt_result import NO_USAGE, Usage

PAID = Usage(steps=1, input_tokens=10, cost_usd=0.5)


def test_a_sum_without_the_cost_of_one_worker_is_partial() -> None:
    answer = usage_answer([PAID, Usage(steps=2, input_tokens=20)])

    assert (answer.steps, answer.cost_usd, answer.cost_partial) == (3, 0.5, True)


def test_a_sum_of_all_costs_is_whole() -> None:
    answer = usage_answer([PAID, PAID, NO_USAGE])

    assert (answer.cost_usd, answer.cost_partial) == (1.0, None)


def test_an_unknown_cost_is_omitted() -> None:
    answer = usage_answer([Usage(steps=2, input_tokens=20)])

    assert (answer.cost_usd, answer.cost_partial) == (None, None)
