"""The price table, and the cost of a usage."""

import json
import re

import pytest

from orchestrator.agents.prices import price_table
from orchestrator.agents.prices.price_table import cost
from orchestrator.core.model.attempt.attempt_result import Usage

MILLION = 1_000_000


def test_each_kind_of_token_has_its_own_price():
    used = Usage(
        input_tokens=MILLION,
        output_tokens=MILLION,
        cache_read_tokens=MILLION,
        cache_write_tokens=MILLION,
    )
    assert cost("claude-opus-5-5", used) == pytest.approx(4 + 20 + 0.2 + 5)


@pytest.mark.parametrize(
    "name",
    [
        *("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        *("claude-sonnet-4-5[1m]", "claude-sonnet-4-5@20250929"),
    ],
)
def test_a_model_is_known_by_each_of_its_names(name: str):
    assert cost(name, Usage(input_tokens=MILLION)) == 3


@pytest.mark.parametrize("name", ["", "stub", "llama3.2", "claude", "gpt-5-turbo-x"])
def test_an_unknown_model_has_an_unknown_cost_never_zero(name: str):
    assert cost(name, Usage(input_tokens=1, output_tokens=1)) is None


def test_nothing_known_of_the_tokens_is_no_cost_of_zero():
    assert cost("gpt-5-codex", Usage(steps=4)) is None
    assert cost("gpt-5-codex", Usage(input_tokens=0)) == 0


def test_a_price_that_is_needed_and_missing_makes_the_cost_unknown():
    used = Usage(input_tokens=1, cache_write_tokens=1)
    assert cost("own", used, {"own": {"input": 1}}) is None
    assert cost("gemini-2.5-pro", used) is None


def test_each_price_of_the_user_precedes_that_of_the_table():
    used = Usage(input_tokens=MILLION, output_tokens=MILLION)
    assert cost("gpt-5-codex", used, {"gpt-5-codex": {"output": 1}}) == pytest.approx(2.25)
    assert cost("local", used, {"local": {"input": 0, "output": 0}}) == 0


def test_the_table_has_its_date_and_the_sources_of_its_prices():
    table = json.loads(price_table.TABLE.read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", table["as_of"])
    for name, entry in table["models"].items():
        assert entry["source"].startswith("https://"), name
        assert 0 < entry["cache_read"] < entry["input"] < entry["output"], name
        assert entry.get("cache_write", 1) > 0, name
