"""What an agent has used so far, and whether that is more than it may."""

from typing import TypeVar

from orchestrator.agents.tools.call import Limits
from orchestrator.core.model import Usage

N = TypeVar("N", int, float)


def added(total: Usage, more: Usage) -> Usage:
    """The sum; what neither of them knows stays not known."""
    return Usage(
        steps=_sum(total.steps, more.steps),
        input_tokens=_sum(total.input_tokens, more.input_tokens),
        output_tokens=_sum(total.output_tokens, more.output_tokens),
        cache_read_tokens=_sum(total.cache_read_tokens, more.cache_read_tokens),
        cache_write_tokens=_sum(total.cache_write_tokens, more.cache_write_tokens),
        cost_usd=_sum(total.cost_usd, more.cost_usd),
        cost_estimated=total.cost_estimated or more.cost_estimated,
        partial=total.partial or more.partial,
    )


def _sum(one: N | None, other: N | None) -> N | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


def tokens(usage: Usage) -> int:
    """All tokens that the model read and wrote, cached ones included."""
    kinds = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    return sum(getattr(usage, name) or 0 for name in kinds)


def over(limits: Limits, usage: Usage) -> str:
    """Which limit was passed, in words; empty when none was."""
    if limits.max_steps is not None and (usage.steps or 0) > limits.max_steps:
        return f"more than max_steps={limits.max_steps}"
    if limits.max_tokens is not None and tokens(usage) > limits.max_tokens:
        return f"{tokens(usage)} tokens, more than max_tokens={limits.max_tokens}"
    if limits.max_cost_usd is not None and (usage.cost_usd or 0.0) > limits.max_cost_usd:
        return f"${usage.cost_usd:.4f}, more than max_cost_usd={limits.max_cost_usd:g}"
    return ""


def in_words(usage: Usage) -> str:
    """One line for people; what is not known is left out."""
    amounts = [
        ("steps", usage.steps),
        ("tokens in", usage.input_tokens),
        ("tokens out", usage.output_tokens),
        ("read from cache", usage.cache_read_tokens),
        ("written to cache", usage.cache_write_tokens),
    ]
    words = [f"{value} {name}" for name, value in amounts if value is not None]
    if usage.cost_usd is not None:
        words.append(f"${usage.cost_usd:.4f}{' (estimated)' if usage.cost_estimated else ''}")
    if usage.partial and words:
        words.append("and what it did not tell of")
    return ", ".join(words) or "not known"
